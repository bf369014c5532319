//! Number of connections that PostgreSQL allows, and number of those in use.

use access_tokens_domain::store::StoreResult;

use crate::database::Database;
use crate::error::Failure;
use crate::postgres::session::HEARTBEAT_PREFIX;
use crate::sql::label::Label;
use crate::sql::{Sql, get};

/// Connections of a PostgreSQL server, as seen from one database and role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionCapacity {
    /// Number of connections that this role may have in this database: the smallest of all limits, without those
    /// reserved for superusers.
    pub available: u32,
    /// Number of connections of other programs, and to other databases.
    pub others: u32,
    /// Number of processes of this service that serve this database now.
    pub processes: u32,
}

impl ConnectionCapacity {
    /// Returns the maximum number of connections of one process: those of its pools, one for the heartbeat, and one for
    /// a command or a migration.
    pub fn per_process(connections: u32) -> u32 {
        connections + 2
    }

    /// Returns the number of processes of the service that can connect in addition to the other programs.
    pub fn processes_that_fit(&self, connections: u32) -> u32 {
        self.available.saturating_sub(self.others) / Self::per_process(connections)
    }
}

impl Database {
    /// Returns the capacity of the server. `None` on SQLite. Sessions of other roles are counted, but their details are
    /// not visible.
    pub async fn connection_capacity(&self) -> StoreResult<Option<ConnectionCapacity>> {
        if self.is_sqlite() {
            return Ok(None);
        }
        let mut sql = Sql::new(
            Label::CATALOG,
            "SELECT CAST(current_setting('max_connections') AS integer) AS most, \
             CAST(current_setting('superuser_reserved_connections') AS integer) AS reserved, \
             CAST(COALESCE(current_setting('reserved_connections', true), '0') AS integer) AS reserved_more, \
             (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit, \
             (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit, \
             count(*) AS sessions, \
             count(*) FILTER (WHERE datname = current_database() AND application_name LIKE 'access-tokens%') AS own, \
             count(*) FILTER (WHERE datname = current_database() AND pg_catalog.starts_with(query, ",
        );
        sql.bind(HEARTBEAT_PREFIX).push(")) AS processes FROM pg_stat_activity WHERE backend_type = 'client backend'");
        let rows = sql.all(&self.readers()).await?;
        let row = rows.first().ok_or_else(|| Failure::fault("an answer without a row"))?;
        let number = |column: &str| get::<i32>(row, column).map(|number| u32::try_from(number).unwrap_or_default());
        let count = |column: &str| get::<i64>(row, column).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let most = number("most")?.saturating_sub(number("reserved")? + number("reserved_more")?);
        // A negative limit means no limit.
        let limit = |column: &str| {
            get::<Option<i32>>(row, column).map(|limit| limit.and_then(|limit| u32::try_from(limit).ok()))
        };
        let (role, database) = (limit("role_limit")?, limit("database_limit")?);
        let available = [role, database].into_iter().flatten().fold(most, u32::min);
        // Under a smaller limit of the role or the database, other programs take no connection from this role.
        let others = if available < most { 0 } else { count("sessions")?.saturating_sub(count("own")?) };
        Ok(Some(ConnectionCapacity { available, others, processes: count("processes")? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_what_the_others_leave() {
        let room = |available, others| ConnectionCapacity { available, others, processes: 0 };
        assert_eq!(room(97, 7).processes_that_fit(8), 9);
        assert_eq!(room(97, 0).processes_that_fit(95), 1);
        assert_eq!(room(97, 1).processes_that_fit(95), 0);
        assert_eq!(room(10, 20).processes_that_fit(8), 0);
    }
}
