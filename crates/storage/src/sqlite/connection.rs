//! Connections to SQLite: one that writes, and several that read.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::OpenFlags;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{Sqlite, pool::PoolOptions};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait,
};

use crate::error::Failure;
use crate::options::{DatabaseOptions, SetupError, setup_error};
use crate::sqlite::url::check_url;

/// Maximum time that SQLite waits for another process, such as an import, that writes to the same file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time that writes are held up while a checkpoint waits for readers of the write-ahead log.
const READERS_TIMEOUT: Duration = Duration::from_millis(250);
/// Size in bytes to which the write-ahead log is truncated after a checkpoint.
pub(crate) const JOURNAL_SIZE_LIMIT: &str = "67108864";
/// Number of pages in the write-ahead log after which a commit writes them back: 8 MiB. A page that has changed several
/// times is written back once, so that more pages cost less each; twice as many made the slowest commits twice as slow.
pub(crate) const CHECKPOINT_PAGES: &str = "2000";
/// Number of SQLite instructions between two checks whether a read has to end: well below a millisecond.
const INSTRUCTIONS_PER_LOOK: i32 = 10_000;

/// Creates a file with access for its owner only: it contains hashes and personal data. SQLite gives the files beside
/// it the same permissions.
pub(crate) fn create_new(file: &Path) -> std::io::Result<File> {
    File::options().create_new(true).write(true).mode(0o600).open(file)
}

/// Creates such a file if it is missing.
pub(crate) fn create_private(file: &Path) -> Result<(), SetupError> {
    match create_new(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(file_error("created", file, &error)),
    }
}

/// The right to serve a file: a lock on a file beside it, which is removed on drop. If the process is killed, the file
/// stays and its lock ends.
pub(crate) struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Claim {
    /// Makes this process the only one that serves the file. The lock is not on the database file itself: on systems
    /// where both kinds of locks are the same, SQLite would wait for it.
    pub(crate) fn new(file: &Path) -> Result<Self, SetupError> {
        let path = beside(file, "-served");
        let lock = open_locked(&path, |lock| match lock.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(SetupError::Served(file.to_owned())),
            Err(TryLockError::Error(error)) => Err(file_error("locked", &path, &error)),
        })?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The file is removed while the lock is held: a process that has already opened it then finds that it is no
        // longer at its path.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a file and locks it against other processes. Creates it if it is missing.
pub(crate) fn open_locked(path: &Path, lock: impl Fn(&File) -> Result<(), SetupError>) -> Result<File, SetupError> {
    loop {
        create_private(path)?;
        let file = match File::options().read(true).write(true).open(path) {
            // Another process has just removed the file.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| file_error("opened", path, &error))?,
        };
        lock(&file)?;
        if is_at(&file, path) {
            return Ok(file);
        }
    }
}

/// Reports whether this open file is the one at the path.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let open = file.metadata().ok().as_ref().map(identity_of);
    open.is_some() && open == identity(path)
}

/// Returns device and inode of the file at a path. `None`: there is no file.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().as_ref().map(identity_of)
}

fn identity_of(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

pub(crate) fn file_error(be: &str, path: &Path, error: &std::io::Error) -> SetupError {
    SetupError::Database(format!("{} cannot be {be}: {error}", path.display()))
}

/// Returns the path of a file beside the database, with this suffix.
pub(crate) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Opens the connection that writes.
pub(crate) async fn connect_writer(options: &DatabaseOptions) -> Result<DatabaseConnection, DbErr> {
    connect(options, 1, None).await
}

/// Opens the connections that read. Their statements end with an error soon after `closing` is set.
pub(crate) async fn connect_readers(
    options: &DatabaseOptions,
    closing: &Arc<AtomicBool>,
) -> Result<DatabaseConnection, DbErr> {
    connect(options, options.sqlite_readers.max(1), Some(Arc::clone(closing))).await
}

/// Opens a pool. Without `closing`, its connection may write.
async fn connect(
    options: &DatabaseOptions,
    connections: u32,
    closing: Option<Arc<AtomicBool>>,
) -> Result<DatabaseConnection, DbErr> {
    let query_only = closing.is_some();
    let read_only = options.read_only;
    // Even a reader would create a log and shared memory beside a file that no process has open, and leave them there.
    let immutable = read_only && !check_url(&options.url).is_ok_and(|file| is_in_use(&file));
    let mut connect = ConnectOptions::new(&options.url);
    connect
        .max_connections(connections)
        .min_connections(connections)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not go away; a test before each use would be a third of the cost of a read.
        .test_before_acquire(false)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = sqlite
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(BUSY_TIMEOUT)
                .pragma("trusted_schema", "OFF");
            if read_only {
                return sqlite.create_if_missing(false).read_only(true).immutable(immutable);
            }
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .pragma("journal_size_limit", JOURNAL_SIZE_LIMIT)
                .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
                .pragma("query_only", if query_only { "ON" } else { "OFF" })
        });
    if let Some(closing) = closing {
        connect.map_sqlx_sqlite_pool_opts(move |pool| interrupted_by(pool, &closing));
    }
    sea_orm::Database::connect(connect).await
}

