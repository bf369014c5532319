//! Connections to PostgreSQL: some that run single statements, and some that run transactions.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::sqlx::{self, Executor};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement};

use crate::options::{DatabaseOptions, SetupError, setup_error};
use crate::postgres::url::ssl_mode;
use crate::sql::observed;
use crate::sql::quoted;

/// A connection that has rested for this long is asked whether it still lives before it is used.
pub(crate) const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// The encoding that a database must have, by the name that PostgreSQL gives it.
pub(crate) const ENCODING: &str = "UTF8";

/// What a pool is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Statements that read, or commit by themselves.
    Statement,
    /// Lookups of tokens.
    Lookup,
    /// Everything that a replica is read for.
    Replica,
    /// Transactions.
    Transaction,
    /// The schema: one connection, no limits of time.
    Migrate,
    /// Whether the database answers: one connection.
    Heartbeat,
}

impl Purpose {
    /// Number of connections, of all that a process has for calls: a quarter for transactions, and of the rest a third for
    /// lookups, which share statements. What writes waits for the disk, and many can do that at once.
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

/// A pool for one purpose.
pub(crate) async fn connect(options: &DatabaseOptions, purpose: Purpose) -> Result<DatabaseConnection, DbErr> {
    connect_if(options, purpose, None).await
}

/// The same with the servers of which this condition, a boolean of SQL, is true. Where a URL leads to several ones, others
/// are tried; where it does not, this fails.
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
    let mut connection = sea_orm::Database::connect(connect).await?;
    observed::observe_connection(&mut connection, options);
    Ok(connection)
}

/// What PostgreSQL shows of a connection. Version 0.2.0 and those before leave the version out.
const APPLICATION_NAME: &str = concat!("access-tokens ", env!("CARGO_PKG_VERSION"));

/// Settings of the session. They are statements, not start-up parameters, because a pgbouncer refuses those.
fn settings(options: &DatabaseOptions, purpose: Purpose) -> String {
    // `client_min_messages`: a ROLLBACK without a transaction, which is the normal case on release, would warn.
    let mut settings = vec![("client_min_messages", "error".to_owned())];
    if purpose == Purpose::Migrate {
        // Waits for whoever migrates just now, and then takes the time it takes.
        settings.extend([("statement_timeout", "0".to_owned()), ("lock_timeout", "0".to_owned())]);
    } else {
        settings.extend([
            // Planned once; the plan of a query here never depends on its values.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            // Each statement has its index. A plan made while a table was empty would read all of it, and keep doing so
            // until the next ANALYZE: that made the first import of 100,000 tokens several times slower.
            ("enable_seqscan", "off".to_owned()),
            ("statement_timeout", options.statement_timeout.as_millis().to_string()),
            ("lock_timeout", options.lock_timeout.as_millis().to_string()),
            ("idle_in_transaction_session_timeout", options.idle_transaction_timeout.as_millis().to_string()),
        ]);
    }
    // PostgreSQL looks into pg_catalog first where the path does not name it. Named first, it would be where new tables go.
    // Temporary objects come last: otherwise they would come before everything.
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

/// A `BEGIN` whose caller went away while it was under way leaves a transaction open on the server that the driver
/// knows nothing of. Whoever got the connection next would write into it, be told that all is well, and lose it.
/// So nothing goes back into the pool before the server has been told to roll back, which is a round trip. Connections that
/// only run single statements never begin one.
fn roll_back_on_release(pool: PgPoolOptions, purpose: Purpose) -> PgPoolOptions {
    if matches!(purpose, Purpose::Statement | Purpose::Lookup | Purpose::Replica | Purpose::Heartbeat) {
        return pool;
    }
    pool.after_release(|connection, _| Box::pin(async move { connection.execute("ROLLBACK").await.map(|_| true) }))
}

/// Refuses a pooler that lends connections for a transaction only: settings of a session, its prepared statements and its
/// advisory locks would be somebody else's by then. Two connections that are both held have a server process each, and keep it.
pub(crate) async fn check_session(one: &DatabaseConnection, other: &DatabaseConnection) -> Result<(), SetupError> {
    let failed = |error: sqlx::Error| match error.as_database_error().and_then(|error| error.code()).as_deref() {
        // A prepared statement that is there already, or is not: it was prepared for somebody else.
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

/// Refuses a database that cannot hold every text: PostgreSQL would refuse names of customers, or store bytes that are no
/// text of any encoding.
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

/// Refuses settings under which a crash takes acknowledged commits with it.
pub(crate) async fn check_safe(connection: &DatabaseConnection) -> Result<(), SetupError> {
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = show(connection, setting).await?;
        if value == "off" {
            return Err(SetupError::Unsafe { setting, value, needed: "on" });
        }
    }
    Ok(())
}
