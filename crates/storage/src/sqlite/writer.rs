//! Writes to SQLite pass through one fair queue and share commits.
//!
//! One task serves requests in the order of their arrival: transactions of several statements, which run one after the
//! other ([`transaction_queue`]), and single statements, which are most of the writes ([`autocommit`]). Each kind has
//! its own connection; only one of them writes at a time. When no request of the same kind waits, or the batch is full,
//! the batch is committed, and only then its requests receive their result. A request that fails or is dropped affects
//! only itself. An error that leaves the state of the transaction unknown affects the whole batch: all its requests get
//! the error, and the connection is discarded.

mod autocommit;
mod batch;
mod queue;
mod transaction_queue;
mod write_transaction;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbBackend, Statement};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use self::autocommit::{AutocommitWrite, AutocommitWriter};
pub(crate) use self::autocommit::{Rows, borrowed_value};
pub(crate) use self::batch::Limits;
use self::batch::{Counters, stopped_error};
use self::queue::{Queue, Request};
use self::transaction_queue::TransactionQueue;
pub(crate) use self::write_transaction::WriteTransaction;
use crate::error::Failure;
use crate::options::DatabaseOptions;
use crate::sqlite::beside;

/// Maximum age of the last commit. If it is older, a test commit checks whether the file can be written.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// "acts" as a number: the application id of this service in the header of its files.
const APPLICATION_ID: i32 = 0x6163_7473;
/// Maximum number of requests in the queue.
const QUEUE_CAPACITY: usize = 1_024;

/// The sending end of the queue.
pub(crate) struct SqliteWriter {
    requests: mpsc::Sender<Request>,
    queue_timeout: Duration,
    counters: Arc<Counters>,
    /// Signals the end of the task: the task drops the sender when it ends.
    running: watch::Receiver<()>,
}

impl SqliteWriter {
    /// Starts the task. It ends when the last handle is dropped.
    pub(crate) fn start(
        connection: DatabaseConnection,
        options: Arc<DatabaseOptions>,
        file: &Path,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let (requests, received) = mpsc::channel(QUEUE_CAPACITY);
        let counters = Arc::new(Counters::default());
        let (queue_timeout, max_log_bytes) = (limits.queue_timeout, limits.max_log_bytes);
        let task = WriterTask {
            autocommit: AutocommitWriter::start(file, options.read_only, Arc::clone(&counters))?,
            read_only: options.read_only,
            transactions: TransactionQueue { options, counters: Arc::clone(&counters), connection: Some(connection) },
            log: beside(file, "-wal"),
            limits,
            max_log_bytes,
        };
        let (run, running) = watch::channel(());
        tokio::spawn(async move {
            task.run(Queue { received, next: None }).await;
            drop(run);
        });
        Ok(Self { requests, queue_timeout, counters, running })
    }

    /// Waits in the queue and begins a transaction.
    pub(crate) async fn begin(&self) -> Result<WriteTransaction, Failure> {
        let (reply, granted) = oneshot::channel();
        let wait = async {
            self.requests.send(Request::Transaction(reply)).await.map_err(|_| stopped_error())?;
            granted.await.map_err(|_| stopped_error())?
        };
        timeout(self.queue_timeout, wait).await.map_err(|_| queue_timeout_error())?
    }

    /// Runs one statement and makes it durable, in a batch with others. Once the statement has started, this waits for
    /// its result, however long it takes.
    pub(crate) async fn write(&self, statement: Statement) -> Result<Rows, Failure> {
        let (reply, mut answer) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let write = AutocommitWrite { statement, taken: Arc::clone(&taken), reply };
        let wait = async {
            self.requests.send(Request::Autocommit(Box::new(write))).await.map_err(|_| stopped_error())?;
            (&mut answer).await.map_err(|_| stopped_error())?
        };
        match timeout(self.queue_timeout, wait).await {
            Ok(answer) => answer,
            Err(_) if taken.swap(true, Ordering::Relaxed) => answer.await.map_err(|_| stopped_error())?,
            Err(_) => Err(queue_timeout_error()),
        }
    }

    /// Ends the task: earlier requests are served, later ones are refused. Then the log is emptied and the connections
    /// are closed; the last connection to a file removes its log. Returns when that is done.
    pub(crate) async fn close(&self) {
        // An error means that the task is already ending.
        let _ = self.requests.send(Request::Close).await;
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }

    /// Returns the reason why nothing can be written now. `None`: the last commit succeeded and is recent, or a test
    /// commit has succeeded.
    pub(crate) async fn problem(&self) -> Option<&'static str> {
        let fresh = |last: &Instant| last.elapsed() < PROBE_INTERVAL;
        if self.counters.last_commit().as_ref().is_some_and(fresh) {
            return None;
        }
        // Writes the same value each time, so that it is a real write without an effect.
        let probe = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA application_id = {APPLICATION_ID}"));
        self.write(probe).await.err().map(|failure| describe(&failure))
    }

    /// Checks that the task runs. It survives every error, but not a panic in it or in its thread.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.requests.is_closed() { Err(stopped_error()) } else { Ok(()) }
    }

    /// Returns the number of waiting requests, without the running one.
    pub(crate) fn waiting(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }

    /// Returns the number of acknowledged writes, and the number of commits that made them durable.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.counters.writes.load(Ordering::Relaxed), self.counters.commits.load(Ordering::Relaxed))
    }
}

/// The task that serves the queue.
struct WriterTask {
    transactions: TransactionQueue,
    autocommit: AutocommitWriter,
    read_only: bool,
    log: PathBuf,
    limits: Limits,
    /// Size of the log in bytes above which it is emptied.
    max_log_bytes: u64,
}

impl WriterTask {
    async fn run(mut self, mut queue: Queue) {
        while let Some(request) = queue.wait().await {
            match request {
                Request::Close => break,
                Request::Transaction(first) => self.transactions.batch(first, &mut queue, &self.limits).await,
                Request::Autocommit(first) => {
                    let others = std::iter::from_fn(|| queue.next_autocommit()).take(self.limits.max_batch_size - 1);
                    if self.autocommit.batch(std::iter::once(*first).chain(others).collect()).await.is_err() {
                        break;
                    }
                }
            }
            self.checkpoint_log().await;
        }
        // Later requests fail, so that none of them is acknowledged and lost.
        drop(queue);
        self.finish().await;
    }

    /// Moves the content of the log into the file and closes both connections.
    async fn finish(mut self) {
        self.autocommit.stop().await;
        if self.read_only {
            if let Some(connection) = self.transactions.connection.take() {
                let _ = connection.close().await;
            }
            return;
        }
        match self.transactions.truncate_log().await {
            // Another process that has the file open empties the log when it ends.
            Ok(false) => tracing::debug!("another connection reads the write-ahead log: it is not emptied here"),
            Ok(true) => {}
            Err(error) => tracing::warn!(%error, "the write-ahead log cannot be emptied: keep it with the file"),
        }
        if let Some(connection) = self.transactions.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database file cannot be closed");
        }
    }

    /// Empties a log that has grown too large. SQLite reuses the log only when there are no readers. If there were
    /// always readers, the log would grow without bound, so this waits for them while no write runs.
    ///
    /// Calls read for milliseconds. A reader of minutes is a backup, which must not delay every commit: the next
    /// attempt follows when the log is twice as large.
    async fn checkpoint_log(&mut self) {
        // Reading the size takes about a microsecond; the commit before it took milliseconds.
        let bytes = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        if bytes < self.max_log_bytes {
            return;
        }
        match self.transactions.truncate_log().await {
            Ok(true) => self.max_log_bytes = self.limits.max_log_bytes,
            Ok(false) => {
                self.max_log_bytes = bytes.saturating_mul(2);
                tracing::warn!(bytes, "the write-ahead log grows: a long read, such as a backup, uses it");
            }
            Err(error) => tracing::warn!(%error, bytes, "the write-ahead log cannot be emptied"),
        }
    }
}

/// Returns the reason why a file cannot be written, for people. It is found by the message of SQLite, because the error
/// code is not available here.
fn describe(failure: &Failure) -> &'static str {
    let said = failure.to_string();
    let reasons = [
        ("full", "its disk is full"),
        ("readonly", "its file is read-only"),
        ("unable to open", "its file or its log cannot be opened"),
        ("I/O", "its disk refuses to write"),
        ("locked", "another process keeps it locked"),
        ("too long", "too many wait to write"),
        ("malformed", "its file is damaged"),
    ];
    reasons.iter().find(|(sign, _)| said.contains(sign)).map_or("it refuses to be written", |(_, describe)| *describe)
}

fn queue_timeout_error() -> Failure {
    Failure::unavailable("the queue of writers is too long")
}

#[cfg(test)]
mod tests;
