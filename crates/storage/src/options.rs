//! Options of the database, and errors in opening it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;

use crate::error::Failure;
use crate::sql::observer::StatementObserver;

/// Options of the database.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// `sqlite://path`, or `postgres://user:password@host/database`.
    pub url: String,
    /// PostgreSQL: whether unencrypted connections to another machine are allowed where the URL asks for them.
    pub allow_plain_text: bool,
    /// PostgreSQL: total number of connections for calls, at least 2; a quarter of them is for transactions. More than
    /// a few per core cost more than they bring.
    pub postgres_connections: u32,
    /// SQLite: number of connections that read. Exactly one connection writes.
    pub sqlite_readers: u32,
    /// Maximum time that a call waits for a free connection.
    pub acquire_timeout: Duration,
    /// PostgreSQL: maximum time of one statement.
    pub statement_timeout: Duration,
    /// PostgreSQL: maximum time that a statement waits for a lock of another transaction.
    pub lock_timeout: Duration,
    /// PostgreSQL: schema of the tables.
    pub schema: String,
    /// PostgreSQL: maximum time that a migration waits for the lock that another session holds.
    pub migration_lock_timeout: Duration,
    /// Maximum time between two statements of a transaction. After it the transaction is rolled back.
    pub idle_transaction_timeout: Duration,
    /// Opens the database for reading only: every write fails, no file is created, and settings that would lose commits
    /// are not refused but can be queried ([`Database::settings`](crate::Database::settings)).
    pub read_only: bool,
    /// PostgreSQL: replicas that may answer reads, each by the URL of exactly one server.
    pub replica_urls: Vec<String>,
    /// Maximum lag of a replica behind the primary.
    pub replica_max_lag: Duration,
    /// Observer of all statements. None by default.
    pub observer: Option<Arc<dyn StatementObserver>>,
}

/// Schema of the tables if the configuration names none.
const DEFAULT_SCHEMA: &str = "public";

impl DatabaseOptions {
    /// Returns the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            allow_plain_text: false,
            postgres_connections: 8,
            sqlite_readers: 4,
            acquire_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            schema: DEFAULT_SCHEMA.to_owned(),
            migration_lock_timeout: Duration::from_secs(60),
            idle_transaction_timeout: Duration::from_secs(5),
            read_only: false,
            replica_urls: Vec::new(),
            replica_max_lag: Duration::from_secs(1),
            observer: None,
        }
    }

    /// Returns the defaults for reading a SQLite file by its path.
    pub fn read_only_file(file: &Path) -> Result<Self, SetupError> {
        let path = file.to_str().ok_or_else(|| SetupError::Url(format!("{} is not UTF-8", file.display())))?;
        let url = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        Ok(Self { read_only: true, ..Self::new(format!("sqlite://{url}")) })
    }
}

/// Leaves the URLs out, because they may contain passwords.
impl std::fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseOptions")
            .field("allow_plain_text", &self.allow_plain_text)
            .field("postgres_connections", &self.postgres_connections)
            .field("sqlite_readers", &self.sqlite_readers)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("schema", &self.schema)
            .field("idle_transaction_timeout", &self.idle_transaction_timeout)
            .field("read_only", &self.read_only)
            .field("replicas", &self.replica_urls.len())
            .field("replica_max_lag", &self.replica_max_lag)
            .finish_non_exhaustive()
    }
}

