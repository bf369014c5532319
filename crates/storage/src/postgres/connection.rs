//! Connections to PostgreSQL: for single statements, and for transactions.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::sqlx::{self, Executor};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement};

use crate::options::{DatabaseOptions, SetupError, setup_error};
use crate::postgres::url::ssl_mode;
use crate::sql::quoted;

/// Idle time after which a connection is tested before it is used.
pub(crate) const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// Required encoding of a database, by PostgreSQL's name for it.
pub(crate) const ENCODING: &str = "UTF8";

/// Purpose of a pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Statements that read, or that commit by themselves.
    Statement,
    /// Lookups of tokens.
    Lookup,
    /// All reads from a replica.
    Replica,
    /// Transactions.
    Transaction,
    /// Migration of the schema: one connection, no timeouts.
    Migrate,
    /// Check whether the database answers: one connection.
    Heartbeat,
}

impl Purpose {
    /// Returns the number of connections for a purpose. A quarter of the connections for calls is for transactions. A
    /// third of the rest is for lookups, which share statements. Writes wait for the disk, and many can wait at the
    /// same time.
    pub(crate) fn connections(self, options: &DatabaseOptions) -> u32 {
        let all = options.postgres_connections.max(2);
        let transactions = (all / 4).max(1);
        let lookups = (all - transactions) / 3;
        match self {
            Self::Transaction => transactions,
            Self::Lookup => lookups,
            Self::Statement => all - transactions - lookups,
            Self::Replica => all - transactions,
            Self::Migrate | Self::Heartbeat => 1,
        }
    }
}

/// Opens a pool for one purpose.
pub(crate) async fn connect(options: &DatabaseOptions, purpose: Purpose) -> Result<DatabaseConnection, DbErr> {
    connect_if(options, purpose, None).await
}

/// Opens a pool on a server for which `condition`, a boolean of SQL, is true. Where a URL names several servers, the
/// others are tried; otherwise this fails.
pub(crate) async fn connect_if(
    options: &DatabaseOptions,
    purpose: Purpose,
    condition: Option<&str>,
) -> Result<DatabaseConnection, DbErr> {
    // sea-orm knows only the shorter of the two names of the scheme.
    let url = options.url.strip_prefix("postgresql:").map(|rest| format!("postgres:{rest}"));
    let mut connect = ConnectOptions::new(url.unwrap_or_else(|| options.url.clone()));
    let mut settings = settings(options, purpose);
    if let Some(condition) = condition {
        settings += &format!("SELECT 1 / ({condition})::integer;");
    }
    let url = options.url.clone();
    connect
        .map_sqlx_postgres_opts(move |parsed| {
            let mode = ssl_mode(&url, &parsed);
            parsed.ssl_mode(mode)
        })
        .max_connections(purpose.connections(options))
        .min_connections(1)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire_if_idle_for(PING_AFTER_IDLE)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .set_application_name(APPLICATION_NAME)
        .map_sqlx_postgres_pool_opts(move |pool| roll_back_on_release(set_on_connect(pool, &settings), purpose));
    sea_orm::Database::connect(connect).await
}

/// Name of a connection in PostgreSQL's views. Version 0.2.0 and earlier leave the version out.
const APPLICATION_NAME: &str = concat!("access-tokens ", env!("CARGO_PKG_VERSION"));

/// Returns the statements that set up a session. They are not start-up parameters, because pgbouncer refuses those.
fn settings(options: &DatabaseOptions, purpose: Purpose) -> String {
    // `client_min_messages`: a ROLLBACK without a transaction, which is the normal case on release, would cause a
    // warning.
    let mut settings = vec![("client_min_messages", "error".to_owned())];
    if purpose == Purpose::Migrate {
        // Waits until another process has migrated, and then for as long as the migration takes.
        settings.extend([("statement_timeout", "0".to_owned()), ("lock_timeout", "0".to_owned())]);
    } else {
        settings.extend([
            // Plans are made once; the plan of a statement here never depends on its values.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            // Each statement has its index. A plan made while a table was empty would scan the table, and keep doing so
            // until the next ANALYZE: that made the first import of 100,000 tokens several times slower.
            ("enable_seqscan", "off".to_owned()),
            ("statement_timeout", options.statement_timeout.as_millis().to_string()),
            ("lock_timeout", options.lock_timeout.as_millis().to_string()),
            ("idle_in_transaction_session_timeout", options.idle_transaction_timeout.as_millis().to_string()),
        ]);
    }
    // PostgreSQL searches pg_catalog first if the path does not name it. If the path named it first, new tables would
    // be created there. Temporary objects are last: otherwise they would be found before all others.
    let path = format!("SET search_path = {}, pg_temp;", quoted(&options.schema));
    if options.read_only {
        settings.push(("default_transaction_read_only", "on".to_owned()));
    }
    settings.iter().fold(path, |text, (name, value)| format!("{text}SET {name} = '{value}';"))
}

