//! The queue of writes.

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

/// The receiving end of the queue.
pub(super) struct Queue {
    pub(super) received: mpsc::Receiver<Request>,
    /// Request of another kind than the last one wanted.
    pub(super) next: Option<Request>,
}

impl Queue {
    pub(super) async fn wait(&mut self) -> Option<Request> {
        match self.next.take() {
            Some(request) => Some(request),
            None => self.received.recv().await,
        }
    }

    /// Returns the next request if it is waiting and asks for a transaction.
    pub(super) fn next_transaction(&mut self) -> Option<Reply<WriteTransaction>> {
        self.next_if(|request| match request {
            Request::Transaction(reply) => Ok(reply),
            other => Err(other),
        })
    }

    /// Returns the next request if it is waiting and is a single statement.
    pub(super) fn next_autocommit(&mut self) -> Option<AutocommitWrite> {
        self.next_if(|request| match request {
            Request::Autocommit(write) => Ok(*write),
            other => Err(other),
        })
    }

    fn next_if<T>(&mut self, wanted: fn(Request) -> Result<T, Request>) -> Option<T> {
        let request = self.next.take().or_else(|| self.received.try_recv().ok())?;
        wanted(request).map_err(|other| self.next = Some(other)).ok()
    }
}
