//! A position in the log of a PostgreSQL cluster.

use std::fmt;
use std::str::FromStr;

use access_tokens_domain::store::StoreResult;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, TryGetable};

use crate::error::{Failure, store_error};
use crate::sql::Sql;

/// Where the log is flushed to. A commit that was acknowledged lies before it, as nothing is acknowledged unflushed.
const OF_PRIMARY: &str = "SELECT ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(at), 1, 8))::bit(32)::bigint, (at - '0/0')::bigint \
                          FROM pg_current_wal_flush_lsn() at";

/// What is replayed, and of which history. The receiver knows at once, but tells only roles that may read statistics;
/// the control file is late after a promotion, and never early.
const OF_REPLICA: &str = "SELECT pg_is_in_recovery(), greatest((SELECT received_tli FROM pg_stat_wal_receiver), \
                          (SELECT timeline_id FROM pg_control_checkpoint()), \
                          (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::bigint, \
                          (pg_last_wal_replay_lsn() - '0/0')::bigint";

/// The cluster, which a copy has in common with its original, and the database in it.
const IDENTITY: &str = "SELECT system_identifier, (SELECT oid::bigint FROM pg_database \
                        WHERE datname = current_database()) FROM pg_control_system()";

/// When the server was started, to the microsecond.
const STARTED: &str = "extract(epoch FROM pg_postmaster_start_time())::text";

/// So much of the log, of one history: each promotion begins a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) timeline: u32,
    /// In bytes from its beginning.
    pub(crate) log: u64,
}

impl Position {
    /// Has whoever is here all that was committed before `other`? A history that is older than the other one has not,
    /// as far as it may have come: it went another way.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.timeline >= other.timeline && self.log >= other.log
    }

    /// The primary's: all that it has acknowledged so far lies before it. Fails on a standby.
    pub(crate) async fn of_primary(connection: &impl ConnectionTrait) -> StoreResult<Self> {
        let row = one(connection, OF_PRIMARY).await?;
        Self::read(cell(&row, 0)?, cell(&row, 1)?)
    }

    /// A replica's: what it shows is as young or younger. `None`: it does not follow anybody.
    pub(crate) async fn of_replica(connection: &DatabaseConnection) -> StoreResult<Option<Self>> {
        let row = one(connection, OF_REPLICA).await?;
        let (recovering, log): (bool, Option<i64>) = (cell(&row, 0)?, cell(&row, 2)?);
        match log.filter(|_| recovering) {
            Some(log) => Self::read(cell(&row, 1)?, log).map(Some),
            None => Ok(None),
        }
    }

    fn read(timeline: i64, log: i64) -> StoreResult<Self> {
        let nonsense = |_| Failure::fault("a position in the log that cannot be");
        Ok(Self { timeline: timeline.try_into().map_err(nonsense)?, log: log.try_into().map_err(nonsense)? })
    }
}

/// Which database it is, whoever of its servers is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(i64, i64);

impl Identity {
    pub(crate) async fn of(connection: &impl ConnectionTrait) -> StoreResult<Self> {
        let row = one(connection, IDENTITY).await?;
        Ok(Self(cell(&row, 0)?, cell(&row, 1)?))
    }
}

/// A condition that is true of the server that is asked, as long as it runs, and of no other one.
pub(crate) async fn this_server(connection: &DatabaseConnection) -> StoreResult<String> {
    let row = one(connection, &format!("SELECT {STARTED}")).await?;
    Ok(format!("{STARTED} = '{}'", cell::<String>(&row, 0)?))
}

async fn one(connection: &impl ConnectionTrait, sql: &str) -> StoreResult<QueryResult> {
    let statement = Sql::new(sql).statement(connection.get_database_backend());
    let mut rows = connection.query_all_raw(statement).await.map_err(store_error)?;
    Ok(rows.pop().ok_or_else(|| Failure::fault("the database does not know where it is"))?)
}

fn cell<T: TryGetable>(row: &QueryResult, column: usize) -> StoreResult<T> {
    row.try_get_by_index(column).map_err(store_error)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:016x}", self.timeline, self.log)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 24 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let number = |digits| u64::from_str_radix(digits, 16).map_err(drop);
        Ok(Self { timeline: number(&text[..8])? as u32, log: number(&text[8..])? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: u32, log: u64) -> Position {
        Position { timeline, log }
    }

    #[test]
    fn a_history_that_went_another_way_covers_nothing_of_the_newer_one() {
        assert!(at(1, 7).covers(at(1, 7)));
        assert!(at(2, 8).covers(at(1, 7)));
        assert!(!at(1, 6).covers(at(1, 7)));
        assert!(!at(1, 9_000).covers(at(2, 7)));
    }

    #[test]
    fn its_text_is_read_back_and_nothing_else_is() {
        let position = at(0x1f, 0x3_0000_0148);
        assert_eq!(position.to_string(), "0000001f0000000300000148");
        assert_eq!(position.to_string().parse(), Ok(position));
        for nonsense in ["", "0000001f000000030000014", "+000001f0000000300000148", "0000001f00000003000001480", "ä"] {
            assert_eq!(nonsense.parse::<Position>(), Err(()), "{nonsense}");
        }
    }
}
