//! The time of one unit on the connection that writes.

use std::sync::Arc;

use sea_orm::DatabaseTransaction;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, oneshot};

use super::batch::{Reply, stopped};
use crate::error::Failure;

/// One unit's time on the connection. Dropped without commit, it leaves nothing behind.
pub(crate) struct Turn {
    pub(super) slot: Arc<Mutex<Slot>>,
    pub(super) done: oneshot::Sender<Ack>,
}

/// Told whether the batch was committed.
pub(super) type Ack = Reply<()>;

/// The transaction while a unit has its turn. The savepoint comes first, so that it is dropped first.
pub(super) struct Slot {
    pub(super) savepoint: Option<DatabaseTransaction>,
    pub(super) batch: Option<DatabaseTransaction>,
    pub(super) statements: u64,
}

impl Turn {
    /// The connection, for one statement or a few that belong together.
    pub(crate) async fn lock(&self) -> Result<MappedMutexGuard<'_, DatabaseTransaction>, Failure> {
        let mut slot = self.slot.lock().await;
        slot.statements += 1;
        MutexGuard::try_map(slot, |slot| slot.savepoint.as_mut()).map_err(|_| rested())
    }

    /// Makes it durable, together with others.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        let (ack, result) = oneshot::channel();
        self.done.send(ack).map_err(|_| rested())?;
        result.await.map_err(|_| stopped())?
    }
}

fn rested() -> Failure {
    Failure::unavailable("the unit of work rested for too long and was rolled back")
}
