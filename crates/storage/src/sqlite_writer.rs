//! The one connection that writes to SQLite, behind a fair queue with group commit.
//!
//! One task owns the connection and serves requests in the order in which they came. It opens a transaction
//! (`BEGIN IMMEDIATE`), and gives the units of work that wait their turns one after the other, each in a savepoint.
//! When nobody waits any more, or the batch is full, it commits once and only then tells all of them. A unit that
//! fails or goes away costs only its own savepoint. Whatever leaves the transaction in doubt costs the whole batch:
//! every unit of it gets the error, and the connection is thrown away.
//!
//! Most units are one statement. SQLite undoes a statement that breaks a rule by itself, so they need no savepoint: the
//! task runs them, which is once to the driver's thread and back instead of three times.
//!
//! A unit cannot hold the queue up: the task notices when its [`Turn`] is dropped, at whatever moment, and takes the
//! savepoint away from a unit that rests for too long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, QueryResult, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::error::Failure;
use crate::options::DatabaseOptions;
use crate::sqlite::{beside, connect_writer, truncate_log};

/// So many units may wait.
const QUEUE: usize = 1_024;

/// What bounds a batch and a wait.
struct Limits {
    /// At most so many units share a commit...
    batch_units: usize,
    /// ...and no unit joins a batch that is this old.
    batch_time: Duration,
    /// How long a unit waits for its turn.
    turn: Duration,
    /// How long a unit may go without a statement. At least that, at most twice as long.
    idle: Duration,
    /// The write-ahead log is emptied when it has so many bytes.
    log_bytes: u64,
}

type Reply<T> = oneshot::Sender<Result<T, Failure>>;
type Rows = Vec<QueryResult>;

/// What somebody waits for.
enum Request {
    /// A turn.
    Turn(Reply<Turn>),
    /// A statement that is a unit of work by itself.
    Statement(Box<Statement>, Reply<Rows>),
}

/// Somebody who is told what becomes of the batch.
enum Ack {
    Turn(Reply<()>),
    Statement(Rows, Reply<Rows>),
}

impl Request {
    fn refuse(self, failure: Failure) {
        match self {
            Self::Turn(reply) => _ = reply.send(Err(failure)),
            Self::Statement(_, reply) => _ = reply.send(Err(failure)),
        }
    }
}

impl Ack {
    fn tell(self, result: Result<(), Failure>) {
        match self {
            Self::Turn(reply) => _ = reply.send(result),
            Self::Statement(rows, reply) => _ = reply.send(result.map(|()| rows)),
        }
    }
}

/// The queue's end that units of work see.
pub(crate) struct SqliteWriter {
    requests: mpsc::Sender<Request>,
    turn_timeout: Duration,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    units: AtomicU64,
    commits: AtomicU64,
}

/// One unit's time on the connection. Dropped without commit, it leaves nothing behind.
pub(crate) struct Turn {
    slot: Arc<Mutex<Slot>>,
    done: oneshot::Sender<Reply<()>>,
}

/// The transaction while a unit has its turn. The savepoint comes first, so that it is dropped first.
struct Slot {
    savepoint: Option<DatabaseTransaction>,
    batch: Option<DatabaseTransaction>,
    statements: u64,
}

impl SqliteWriter {
    /// Starts the task that owns the connection. It ends when the last handle is dropped.
    pub(crate) fn start(connection: DatabaseConnection, options: Arc<DatabaseOptions>, file: &Path) -> Self {
        let limits = Limits {
            batch_units: 64,
            batch_time: Duration::from_millis(20),
            turn: Duration::from_secs(5),
            idle: options.idle_unit_timeout,
            log_bytes: 32 * 1024 * 1024,
        };
        Self::start_with(connection, options, file, limits)
    }

    fn start_with(connection: DatabaseConnection, options: Arc<DatabaseOptions>, file: &Path, limits: Limits) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let turn_timeout = limits.turn;
        let log = beside(file, "-wal");
        let (connection, log_bytes) = (Some(connection), limits.log_bytes);
        let task = Task { connection, options, log, limits, counters: Arc::clone(&counters), log_bytes };
        tokio::spawn(task.run(queue));
        Self { requests, turn_timeout, counters }
    }

    /// Waits for a turn.
    pub(crate) async fn begin(&self) -> Result<Turn, Failure> {
        self.ask(Request::Turn).await
    }

    /// Runs one statement and makes it durable, together with others.
    pub(crate) async fn write(&self, statement: Statement) -> Result<Rows, Failure> {
        self.ask(|reply| Request::Statement(Box::new(statement), reply)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let wait = async {
            self.requests.send(request(reply)).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        let busy = |_| Failure::unavailable("the queue of writers is too long");
        timeout(self.turn_timeout, wait).await.map_err(busy)?
    }

    /// Does the task live? It outlives every error, but not a panic.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.requests.is_closed() { Err(stopped()) } else { Ok(()) }
    }

    /// Units that wait for their turns, without the one that has it.
    pub(crate) fn waiting(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }

    /// Units that were acknowledged, and the commits it took.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.counters.units.load(Ordering::Relaxed), self.counters.commits.load(Ordering::Relaxed))
    }
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

