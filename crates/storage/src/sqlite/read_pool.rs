//! Lookups in SQLite, run synchronously on the calling thread.
//!
//! The driver of sea-orm gives each of its connections a thread, and the way there and back costs several times as much
//! as a lookup: about twelve pages, nearly always in memory. Only lookups run here, so that other tasks never wait for
//! long.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ToSql};

use access_tokens_domain::store::StoreResult;

use crate::error::Failure;
use crate::lookup::{Lookup, PreparedQuery};
use crate::reference::Versioned;
use crate::sql::observer::{Observer, observe_sync};
use crate::sql::row_reader::RowReader;
use crate::sqlite;

/// Maximum time that a read waits for a lock. Readers do not wait for writers, except while SQLite recovers the log of
/// a killed process.
const READ_BUSY_TIMEOUT: Duration = Duration::from_millis(100);
/// Number of statements of [`crate::lookup`]: 16 for tokens, 4 for owners.
const CACHED_STATEMENTS: usize = 20;
/// Number of bytes of the file that are mapped into memory instead of being copied. The copies are a fifth of the cost
/// of a lookup.
const MAPPED_BYTES: i64 = 256 << 20;
/// Number of consecutive lookups without a commit after which the file is mapped.
const READS_BEFORE_MAPPING: u32 = 256;
/// Time between two checks of [`ReadPool::close`] whether the last lookup has ended, which takes microseconds.
const CLOSE_POLL: Duration = Duration::from_millis(1);

/// Connections for lookups: as many as the maximum number of concurrent lookups so far.
pub(crate) struct ReadPool {
    file: PathBuf,
    observer: Observer,
    readers: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Reader>,
    /// Number of running lookups.
    active: usize,
    closed: bool,
}

/// A running lookup. It is no longer counted after its drop.
struct ActiveRead<'a>(&'a ReadPool);

impl Drop for ActiveRead<'_> {
    fn drop(&mut self) {
        self.0.readers().active -= 1;
    }
}

impl ReadPool {
    /// Creates the pool of a file, which is opened by the first lookup.
    pub(crate) fn new(file: &Path, observer: Observer) -> Self {
        Self { file: file.to_owned(), observer, readers: Mutex::default() }
    }

    /// Runs a lookup. `commits` is the number of commits that this process has made.
    pub(crate) fn find<T, const N: usize>(&self, lookup: &Lookup<'_, T, N>, commits: u64) -> StoreResult<Versioned<T>> {
        // Declared before the connection, so that it is dropped after it.
        let (_active, idle) = self.start()?;
        let mut reader = idle.map_or_else(|| Reader::open(&self.file), Ok).map_err(Failure::from)?;
        reader.adjust_mapping(commits).map_err(Failure::from)?;
        let found = observe_sync(&self.observer, lookup.query.label(), || {
            run_lookup(&reader.connection, lookup.query, &lookup.keys, |row_reader| lookup.read(row_reader))
        })?;
        self.keep(reader);
        Ok(found)
    }

    /// Refuses lookups and closes the connections. Returns when the last one is closed.
    pub(crate) async fn close(&self) {
        loop {
            let (idle, active) = {
                let mut readers = self.readers();
                readers.closed = true;
                (std::mem::take(&mut readers.idle), readers.active)
            };
            drop(idle);
            if active == 0 {
                return;
            }
            tokio::time::sleep(CLOSE_POLL).await;
        }
    }

    fn start(&self) -> Result<(ActiveRead<'_>, Option<Reader>), Failure> {
        let mut readers = self.readers();
        if readers.closed {
            return Err(Failure::unavailable("the database is closed"));
        }
        readers.active += 1;
        Ok((ActiveRead(self), readers.idle.pop()))
    }

    fn keep(&self, reader: Reader) {
        let mut readers = self.readers();
        if readers.closed {
            // Closed without the lock, because it takes longer than a lookup.
            drop(readers);
            drop(reader);
        } else {
            readers.idle.push(reader);
        }
    }

    fn readers(&self) -> MutexGuard<'_, PoolState> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection and the state of its mapping.
struct Reader {
    connection: Connection,
    commits: u64,
    reads_since_commit: u32,
}

impl Reader {
    fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = sqlite::open(file, OpenFlags::SQLITE_OPEN_READ_ONLY, READ_BUSY_TIMEOUT, CACHED_STATEMENTS)?;
        Ok(Self { connection, commits: 0, reads_since_commit: 0 })
    }

