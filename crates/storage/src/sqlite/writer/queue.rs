//! The queue of units that wait to write.

use tokio::sync::mpsc;

use super::autocommit::Single;
use super::batch::Reply;
use super::write_transaction::Turn;

/// A request in the queue.
pub(super) enum Request {
    Turn(Reply<Turn>),
    Single(Box<Single>),
    /// Empties the log, closes the connections and ends the task.
    Close,
}

/// The queue's other end.
pub(super) struct Queue {
    pub(super) received: mpsc::Receiver<Request>,
    /// What came when something else was wanted.
    pub(super) next: Option<Request>,
}

impl Queue {
    pub(super) async fn wait(&mut self) -> Option<Request> {
        match self.next.take() {
            Some(request) => Some(request),
            None => self.received.recv().await,
        }
    }

    /// The next one, if it is a turn, and there already.
    pub(super) fn turn(&mut self) -> Option<Reply<Turn>> {
        match self.poll()? {
            Request::Turn(reply) => Some(reply),
            other => {
                self.next = Some(other);
                None
            }
        }
    }

    /// The next one, if it is a single statement, and there already.
    pub(super) fn single(&mut self) -> Option<Single> {
        match self.poll()? {
            Request::Single(single) => Some(*single),
            other => {
                self.next = Some(other);
                None
            }
        }
    }

    fn poll(&mut self) -> Option<Request> {
        self.next.take().or_else(|| self.received.try_recv().ok())
    }
}
