//! A transaction on the connection that writes to SQLite.

use std::sync::Arc;

use sea_orm::DatabaseTransaction;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, oneshot};

use super::batch::{Reply, stopped_error};
use crate::error::Failure;

/// A transaction on the connection. It is rolled back if it is dropped without a commit.
pub(crate) struct WriteTransaction {
    pub(super) state: Arc<Mutex<TransactionState>>,
    pub(super) done: oneshot::Sender<CommitReply>,
}

/// Receives the result of the commit of the batch.
pub(super) type CommitReply = Reply<()>;

/// The savepoint of a transaction and the batch around it. The savepoint comes first, so that it is dropped first.
pub(super) struct TransactionState {
    pub(super) savepoint: Option<DatabaseTransaction>,
    pub(super) batch: Option<DatabaseTransaction>,
    pub(super) statements: u64,
}

impl WriteTransaction {
    /// Locks the connection, for one statement or for a few that belong together.
    pub(crate) async fn lock(&self) -> Result<MappedMutexGuard<'_, DatabaseTransaction>, Failure> {
        let mut state = self.state.lock().await;
        state.statements += 1;
        MutexGuard::try_map(state, |state| state.savepoint.as_mut()).map_err(|_| idle_timeout_error())
    }

    /// Makes the transaction durable, in one commit with others.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        let (reply, result) = oneshot::channel();
        self.done.send(reply).map_err(|_| idle_timeout_error())?;
        result.await.map_err(|_| stopped_error())?
    }
}

fn idle_timeout_error() -> Failure {
    Failure::unavailable("the transaction was idle for too long and was rolled back")
}