/// The owner of the connection.
struct Task {
    connection: Option<DatabaseConnection>,
    options: Arc<DatabaseOptions>,
    log: PathBuf,
    limits: Limits,
    counters: Arc<Counters>,
    /// The log is left alone until it has so many bytes.
    log_bytes: u64,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.recv().await {
            match self.open().await {
                Ok(batch) => {
                    let mut acks = Vec::new();
                    let result = self.batch(batch, request, &mut queue, &mut acks).await;
                    if let Err(failure) = &result {
                        tracing::error!(%failure, units = acks.len(), "a batch of writes was rolled back");
                        self.connection = None;
                    } else {
                        self.counters.units.fetch_add(acks.len() as u64, Ordering::Relaxed);
                    }
                    for ack in acks {
                        ack.tell(result.clone());
                    }
                    self.empty_log().await;
                }
                Err(failure) => {
                    self.connection = None;
                    request.refuse(failure);
                }
            }
        }
    }

    /// SQLite begins its log anew only in a moment in which nobody reads from it. Where somebody always does, it would grow
    /// for ever: then whoever reads from it is waited for, while nobody writes.
    ///
    /// Calls read for milliseconds. Who reads for minutes is a backup, which must not hold up everybody after each commit:
    /// it is waited for again when the log is twice as long.
    async fn empty_log(&mut self) {
        let Some(connection) = &self.connection else { return };
        // A question of a microsecond, compared with the milliseconds of the commit before.
        let bytes = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        if bytes < self.log_bytes {
            return;
        }
        match truncate_log(connection).await {
            Ok(true) => self.log_bytes = self.limits.log_bytes,
            Ok(false) => {
                self.log_bytes = bytes.saturating_mul(2);
                tracing::warn!(bytes, "the write-ahead log grows: somebody reads from it for long, such as a backup");
            }
            Err(error) => tracing::warn!(%error, bytes, "the write-ahead log cannot be emptied"),
        }
    }

    /// Begins a transaction, on a new connection if the last one was thrown away.
    async fn open(&mut self) -> Result<DatabaseTransaction, Failure> {
        if self.connection.is_none() {
            self.connection = Some(connect_writer(&self.options).await?);
        }
        let Some(connection) = &self.connection else { return Err(stopped()) };
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(connection.begin_with_options(options).await?)
    }

    /// Gives turns until nobody waits or the batch is full, then commits. `acks` are those to be told the result.
    async fn batch(
        &self,
        mut batch: DatabaseTransaction,
        first: Request,
        queue: &mut mpsc::Receiver<Request>,
        acks: &mut Vec<Ack>,
    ) -> Result<(), Failure> {
        let opened = Instant::now();
        let mut next = Some(first);
        let mut units = 0;
        while let Some(request) = next {
            batch = match request {
                Request::Turn(reply) => self.turn(batch, reply, acks).await?,
                Request::Statement(statement, reply) => run(batch, *statement, reply, acks).await?,
            };
            units += 1;
            let full = units == self.limits.batch_units || opened.elapsed() >= self.limits.batch_time;
            next = if full { None } else { queue.try_recv().ok() };
        }
        if acks.is_empty() {
            return Ok(batch.rollback().await?);
        }
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        Ok(batch.commit().await?)
    }

    /// One unit's turn. An error means that the state of the whole transaction is in doubt.
    async fn turn(
        &self,
        batch: DatabaseTransaction,
        request: Reply<Turn>,
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
        let outcome = self.outcome(&mut outcome, &slot).await;

        let mut slot = slot.lock().await;
        let (Some(savepoint), Some(batch)) = (slot.savepoint.take(), slot.batch.take()) else {
            return Err(Failure::fault("a turn lost its transaction"));
        };
        match outcome {
            Some(ack) => {
                // In doubt from here on: this unit, too, learns what becomes of the batch.
                acks.push(Ack::Turn(ack));
                savepoint.commit().await?;
            }
            None => savepoint.rollback().await?,
        }
        Ok(batch)
    }

    /// Waits for a unit to commit or to go away. One that runs no statement for too long is treated as gone.
    async fn outcome(&self, outcome: &mut oneshot::Receiver<Reply<()>>, slot: &Mutex<Slot>) -> Option<Reply<()>> {
        let mut seen = 0;
        loop {
            if let Ok(outcome) = timeout(self.limits.idle, &mut *outcome).await {
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
}

/// Runs a statement that is a unit by itself. An error means that the state of the whole transaction is in doubt.
async fn run(
    batch: DatabaseTransaction,
    statement: Statement,
    reply: Reply<Rows>,
    acks: &mut Vec<Ack>,
) -> Result<DatabaseTransaction, Failure> {
    if reply.is_closed() {
        return Ok(batch);
    }
    match batch.query_all_raw(statement).await.map_err(Failure::from) {
        Ok(rows) => acks.push(Ack::Statement(rows, reply)),
        // The statement is undone, and nothing else is.
        Err(failure @ Failure::Duplicate(_)) => _ = reply.send(Err(failure)),
        Err(failure) => {
            let _ = reply.send(Err(failure.clone()));
            return Err(failure);
        }
    }
    Ok(batch)
}

fn stopped() -> Failure {
    Failure::unavailable("the writer has stopped")
}

fn rested() -> Failure {
    Failure::unavailable("the unit of work rested for too long and was rolled back")
}

#[cfg(test)]
mod tests;
