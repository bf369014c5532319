//! Units of several statements: each has its turn on the connection that writes, in a savepoint.
//!
//! A unit cannot hold the queue up: it is noticed when its [`WriteTransaction`] is dropped, at whatever moment, and the savepoint is
//! taken away from a unit that rests for too long.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};

use super::batch::{Counters, Limits, Reply};
use super::queue::Queue;
use super::write_transaction::{CommitReply, TransactionState, WriteTransaction};
use crate::error::Failure;
use crate::options::DatabaseOptions;
use crate::sqlite::connect_writer;

/// The connection of turns.
pub(super) struct TransactionQueue {
    pub(super) options: Arc<DatabaseOptions>,
    pub(super) counters: Arc<Counters>,
    /// None after a failure that leaves its transaction in doubt.
    pub(super) connection: Option<DatabaseConnection>,
}

impl TransactionQueue {
    /// Gives turns until somebody else waits, nobody does, or the batch is full; then commits, and tells all of them.
    pub(super) async fn batch(&mut self, first: Reply<WriteTransaction>, queue: &mut Queue, limits: &Limits) {
        let batch = match self.open().await {
            Ok(batch) => batch,
            Err(failure) => {
                self.connection = None;
                let _ = first.send(Err(failure));
                return;
            }
        };
        let mut replies = Vec::new();
        let result = run_transactions(batch, first, queue, limits, &mut replies).await;
        if result.is_err() {
            self.connection = None;
        }
        self.counters.record_batch(&result, replies.len());
        for reply in replies {
            let _ = reply.send(result.clone());
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

/// `replies` are those to be told the result.
async fn run_transactions(
    mut batch: DatabaseTransaction,
    first: Reply<WriteTransaction>,
    queue: &mut Queue,
    limits: &Limits,
    replies: &mut Vec<CommitReply>,
) -> Result<(), Failure> {
    let opened = Instant::now();
    let mut next = Some(first);
    let mut units = 0;
    while let Some(request) = next {
        batch = run_transaction(batch, request, limits, replies).await?;
        units += 1;
        let full = units == limits.max_batch_size || opened.elapsed() >= limits.max_batch_age;
        next = if full { None } else { queue.next_transaction() };
    }
    let ended = if replies.is_empty() { batch.rollback().await } else { batch.commit().await };
    Ok(ended?)
}

/// One unit's turn. An error means that the state of the whole transaction is in doubt.
async fn run_transaction(
    batch: DatabaseTransaction,
    request: Reply<WriteTransaction>,
    limits: &Limits,
    replies: &mut Vec<CommitReply>,
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
    let state = TransactionState { savepoint: Some(savepoint), batch: Some(batch), statements: 0 };
    let state = Arc::new(Mutex::new(state));
    let (done, mut commit) = oneshot::channel();
    // If the requester has just gone away, the turn is dropped here, which is an outcome like any other.
    let _ = request.send(Ok(WriteTransaction { state: Arc::clone(&state), done }));
    let commit = wait_for_commit(&mut commit, &state, limits).await;

    let mut state = state.lock().await;
    let (Some(savepoint), Some(batch)) = (state.savepoint.take(), state.batch.take()) else {
        return Err(Failure::fault("a turn lost its transaction"));
    };
    match commit {
        Some(reply) => {
            // In doubt from here on: this unit, too, learns what becomes of the batch.
            replies.push(reply);
            savepoint.commit().await?;
        }
        None => savepoint.rollback().await?,
    }
    Ok(batch)
}

/// Waits for a unit to commit or to go away. One that runs no statement for too long is treated as gone.
async fn wait_for_commit(
    commit: &mut oneshot::Receiver<CommitReply>,
    state: &Mutex<TransactionState>,
    limits: &Limits,
) -> Option<CommitReply> {
    let mut seen = 0;
    loop {
        if let Ok(commit) = timeout(limits.idle_timeout, &mut *commit).await {
            return commit.ok();
        }
        // A statement that runs holds the lock.
        if let Ok(state) = state.try_lock() {
            if state.statements == seen {
                return None;
            }
            seen = state.statements;
        }
    }
}
