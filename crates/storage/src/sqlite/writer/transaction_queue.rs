//! Transactions of several statements: each runs in a savepoint on the connection that writes.
//!
//! A transaction cannot block the queue: dropping its [`WriteTransaction`] always ends it, and the savepoint of a
//! transaction that is idle for too long is rolled back.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DatabaseTransaction, TransactionTrait};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};

use super::batch::{Counters, Limits, Reply};
use super::queue::Queue;
use super::write_transaction::{CommitReply, TransactionState, WriteTransaction};
use crate::error::Failure;
use crate::options::DatabaseOptions;
use crate::sqlite::{begin_immediate, connect_writer, truncate_log};

/// The connection of transactions.
pub(super) struct TransactionQueue {
    pub(super) options: Arc<DatabaseOptions>,
    pub(super) counters: Arc<Counters>,
    /// `None` after a failure that leaves the state of its transaction unknown.
    pub(super) connection: Option<DatabaseConnection>,
}

impl TransactionQueue {
    /// Runs transactions until the next request is of another kind, the queue is empty, or the batch is full. Then
    /// commits all of these transactions, and sends the result to their callers.
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

    /// Empties the write-ahead log. Returns whether it is empty.
    pub(super) async fn truncate_log(&mut self) -> Result<bool, Failure> {
        Ok(truncate_log(self.connection().await?).await?)
    }

    /// Returns the connection. Opens a new one if the last one was discarded.
    async fn connection(&mut self) -> Result<&DatabaseConnection, Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect_writer(&self.options).await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn open(&mut self) -> Result<DatabaseTransaction, Failure> {
        Ok(begin_immediate(self.connection().await?).await?)
    }
}

/// Runs the transactions of a batch and commits it. Adds the channels for the result to `replies`.
async fn run_transactions(
    mut batch: DatabaseTransaction,
    first: Reply<WriteTransaction>,
    queue: &mut Queue,
    limits: &Limits,
    replies: &mut Vec<CommitReply>,
) -> Result<(), Failure> {
    let opened = Instant::now();
    let mut next = Some(first);
    let mut transactions = 0;
    while let Some(request) = next {
        batch = run_transaction(batch, request, limits, replies).await?;
        transactions += 1;
        let full = transactions == limits.max_batch_size || opened.elapsed() >= limits.max_batch_age;
        next = if full { None } else { queue.next_transaction() };
    }
    let ended = if replies.is_empty() { batch.rollback().await } else { batch.commit().await };
    Ok(ended?)
}

/// Runs one transaction. An error means that the state of the whole batch is unknown.
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
    // If the requester has gone away, the transaction is dropped here and rolled back like any other.
    let _ = request.send(Ok(WriteTransaction { state: Arc::clone(&state), done }));
    let commit = wait_for_commit(&mut commit, &state, limits).await;

    let mut state = state.lock().await;
    let (Some(savepoint), Some(batch)) = (state.savepoint.take(), state.batch.take()) else {
        return Err(Failure::fault("a transaction lost its savepoint"));
    };
    match commit {
        Some(reply) => {
            // The state is unknown from here on: this transaction, too, receives the result of the batch.
            replies.push(reply);
            savepoint.commit().await?;
        }
        None => savepoint.rollback().await?,
    }
    Ok(batch)
}

/// Waits until a transaction commits or is dropped. One that runs no statement for too long counts as dropped.
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
        // A running statement holds the lock.
        if let Ok(state) = state.try_lock() {
            if state.statements == seen {
                return None;
            }
            seen = state.statements;
        }
    }
}