/// Reason why a database cannot be opened or migrated.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is not one that this service understands. The message does not repeat it, because it may contain a
    /// password.
    #[error("the database URL is not valid: {0}")]
    Url(String),
    /// The connection would not be encrypted, so that an attacker on the network could read and change statements and
    /// results.
    #[error(
        "the database is on another machine, and sslmode={0} in its URL takes plain text: leave it out, which means \
         verify-full; or allow it by database.allow_plain_text = true, where something else encrypts"
    )]
    PlainText(&'static str),
    /// The settings of the database would lose commits that it has acknowledged.
    #[error(
        "the database runs with {setting} = {value}, which loses acknowledged commits at a crash; set it to {needed}"
    )]
    Unsafe {
        /// Name of the setting.
        setting: &'static str,
        /// Current value.
        value: String,
        /// Required value.
        needed: &'static str,
    },
    /// The schema has objects that the migrations do not create, or lacks objects that they create.
    #[error(
        "the schema of the database is not what this service makes: {0}. Undo that, or restore a backup; nothing was changed"
    )]
    ForeignSchema(String),
    /// The encoding of a PostgreSQL database lacks characters.
    #[error(
        "the database has the encoding {0}, which cannot hold every text; make one with `createdb --encoding=UTF8 \
         --template=template0` and move what is in this one there (pg_dump --encoding=UTF8)"
    )]
    Encoding(String),
    /// Another process serves this file.
    #[error("{} is served by another process; several of them need PostgreSQL", .0.display())]
    Served(PathBuf),
    /// The write-ahead log beside a SQLite file was written for another file.
    #[error(
        "{0}-wal does not belong to {0}: {why}; nothing was changed. If {0} was put there by copying, the log is what is \
         left of the file before: move {0}-wal and {0}-shm away, and start again. If the log has what is wanted, put the \
         file back that it belongs to. If both were copied together, remove {0}-generation",
        .file.display()
    )]
    ForeignLog {
        /// The file.
        file: PathBuf,
        /// Evidence that the log belongs to another file.
        why: &'static str,
    },
    /// A SQLite file is damaged or is not a SQLite file.
    #[error(
        "{} is damaged ({said}){log}. Keep a copy of all its files, and `access-tokens restore --replace` a backup",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Message of SQLite.
        said: String,
        /// Note on the log beside the file, if there is one.
        log: String,
    },
    /// The database cannot be reached, or refused the connection.
    #[error("the database cannot be used: {0}")]
    Database(String),
    /// No connection to PostgreSQL can be opened.
    #[error("the database cannot be used: {cause}")]
    Unreachable {
        /// Cause: refused, unknown host, wrong password, missing database, TLS.
        cause: String,
        /// Action that fixes it.
        cure: &'static str,
    },
    /// Servers of PostgreSQL answer, and none of them can be written.
    #[error("the database cannot be used: {cause}; {cure}")]
    NoPrimary {
        /// Cause: the role of each server, or why it does not answer.
        cause: String,
        /// Action that fixes it.
        cure: &'static str,
    },
    /// Another session holds the lock for migrations.
    #[error(
        "the schema has pending migrations, and another session has held the lock for migrations for {seconds} s: {holder}; \
         wait for it or end it (SELECT pg_terminate_backend(pid)), and start again"
    )]
    MigrationLocked {
        /// Process id and role of the session.
        holder: String,
        /// Time that this process has waited, in seconds.
        seconds: u64,
    },
    /// Other roles own objects that the service would use.
    #[error(
        "in the schema {schema}, other roles own objects through which they can run code as this service: {objects}; drop \
         them, or give them to the owner of the schema (ALTER ... OWNER TO); where that role migrates and this one only \
         serves, set database.migrate_at_start = false"
    )]
    ForeignObjects {
        /// The schema.
        schema: String,
        /// The objects with their owners.
        objects: String,
    },
    /// Other roles may prepare objects before the first migration.
    #[error(
        "other roles may create objects in the schema {schema}, and so prepare objects that this service would use: {roles}; \
         run {cure} as the owner of the schema, or name a schema of its own in database.schema"
    )]
    OpenSchema {
        /// The schema.
        schema: String,
        /// The roles.
        roles: String,
        /// Statement that fixes it.
        cure: String,
    },
    /// The tables are in another schema.
    #[error(
        "database.schema is {configured}, which has no tables of this service, and the schema {schema} has: set \
         database.schema = \"{schema}\""
    )]
    OtherSchema {
        /// The schema that has tables.
        schema: String,
        /// The schema of the configuration.
        configured: String,
    },
    /// The role does not see the tables.
    #[error("the role {role} may not use the schema {schema}: GRANT USAGE ON SCHEMA \"{schema}\" TO \"{role}\"")]
    NoUsage {
        /// The schema of the configuration.
        schema: String,
        /// The role of the connection.
        role: String,
    },
    /// A pooler lends its connections for one transaction, so that settings of a session do not stay with this service.
    #[error(
        "a pooler that gives its connections to somebody else after each transaction is in front of the database: it has to \
         pool by session (pgbouncer: pool_mode = session)"
    )]
    Pooled,
}

/// Fix for a damaged SQLite file.
const RESTORE: &str = "keep a copy of all its files, and `access-tokens restore --replace` a backup";

/// Returns the error with the message of the driver, and with the fix if the message means a damaged SQLite file.
pub(crate) fn unusable(said: String) -> SetupError {
    if said.contains("disk image is malformed") {
        SetupError::Database(format!("{said}; {RESTORE}"))
    } else {
        SetupError::Database(said)
    }
}

impl SetupError {
    /// Returns the problem and its fix as two texts, for errors whose message contains both. The fix is `None` if the
    /// error has none.
    pub fn parts(&self) -> (String, Option<String>) {
        let (problem, cure) = match self {
            Self::Unreachable { cause, cure } | Self::NoPrimary { cause, cure } => (cause.clone(), (*cure).to_owned()),
            Self::ForeignLog { file, why } => {
                let file = file.display();
                let cure = format!(
                    "if {file} was put there by copying, move {file}-wal and {file}-shm away, which are of the file before; if \
                     the log has what is wanted, put the file back that it belongs to; if both were copied together, remove \
                     {file}-generation"
                );
                (format!("{file}-wal does not belong to {file}: {why}"), cure)
            }
            Self::Damaged { file, said, log } => {
                (format!("{} is damaged ({said}){log}", file.display()), RESTORE.to_owned())
            }
            Self::Encoding(encoding) => (
                format!("the database has the encoding {encoding}, which cannot hold every text"),
                "make a database with `createdb --encoding=UTF8 --template=template0`, and move what is in this one there \
                 (pg_dump --encoding=UTF8)"
                    .to_owned(),
            ),
            Self::Pooled => (
                "a pooler in front of the database lends its connections for one transaction".to_owned(),
                "let it pool by session (pgbouncer: pool_mode = session)".to_owned(),
            ),
            Self::NoUsage { schema, role } => (
                format!("the role {role} may not use the schema {schema}"),
                format!("GRANT USAGE ON SCHEMA \"{schema}\" TO \"{role}\""),
            ),
            Self::OtherSchema { schema, configured } => (
                format!("the schema {configured} has no tables of this service, and the schema {schema} has"),
                format!("set database.schema = \"{schema}\""),
            ),
            other => {
                let text = other.to_string();
                let Some(message) = text.strip_suffix(RESTORE) else { return (text, None) };
                (message.trim_end_matches("; ").to_owned(), RESTORE.to_owned())
            }
        };
        (problem, Some(cure))
    }
}

/// Returns an error of the driver at start, without the driver's details.
pub(crate) fn setup_error(error: DbErr) -> SetupError {
    unusable(Failure::from(error).to_string())
}
