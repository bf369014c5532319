//! Units of several statements: each has its turn on the connection that writes, in a savepoint.
//!
//! A unit cannot hold the queue up: it is noticed when its [`Turn`] is dropped, at whatever moment, and the savepoint is
//! taken away from a unit that rests for too long.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};

use super::batch::{Counters, Limits, Reply};
use super::queue::Queue;
use super::write_transaction::{Ack, Slot, Turn};
use crate::error::Failure;
use crate::options::DatabaseOptions;
use crate::sqlite::connect_writer;

/// The connection of turns.
pub(super) struct Turns {
    pub(super) options: Arc<DatabaseOptions>,
    pub(super) counters: Arc<Counters>,
    /// None after a failure that leaves its transaction in doubt.
    pub(super) connection: Option<DatabaseConnection>,
}

impl Turns {
    /// Gives turns until somebody else waits, nobody does, or the batch is full; then commits, and tells all of them.
    pub(super) async fn batch(&mut self, first: Reply<Turn>, queue: &mut Queue, limits: &Limits) {
        let batch = match self.open().await {
            Ok(batch) => batch,
            Err(failure) => {
                self.connection = None;
                let _ = first.send(Err(failure));
                return;
            }
        };
        let mut acks = Vec::new();
        let result = give(batch, first, queue, limits, &mut acks).await;
        if result.is_err() {
            self.connection = None;
        }
        self.counters.settle(&result, acks.len());
        for ack in acks {
            let _ = ack.send(result.clone());
        }
    }

    /// The connection, a new one if the last one was thrown away.
    pub(super) async fn connection(&mut self) -> Result<&DatabaseConnection, Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect_writer(&self.options).await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn open(&mut self) -> Result<DatabaseTransaction, Failure> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.connection().await?.begin_with_options(options).await?)
    }
}

/// `acks` are those to be told the result.
async fn give(
    mut batch: DatabaseTransaction,
    first: Reply<Turn>,
    queue: &mut Queue,
    limits: &Limits,
    acks: &mut Vec<Ack>,
) -> Result<(), Failure> {
    let opened = Instant::now();
    let mut next = Some(first);
    let mut units = 0;
    while let Some(request) = next {
        batch = turn(batch, request, limits, acks).await?;
        units += 1;
        let full = units == limits.batch_units || opened.elapsed() >= limits.batch_time;
        next = if full { None } else { queue.turn() };
    }
    let ended = if acks.is_empty() { batch.rollback().await } else { batch.commit().await };
    Ok(ended?)
}

/// One unit's turn. An error means that the state of the whole transaction is in doubt.
async fn turn(
    batch: DatabaseTransaction,
    request: Reply<Turn>,
    limits: &Limits,
    acks: &mut Vec<Ack>,
) -> Result<DatabaseTransaction, Failure> {
    if request.is_closed() {
        return Ok(batch);
    }
    let savepoint = match batch.begin().await.map_err(Failure::from) {
        Ok(savepoint) => savepoint,
        Err(failure) => {
            let _ = request.send(Err(failure.clone()));
            return Err(failure);
        }
    };
    let slot = Slot { savepoint: Some(savepoint), batch: Some(batch), statements: 0 };
    let slot = Arc::new(Mutex::new(slot));
    let (done, mut outcome) = oneshot::channel();
    // If the requester has just gone away, the turn is dropped here, which is an outcome like any other.
    let _ = request.send(Ok(Turn { slot: Arc::clone(&slot), done }));
    let outcome = self::outcome(&mut outcome, &slot, limits).await;

    let mut slot = slot.lock().await;
    let (Some(savepoint), Some(batch)) = (slot.savepoint.take(), slot.batch.take()) else {
        return Err(Failure::fault("a turn lost its transaction"));
    };
    match outcome {
        Some(ack) => {
            // In doubt from here on: this unit, too, learns what becomes of the batch.
            acks.push(ack);
            savepoint.commit().await?;
        }
        None => savepoint.rollback().await?,
    }
    Ok(batch)
}

/// Waits for a unit to commit or to go away. One that runs no statement for too long is treated as gone.
async fn outcome(outcome: &mut oneshot::Receiver<Ack>, slot: &Mutex<Slot>, limits: &Limits) -> Option<Ack> {
    let mut seen = 0;
    loop {
        if let Ok(outcome) = timeout(limits.idle, &mut *outcome).await {
            return outcome.ok();
        }
        // A statement that runs holds the lock.
        if let Ok(slot) = slot.try_lock() {
            if slot.statements == seen {
                return None;
            }
            seen = slot.statements;
        }
    }
}