    /// Maps the file while no commits happen. SQLite removes the mapping after each commit of another connection, and
    /// mapping the pages again costs more than copying them.
    fn adjust_mapping(&mut self, commits: u64) -> rusqlite::Result<()> {
        if self.commits != commits {
            if self.reads_since_commit >= READS_BEFORE_MAPPING {
                self.set_mapped_bytes(0)?;
            }
            (self.commits, self.reads_since_commit) = (commits, 0);
        } else if self.reads_since_commit < READS_BEFORE_MAPPING {
            self.reads_since_commit += 1;
            if self.reads_since_commit == READS_BEFORE_MAPPING {
                self.set_mapped_bytes(MAPPED_BYTES)?;
            }
        }
        Ok(())
    }

    fn set_mapped_bytes(&self, bytes: i64) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "mmap_size", bytes)
    }
}

fn run_lookup<T>(
    connection: &Connection,
    query: PreparedQuery,
    keys: &[&str],
    read: impl FnOnce(RowReader<'_>) -> StoreResult<T>,
) -> StoreResult<T> {
    let mut statement = connection.prepare_cached(query.single_sql()).map_err(Failure::from)?;
    // Parameters are bound by name, because SQLite numbers them in the order of their appearance.
    let mut bind = |name: &str, value: &dyn ToSql| match statement.parameter_index(name)? {
        Some(place) => statement.raw_bind_parameter(place, value),
        None => Ok(()),
    };
    bind("$1", &query.organisation.0).map_err(Failure::from)?;
    for (name, key) in ["$2", "$3"].into_iter().zip(keys) {
        bind(name, key).map_err(Failure::from)?;
    }
    let mut rows = statement.raw_query();
    let row = rows.next().map_err(Failure::from)?.ok_or_else(|| query.unknown_organisation())?;
    read(RowReader::from_rusqlite(row))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::options::DatabaseOptions;
    use crate::tests::query_plans::{ORGANISATION, TOKENS, insert_fixtures};
    use crate::{lookup, migration};

    #[tokio::test]
    async fn no_statement_is_prepared_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("test.db");
        let options = DatabaseOptions::new(format!("sqlite://{}", file.display()));
        let writer = sqlite::connect_writer(&options).await.expect("connects");
        migration::migrate_sqlite(&writer).await.expect("migrates");
        // With statistics: without them SQLite ignores the values.
        insert_fixtures(&writer).await;
        let connection = Reader::open(&file).expect("opens").connection;
        for query in lookup::all(ORGANISATION) {
            for n in (1..=TOKENS).step_by(1_000) {
                for kind in ["T", "N", "C", "I", "A", "P", "none"] {
                    let key = format!("{kind}{n}");
                    run_lookup(&connection, query, &[&key, &key], |_| Ok(())).expect("an answer");
                }
            }
            let statement = connection.prepare_cached(query.single_sql()).expect("kept");
            assert!(statement.get_status(StatementStatus::Run) >= 100, "it is the one that ran");
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{}", query.single_sql());
        }
    }

    #[test]
    fn the_file_is_mapped_while_no_commits_happen() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("test.db");
        drop(Connection::open(&file).expect("a file"));
        let mut reader = Reader::open(&file).expect("opens");
        let mapped_after = |lookups: u32, commits: u64, reader: &mut Reader| {
            (0..lookups).for_each(|_| reader.adjust_mapping(commits).expect("adapts"));
            let mapped = reader.connection.pragma_query_value(None, "mmap_size", |row| row.get::<_, i64>(0));
            mapped.expect("an answer")
        };
        assert_eq!(
            mapped_after(READS_BEFORE_MAPPING - 1, 0, &mut reader),
            0,
            "another connection may have written just before"
        );
        assert_eq!(mapped_after(1, 0, &mut reader), MAPPED_BYTES);
        assert_eq!(mapped_after(1, 1, &mut reader), 0, "another connection has written");
        assert_eq!(mapped_after(READS_BEFORE_MAPPING, 2, &mut reader), 0);
        assert_eq!(mapped_after(1, 2, &mut reader), MAPPED_BYTES);
    }
}
