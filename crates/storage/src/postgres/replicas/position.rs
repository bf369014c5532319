//! Positions in the log of a PostgreSQL cluster.

use access_tokens_domain::store::{LogPosition, StoreResult};
use sea_orm::{DatabaseConnection, QueryResult, TryGetable};

use crate::error::{Failure, store_error};
use crate::postgres::session::START_TIME;
use crate::sql::Sql;
use crate::sql::connection::Connection;
use crate::sql::label::Label;

/// Position up to which the primary has flushed its log. Every acknowledged commit is before it, because a commit is
/// acknowledged after the flush.
const OF_PRIMARY: &str = "SELECT ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(at), 1, 8))::bit(32)::bigint, (at - '0/0')::bigint \
                          FROM pg_current_wal_flush_lsn() at";

/// Position that a replica has replayed, and its timeline. The WAL receiver knows the timeline first, but shows it only
/// to roles that may read statistics; the control file is late after a promotion, and never early.
const OF_REPLICA: &str = "SELECT pg_is_in_recovery(), greatest((SELECT received_tli FROM pg_stat_wal_receiver), \
                          (SELECT timeline_id FROM pg_control_checkpoint()), \
                          (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::bigint, \
                          (pg_last_wal_replay_lsn() - '0/0')::bigint";

/// Identifier of the cluster, which a replica shares with its primary, and of the database in it.
const IDENTITY: &str = "SELECT system_identifier, (SELECT oid::bigint FROM pg_database \
                        WHERE datname = current_database()) FROM pg_control_system()";

/// Returns the position of the primary: everything that it has acknowledged so far is before it. Fails on a standby.
pub(crate) async fn of_primary(connection: &impl Connection) -> StoreResult<LogPosition> {
    let row = one(connection, OF_PRIMARY).await?;
    read(cell(&row, 0)?, cell(&row, 1)?)
}

/// Returns the position of a replica: its data is at least as current. `None`: the server is not a replica.
pub(crate) async fn of_replica(connection: &DatabaseConnection) -> StoreResult<Option<LogPosition>> {
    let row = one(connection, OF_REPLICA).await?;
    let (recovering, log): (bool, Option<i64>) = (cell(&row, 0)?, cell(&row, 2)?);
    match log.filter(|_| recovering) {
        Some(log) => read(cell(&row, 1)?, log).map(Some),
        None => Ok(None),
    }
}

fn read(timeline: i64, offset: i64) -> StoreResult<LogPosition> {
    let nonsense = |_| Failure::fault("a position in the log that cannot be");
    let (timeline, offset) = (timeline.try_into().map_err(nonsense)?, offset.try_into().map_err(nonsense)?);
    Ok(LogPosition { timeline, offset })
}

/// Identity of a database. It is the same on the primary and its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(i64, i64);

impl Identity {
    pub(crate) async fn of(connection: &impl Connection) -> StoreResult<Self> {
        let row = one(connection, IDENTITY).await?;
        Ok(Self(cell(&row, 0)?, cell(&row, 1)?))
    }
}

/// Returns the start time of the server, as a [`SessionState`](crate::postgres::session::SessionState) has it.
pub(crate) async fn start_time(connection: &DatabaseConnection) -> StoreResult<String> {
    cell(&one(connection, &format!("SELECT {START_TIME}")).await?, 0)
}

async fn one(connection: &impl Connection, sql: &str) -> StoreResult<QueryResult> {
    let mut rows = Sql::new(Label::CATALOG, sql).all(connection).await?;
    Ok(rows.pop().ok_or_else(|| Failure::fault("the database does not know where it is"))?)
}

fn cell<T: TryGetable>(row: &QueryResult, column: usize) -> StoreResult<T> {
    row.try_get_by_index(column).map_err(store_error)
}
