//! Single statements: a dedicated thread runs all that wait, and commits once.
//!
//! The driver of [`super::transaction_queue`] has a thread too, which each statement has to wake; that costs more than
//! the statement itself. SQLite undoes a failed statement by itself, so that no savepoints are needed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, OpenFlags};
use sea_orm::{Statement, Value};
use tokio::sync::oneshot;

use super::batch::{Counters, Reply, stopped_error};
use crate::error::Failure;
use crate::sqlite::{self, BUSY_TIMEOUT, CHECKPOINT_PAGES, JOURNAL_SIZE_LIMIT};

/// Maximum number of prepared statements in the cache.
const CACHED_STATEMENTS: usize = 64;

/// Rows that a statement has returned.
pub(crate) type Rows = Vec<Vec<SqliteValue>>;

/// A statement and the channel for its result.
pub(super) struct AutocommitWrite {
    pub(super) statement: Statement,
    /// Claimed by the thread when it runs the statement, or by the caller when it stops waiting.
    pub(super) taken: Arc<AtomicBool>,
    pub(super) reply: Reply<Rows>,
}

/// A batch and the channel that signals its end.
type BatchRequest = (Vec<AutocommitWrite>, oneshot::Sender<()>);

/// Handle of the thread, which ends when the handle is dropped.
pub(super) struct AutocommitWriter {
    batches: mpsc::Sender<BatchRequest>,
    /// Fails when the thread has ended and its connection is closed.
    ended: oneshot::Receiver<()>,
}

impl AutocommitWriter {
    /// Starts the thread. It opens the file with the first batch.
    pub(super) fn start(file: &Path, read_only: bool, counters: Arc<Counters>) -> std::io::Result<Self> {
        let (batches, queue) = mpsc::channel::<BatchRequest>();
        let (running, ended) = oneshot::channel();
        let mut writer = WriterThread { file: file.to_owned(), read_only, counters, connection: None };
        std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || {
            while let Ok((batch, done)) = queue.recv() {
                writer.batch(batch);
                let _ = done.send(());
            }
            // In this order: a task that waits for the end finds the connection closed.
            drop(writer);
            drop(running);
        })?;
        Ok(Self { batches, ended })
    }

    /// Ends the thread and waits until its connection is closed.
    pub(super) async fn stop(self) {
        drop(self.batches);
        let _: Result<(), _> = self.ended.await;
    }

    /// Runs a batch in one transaction and sends each result. An error means that the thread has ended.
    pub(super) async fn batch(&self, batch: Vec<AutocommitWrite>) -> Result<(), Failure> {
        let (done, finished) = oneshot::channel();
        self.batches.send((batch, done)).map_err(|_| stopped_error())?;
        finished.await.map_err(|_| stopped_error())
    }
}

struct WriterThread {
    file: PathBuf,
    read_only: bool,
    counters: Arc<Counters>,
    /// `None` after a failure that leaves the state of its transaction unknown.
    connection: Option<Connection>,
}

impl WriterThread {
    fn batch(&mut self, batch: Vec<AutocommitWrite>) {
        let mut written = Vec::with_capacity(batch.len());
        let opened = self.connection.take().map_or_else(|| open(&self.file, self.read_only), Ok);
        let result = match opened {
            Ok(connection) => {
                let result = run(&connection, batch, &mut written);
                self.connection = result.is_ok().then_some(connection);
                result
            }
            Err(error) => refuse(batch, error.into()),
        };
        self.counters.record_batch(&result, written.len());
        for (rows, reply) in written {
            let _ = reply.send(result.clone().map(|()| rows));
        }
    }
}

fn open(file: &Path, read_only: bool) -> rusqlite::Result<Connection> {
    let mode = if read_only { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    let connection = sqlite::open(file, mode, BUSY_TIMEOUT, CACHED_STATEMENTS)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(connection)
}

/// Runs all statements and commits. Adds those that share the result of the commit to `written`. After an error the
/// state of the connection is unknown.
fn run(
    connection: &Connection,
    batch: Vec<AutocommitWrite>,
    written: &mut Vec<(Rows, Reply<Rows>)>,
) -> Result<(), Failure> {
    let step = |text| Ok::<_, Failure>(connection.prepare_cached(text)?.raw_execute().map(drop)?);
    let mut batch = batch.into_iter();
    if let Err(failure) = step("BEGIN IMMEDIATE") {
        return refuse(batch, failure);
    }
    while let Some(AutocommitWrite { statement, taken, reply }) = batch.next() {
        if reply.is_closed() || taken.swap(true, Ordering::Relaxed) {
            continue;
        }
        match execute(connection, &statement) {
            Ok(rows) => written.push((rows, reply)),
            Err(failure) => {
                let _ = reply.send(Err(failure.clone()));
                // After these errors SQLite may have ended the transaction. After other errors only the statement is
                // undone.
                if matches!(failure, Failure::Unavailable(_)) || connection.is_autocommit() {
                    return refuse(batch, failure);
                }
            }
        }
    }
    step(if written.is_empty() { "ROLLBACK" } else { "COMMIT" })
}

/// Sends an error to the statements that have not run.
fn refuse(batch: impl IntoIterator<Item = AutocommitWrite>, failure: Failure) -> Result<(), Failure> {
    for AutocommitWrite { reply, .. } in batch {
        let _ = reply.send(Err(failure.clone()));
    }
    Err(failure)
}

fn execute(connection: &Connection, statement: &Statement) -> Result<Rows, Failure> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    for (place, value) in (1..).zip(statement.values.iter().flat_map(|values| &values.0)) {
        // SQLite numbers parameters in the order of their appearance, as the text does. A search by name takes as long
        // as all parameters before it.
        debug_assert_eq!(prepared.parameter_name(place), Some(format!("${place}").as_str()));
        prepared.raw_bind_parameter(place, ToSqlOutput::Borrowed(borrowed_value(value)?))?;
    }
    let columns = prepared.column_count();
    let mut found = prepared.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((0..columns).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?);
    }
    Ok(rows)
}

/// Returns a value in the form of SQLite.
pub(crate) fn borrowed_value(value: &Value) -> Result<ValueRef<'_>, Failure> {
    Ok(match value {
        Value::String(Some(text)) => ValueRef::Text(text.as_bytes()),
        Value::Int(Some(number)) => ValueRef::Integer((*number).into()),
        Value::BigInt(Some(number)) => ValueRef::Integer(*number),
        Value::Double(Some(number)) => ValueRef::Real(*number),
        Value::Bool(Some(yes)) => ValueRef::Integer((*yes).into()),
        Value::String(None) | Value::Int(None) | Value::BigInt(None) | Value::Double(None) | Value::Bool(None) => {
            ValueRef::Null
        }
        _ => return Err(Failure::fault("a value of a type that no column has")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_that_a_power_cut_could_take() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("test.db");
        drop(Connection::open(&file).expect("a file"));
        let connection = open(&file, false).expect("opens");
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("an answer");
        assert_eq!(synchronous, 2, "FULL");
    }
}
