//! Session of a connection: its settings, and whether its server can be written.

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Executor as _, Row as _};

use super::purpose::Purpose;
use super::role::{Unsuitable, Wanted};
use crate::options::DatabaseOptions;
use crate::sql::quoted;

/// Beginning of the statement of the heartbeat. `doctor` counts the processes that serve a database by it.
pub(crate) const HEARTBEAT_PREFIX: &str = "SELECT 1 AS access_tokens_watch";

/// Start time of the server.
pub(crate) const START_TIME: &str = "pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::text";

/// Columns of a [`SessionState`], before the start time.
const STATE: &str = "pg_catalog.pg_is_in_recovery() AS in_recovery, \
                     pg_catalog.current_setting('default_transaction_read_only') = 'on' AS read_only";

/// State of the server of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionState {
    /// Whether the server is a standby.
    pub(crate) in_recovery: bool,
    /// Whether the transactions of this session are read-only by default.
    pub(crate) read_only: bool,
    /// Start time of the server. It identifies the server until it restarts.
    pub(crate) started: String,
}

impl SessionState {
    /// Returns the reason why a server in this state is not the wanted one. `None`: it is.
    pub(crate) fn unsuitable(&self, wanted: Wanted) -> Option<Unsuitable> {
        match wanted {
            Wanted::Primary if self.in_recovery => Some(Unsuitable::Standby),
            Wanted::Primary if self.read_only => Some(Unsuitable::ReadOnly),
            Wanted::Any if self.in_recovery => Some(Unsuitable::Standby),
            Wanted::Standby if !self.in_recovery => Some(Unsuitable::Primary),
            _ => None,
        }
    }
}

/// Sets up a session, and returns the state of its server, in one round trip.
pub(crate) async fn begin(connection: &mut PgConnection, settings: &str) -> sqlx::Result<SessionState> {
    state(connection, format!("{settings}SELECT {STATE}, {START_TIME} AS started")).await
}

/// Sends a heartbeat.
pub(crate) async fn send_heartbeat(
    connection: &mut PgConnection,
    options: &DatabaseOptions,
) -> sqlx::Result<SessionState> {
    // A process that opens the database for reading only, such as `doctor`, is not counted.
    let prefix = if options.read_only { "SELECT 1" } else { HEARTBEAT_PREFIX };
    state(connection, format!("{prefix}, {STATE}, {START_TIME} AS started")).await
}

async fn state(connection: &mut PgConnection, sql: String) -> sqlx::Result<SessionState> {
    let row = connection.fetch_one(AssertSqlSafe(sql)).await?;
    Ok(SessionState {
        in_recovery: row.try_get("in_recovery")?,
        read_only: row.try_get("read_only")?,
        started: row.try_get("started")?,
    })
}

/// Returns the statements that set up a session. They are not start-up parameters, because pgbouncer refuses those.
pub(crate) fn settings(options: &DatabaseOptions, purpose: Purpose) -> String {
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
    let mut path = format!("SET search_path = {}, pg_temp;", quoted(&options.schema));
    if options.read_only {
        settings.push(("default_transaction_read_only", "on".to_owned()));
    } else {
        // A pooler of transactions, which is refused later, may lend a session of a process that only reads.
        path += "RESET default_transaction_read_only;";
    }
    settings.iter().fold(path, |text, (name, value)| format!("{text}SET {name} = '{value}';"))
}
