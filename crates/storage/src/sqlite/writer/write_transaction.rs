//! The time of one unit on the connection that writes.

use std::sync::Arc;

use sea_orm::DatabaseTransaction;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, oneshot};

use super::batch::{Reply, stopped_error};
use crate::error::Failure;

/// One unit's time on the connection. Dropped without commit, it leaves nothing behind.
pub(crate) struct WriteTransaction {
    pub(super) state: Arc<Mutex<TransactionState>>,
    pub(super) done: oneshot::Sender<CommitReply>,
}

/// Told whether the batch was committed.
pub(super) type CommitReply = Reply<()>;

/// The transaction while a unit has its turn. The savepoint comes first, so that it is dropped first.
pub(super) struct TransactionState {
    pub(super) savepoint: Option<DatabaseTransaction>,
    pub(super) batch: Option<DatabaseTransaction>,
    pub(super) statements: u64,
}

impl WriteTransaction {
    /// The connection, for one statement or a few that belong together.
    pub(crate) async fn lock(&self) -> Result<MappedMutexGuard<'_, DatabaseTransaction>, Failure> {
        let mut state = self.state.lock().await;
        state.statements += 1;
        MutexGuard::try_map(state, |state| state.savepoint.as_mut()).map_err(|_| idle_timeout_error())
    }

    /// Makes it durable, together with others.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        let (reply, result) = oneshot::channel();
        self.done.send(reply).map_err(|_| idle_timeout_error())?;
        result.await.map_err(|_| stopped_error())?
    }
}

fn idle_timeout_error() -> Failure {
    Failure::unavailable("the unit of work rested for too long and was rolled back")
}
