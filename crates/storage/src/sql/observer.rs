//! Reports which statements ran, and for how long, to the observer of [`DatabaseOptions`](crate::DatabaseOptions).
//! Without an observer, nothing is measured.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::DbBackend;

use crate::sql::label::Label;

/// Receives each statement after its end, in the task that ran it.
pub trait StatementObserver: Send + Sync + 'static {
    /// Handles a statement that has just ended. It must return without waiting.
    fn observe(&self, statement: &FinishedStatement);
}

/// A statement that has ended. It does not contain the text and the values of the statement.
pub struct FinishedStatement {
    label: Label,
    /// `sqlite` or `postgresql`.
    pub system: &'static str,
    /// Time that the statement took. On the primary of PostgreSQL it excludes the wait for a connection. On SQLite it
    /// includes the wait for a connection or in the queue of writes, and the commit of a write.
    pub duration: Duration,
    /// Whether the database refused the statement or did not answer.
    pub failed: bool,
}

impl FinishedStatement {
    /// Returns `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `BEGIN` or `COMMIT`, and `OTHER` for all other statements.
    pub fn operation(&self) -> &'static str {
        self.label.operation
    }

    /// Returns the tables that the statement reads or writes, each once, in the order in which it names them.
    pub fn tables(&self) -> &'static [&'static str] {
        self.label.tables
    }
}

impl fmt::Debug for FinishedStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.operation(), self.tables())
    }
}

/// The observer, if there is one.
pub(crate) type Observer = Option<Arc<dyn StatementObserver>>;

/// Runs a statement and reports it.
pub(crate) async fn observe<T, E>(
    observer: &Observer,
    backend: DbBackend,
    label: Label,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let Some(observer) = observer else { return work.await };
    let started = Instant::now();
    let result = work.await;
    report(observer.as_ref(), backend, label, started, &result);
    result
}

/// Runs a statement of SQLite synchronously and reports it.
pub(crate) fn observe_sync<T, E>(
    observer: &Observer,
    label: Label,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let Some(observer) = observer else { return work() };
    let started = Instant::now();
    let result = work();
    report(observer.as_ref(), DbBackend::Sqlite, label, started, &result);
    result
}

fn report<T, E>(
    observer: &dyn StatementObserver,
    backend: DbBackend,
    label: Label,
    started: Instant,
    result: &Result<T, E>,
) {
    let system = if backend == DbBackend::Sqlite { "sqlite" } else { "postgresql" };
    observer.observe(&FinishedStatement { label, system, duration: started.elapsed(), failed: result.is_err() });
}