/// Interrupts reads when the database is closed. A read of several seconds, such as a count of all tokens, would
/// prevent the log from being emptied at the end.
fn interrupted_by(pool: PoolOptions<Sqlite>, closing: &Arc<AtomicBool>) -> PoolOptions<Sqlite> {
    let closing = Arc::clone(closing);
    pool.after_connect(move |connection, _| {
        let closing = Arc::clone(&closing);
        Box::pin(async move {
            let mut handle = connection.lock_handle().await?;
            handle.set_progress_handler(INSTRUCTIONS_PER_LOOK, move || !closing.load(Ordering::Relaxed));
            Ok(())
        })
    })
}

/// Opens a connection without the driver of sea-orm, for one thread at a time. It caches at most `statements` prepared
/// statements.
pub(crate) fn open(
    file: &Path,
    mode: OpenFlags,
    busy_timeout: Duration,
    statements: usize,
) -> rusqlite::Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open_with_flags(file, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(busy_timeout)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(statements);
    Ok(connection)
}

/// Opens a connection that only reads and creates no files.
pub(crate) fn open_unchanged(file: &Path) -> rusqlite::Result<rusqlite::Connection> {
    if is_in_use(file) {
        return open(file, OpenFlags::SQLITE_OPEN_READ_ONLY, BUSY_TIMEOUT, 0);
    }
    let path = file.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let uri = PathBuf::from(format!("file:{path}?immutable=1"));
    open(&uri, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI, BUSY_TIMEOUT, 0)
}

/// Reports whether a process has a file open, or has ended without closing it: such a file is read with all locks and
/// through its log.
fn is_in_use(file: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|ending| beside(file, ending).exists())
}

/// Begins a transaction that writes. It takes the lock of the file at once.
pub(crate) async fn begin_immediate(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let mode = Some(SqliteTransactionMode::Immediate);
    connection.begin_with_options(TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() }).await
}

/// Moves the content of the log into the file and empties the log. Returns whether that was possible: it is not while
/// another connection uses the log.
pub(crate) fn checkpoint(connection: &rusqlite::Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// Empties the write-ahead log. Returns whether it is empty: it is not if a reader uses it for longer than calls do.
/// Runs on the writing connection while no other request uses it.
pub(crate) async fn truncate_log(connection: &DatabaseConnection) -> Result<bool, DbErr> {
    let wait = |time: Duration| format!("PRAGMA busy_timeout = {}", time.as_millis());
    connection.execute_unprepared(&wait(READERS_TIMEOUT)).await?;
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
    let row = connection.query_one_raw(statement).await;
    connection.execute_unprepared(&wait(BUSY_TIMEOUT)).await?;
    let busy = row?.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
    Ok(busy == Some(0))
}

/// Refuses settings under which a power cut loses acknowledged commits.
pub(crate) async fn check_safe(connection: &DatabaseConnection) -> Result<(), SetupError> {
    let synchronous: i32 = pragma(connection, "synchronous").await?;
    if synchronous < 2 {
        let value = synchronous.to_string();
        return Err(SetupError::Unsafe { setting: "synchronous", value, needed: "FULL" });
    }
    let journal_mode: String = pragma(connection, "journal_mode").await?;
    if journal_mode != "wal" {
        return Err(SetupError::Unsafe { setting: "journal_mode", value: journal_mode, needed: "WAL" });
    }
    Ok(())
}

async fn pragma<T: sea_orm::TryGetable>(connection: &DatabaseConnection, name: &str) -> Result<T, SetupError> {
    let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
    let row = connection.query_one_raw(statement).await.map_err(setup_error)?;
    let row = row.ok_or_else(|| SetupError::Database(format!("SQLite does not know PRAGMA {name}")))?;
    row.try_get("", name).map_err(setup_error)
}

/// Returns the error for a SQLite file that cannot be opened. A damaged file may be the result of a log that belongs to
/// another file. `log`: whether a log existed before the file was opened, because SQLite removes a log that it cannot
/// use.
pub(crate) fn setup_failure(file: &Path, log: bool, failure: &Failure) -> SetupError {
    let said = failure.to_string();
    if !["malformed", "not a database"].iter().any(|sign| said.contains(sign)) {
        return SetupError::Database(format!("{}: {said}", file.display()));
    }
    let mut note = String::new();
    if log {
        let log = beside(file, "-wal");
        note = format!("; {} was beside it, and destroys a file that it does not belong to", log.display());
    }
    SetupError::Damaged { file: file.to_owned(), said, log: note }
}

/// Reports whether a write-ahead log exists beside a file.
pub(crate) fn has_log(file: &Path) -> bool {
    beside(file, "-wal").exists()
}
