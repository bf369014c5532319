//! The queue of units that wait to write.

use tokio::sync::mpsc;

use super::autocommit::AutocommitWrite;
use super::batch::Reply;
use super::write_transaction::WriteTransaction;

/// A request in the queue.
pub(super) enum Request {
    Transaction(Reply<WriteTransaction>),
    Autocommit(Box<AutocommitWrite>),
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
    pub(super) fn next_transaction(&mut self) -> Option<Reply<WriteTransaction>> {
        match self.poll()? {
            Request::Transaction(reply) => Some(reply),
            other => {
                self.next = Some(other);
                None
            }
        }
    }

    /// The next one, if it is a single statement, and there already.
    pub(super) fn next_autocommit(&mut self) -> Option<AutocommitWrite> {
        match self.poll()? {
            Request::Autocommit(write) => Some(*write),
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
