//! Connections to PostgreSQL: for single statements, and for transactions.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::sqlx::{self, Executor};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement};

use super::alarm::Alarm;
use super::purpose::Purpose;
use super::role::Wanted;
use super::servers::Server;
use super::session::{self, SessionState};
use crate::options::{DatabaseOptions, SetupError, setup_error};

/// Idle time after which a connection is tested before it is used.
pub(crate) const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// Required encoding of a database, by PostgreSQL's name for it.
pub(crate) const ENCODING: &str = "UTF8";

/// Opens a pool on one server.
///
/// `alarm` is raised when a new connection leads to another server, or to one that cannot be written, where the purpose
/// needs a primary. `started` is the start time of the only server that the pool uses. Where an address leads to several
/// servers, the pool tries again until its timeout.
pub(crate) async fn connect(
    options: &DatabaseOptions,
    server: &Server,
    purpose: Purpose,
    alarm: &Arc<Alarm>,
    started: Option<&str>,
) -> Result<DatabaseConnection, DbErr> {
    // The driver knows only one host of a URL. The options of the server replace those of this URL.
    let mut connect = ConnectOptions::new("postgres://localhost");
    let setup = SessionSetup {
        settings: session::settings(options, purpose),
        started: started.map(str::to_owned),
        wanted: (purpose.writes() && !options.read_only).then_some(Wanted::Primary),
        alarm: Arc::clone(alarm),
    };
    let (setup, server) = (Arc::new(setup), server.options.clone());
    connect
        .map_sqlx_postgres_opts(move |_| server.clone())
        .max_connections(purpose.connections(options))
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire_if_idle_for(PING_AFTER_IDLE)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_pool_opts(move |pool| {
            roll_back_on_release(set_up_on_connect(pool, Arc::clone(&setup)), purpose)
        });
    sea_orm::Database::connect(connect).await
}

/// Settings and checks with which each new session of a pool begins.
struct SessionSetup {
    settings: String,
    started: Option<String>,
    wanted: Option<Wanted>,
    alarm: Arc<Alarm>,
}

/// Sets up each new session. A connection to a server that is not the wanted one is refused in the same round trip.
fn set_up_on_connect(pool: PgPoolOptions, setup: Arc<SessionSetup>) -> PgPoolOptions {
    pool.after_connect(move |connection, _| {
        let setup = Arc::clone(&setup);
        Box::pin(async move {
            let state = session::begin(connection, &setup.settings).await?;
            setup.check(&state).map_err(|refusal| sqlx::Error::Configuration(refusal.into()))
        })
    })
}

impl SessionSetup {
    /// Refuses a session on another server than the wanted one.
    fn check(&self, state: &SessionState) -> Result<(), String> {
        if self.started.as_ref().is_some_and(|started| *started != state.started) {
            if self.wanted.is_some() {
                self.alarm.leave_server();
            }
            return Err("the connection leads to another server, or the server has restarted".to_owned());
        }
        match self.wanted.and_then(|wanted| state.unsuitable(wanted)) {
            None => Ok(()),
            Some(reason) => {
                self.alarm.raise();
                Err(reason.sentence("the server"))
            }
        }
    }
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
