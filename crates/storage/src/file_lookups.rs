//! What is looked up in SQLite: at once, on the thread that asks.
//!
//! The driver gives each of its connections a thread, and to go there and back costs several times what looking up costs:
//! about twelve pages, nearly always in memory. More is never read here, so nobody else waits for long.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ToSql};

use access_tokens_domain::store::StoreResult;

use crate::cells::Cells;
use crate::error::Failure;
use crate::lookup::{Lookup, Question};
use crate::statements::{Watcher, told_at_once};

/// Who reads need not wait for who writes, except while the log of a process that was killed is taken over.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);
/// Those of [`crate::lookup`]: 16 for tokens, 4 for owners.
const STATEMENTS: usize = 20;
/// So many bytes of the file are read where the system keeps them, instead of being copied: the copies were a fifth of a lookup.
const MAPPED: i64 = 256 << 20;

/// Connections for looking up: as many as there have been threads that did it at once.
pub(crate) struct FileLookups {
    file: PathBuf,
    watcher: Watcher,
    idle: Mutex<Vec<Connection>>,
}

impl FileLookups {
    /// Of this file. It is opened with the first question.
    pub(crate) fn new(file: &Path, watcher: Watcher) -> Self {
        Self { file: file.to_owned(), watcher, idle: Mutex::default() }
    }

    /// What it finds.
    pub(crate) fn find<L: Lookup>(&self, lookup: &L) -> StoreResult<L::Found> {
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| open(&self.file), Ok).map_err(|error| Failure::of_rusqlite(&error))?;
        let found = told_at_once(&self.watcher, lookup.question().one(), || {
            ask(&connection, lookup.question(), lookup.keys(), |cells| lookup.read(cells))
        })?;
        self.idle().push(connection);
        Ok(found)
    }

    /// Closes the connections.
    pub(crate) fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    // Used by one thread at a time.
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Without it a statement is prepared anew whenever its values change, as soon as there are statistics of the tables.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "mmap_size", MAPPED)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn ask<T>(
    connection: &Connection,
    question: Question,
    keys: &[&str],
    read: impl FnOnce(Cells<'_>) -> StoreResult<T>,
) -> StoreResult<T> {
    let failed = |error| Failure::of_rusqlite(&error);
    let mut statement = connection.prepare_cached(question.one()).map_err(failed)?;
    // By name: SQLite itself would count them as they come.
    let mut bind = |name: &str, value: &dyn ToSql| match statement.parameter_index(name)? {
        Some(place) => statement.raw_bind_parameter(place, value),
        None => Ok(()),
    };
    bind("$1", &question.organisation.0).map_err(failed)?;
    for (name, key) in ["$2", "$3"].into_iter().zip(keys) {
        bind(name, key).map_err(failed)?;
    }
    let mut rows = statement.raw_query();
    read(Cells::of_lookup(rows.next().map_err(failed)?.ok_or_else(|| question.unknown())?))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::options::DatabaseOptions;
    use crate::plans::{ORGANISATION, TOKENS, furnish};
    use crate::{lookup, migration, sqlite};

    #[tokio::test]
    async fn no_statement_is_prepared_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("test.db");
        let options = DatabaseOptions::new(format!("sqlite://{}", file.display()));
        let writer = sqlite::connect_writer(&options).await.expect("connects");
        migration::migrate_sqlite(&writer).await.expect("migrates");
        // With statistics: only then does SQLite look at values.
        furnish(&writer).await;
        let connection = open(&file).expect("opens");
        for question in lookup::all(ORGANISATION) {
            for n in (1..=TOKENS).step_by(1_000) {
                for kind in ["T", "N", "C", "I", "A", "P", "none"] {
                    let key = format!("{kind}{n}");
                    ask(&connection, question, &[&key, &key], |_| Ok(())).expect("an answer");
                }
            }
            let statement = connection.prepare_cached(question.one()).expect("kept");
            assert!(statement.get_status(StatementStatus::Run) >= 100, "it is the one that ran");
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{}", question.one());
        }
    }
}