fn set_on_connect(pool: PgPoolOptions, settings: &str) -> PgPoolOptions {
    let settings: std::sync::Arc<str> = settings.into();
    pool.after_connect(move |connection, _| {
        let settings = settings.to_string();
        Box::pin(async move { connection.execute(sea_orm::sqlx::AssertSqlSafe(settings)).await.map(|_| ()) })
    })
}

/// Rolls back on release to the pool. A `BEGIN` whose caller was dropped before the answer leaves an open transaction
/// on the server that the driver does not know. The next user of the connection would write into it, get a success, and
/// lose the write. Therefore no connection returns to the pool before a rollback, which is a round trip. Connections
/// for single statements never begin a transaction and skip it.
fn roll_back_on_release(pool: PgPoolOptions, purpose: Purpose) -> PgPoolOptions {
    if matches!(purpose, Purpose::Statement | Purpose::Lookup | Purpose::Replica | Purpose::Heartbeat) {
        return pool;
    }
    pool.after_release(|connection, _| Box::pin(async move { connection.execute("ROLLBACK").await.map(|_| true) }))
}

/// Refuses a pooler that lends connections for one transaction only: settings of a session, prepared statements and
/// advisory locks would belong to another client afterwards. Two connections that are held at the same time must have
/// one server process each, and keep it.
pub(crate) async fn check_session(one: &DatabaseConnection, other: &DatabaseConnection) -> Result<(), SetupError> {
    let failed = |error: sqlx::Error| match error.as_database_error().and_then(|error| error.code()).as_deref() {
        // A prepared statement already exists, or does not exist: it was prepared for another client.
        Some("42P05" | "26000") => SetupError::Pooled,
        _ => setup_error(DbErr::Conn(RuntimeErr::SqlxError(error.into()))),
    };
    let mut one = one.get_postgres_connection_pool().acquire().await.map_err(failed)?;
    let mut other = other.get_postgres_connection_pool().acquire().await.map_err(failed)?;
    let process = || sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
    let first = process().fetch_one(&mut *one).await.map_err(failed)?;
    let again = process().fetch_one(&mut *one).await.map_err(failed)?;
    let another = process().fetch_one(&mut *other).await.map_err(failed)?;
    if first == again && first != another { Ok(()) } else { Err(SetupError::Pooled) }
}

/// Refuses a database whose encoding lacks characters: PostgreSQL would refuse names of customers, or store bytes that
/// are no valid text.
pub(crate) async fn check_encoding(connection: &DatabaseConnection) -> Result<(), SetupError> {
    match show(connection, "server_encoding").await? {
        encoding if encoding == ENCODING => Ok(()),
        encoding => Err(SetupError::Encoding(encoding)),
    }
}

async fn show(connection: &DatabaseConnection, setting: &str) -> Result<String, SetupError> {
    let statement = Statement::from_string(DbBackend::Postgres, format!("SHOW {setting}"));
    let row = connection.query_one_raw(statement).await.map_err(setup_error)?;
    let row = row.ok_or_else(|| SetupError::Database(format!("PostgreSQL does not know {setting}")))?;
    row.try_get("", setting).map_err(setup_error)
}

/// Refuses settings under which a crash loses acknowledged commits.
pub(crate) async fn check_safe(connection: &DatabaseConnection) -> Result<(), SetupError> {
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = show(connection, setting).await?;
        if value == "off" {
            return Err(SetupError::Unsafe { setting, value, needed: "on" });
        }
    }
    Ok(())
}
