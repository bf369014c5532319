//! Cluster and timeline of a server. Each promotion begins a timeline with a higher number.

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Executor as _, Row as _};

/// Statement that reads them on a primary. A standby has the timeline 0.
const LINEAGE: &str = "SELECT system_identifier, CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0 ELSE \
                       ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()), 1, 8)) \
                       ::bit(32)::bigint END AS timeline FROM pg_catalog.pg_control_system()";

/// Cluster and timeline of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lineage {
    cluster: i64,
    pub(super) timeline: i64,
}

impl Lineage {
    /// Reports whether the server of `self` has replaced the server of `other`.
    pub(super) fn replaces(self, other: Self) -> bool {
        self.cluster == other.cluster && self.timeline > other.timeline && other.timeline > 0
    }

    /// Reports whether both servers belong to the same cluster: the data of one was copied from the other.
    pub(super) fn is_of_cluster(self, other: Self) -> bool {
        self.cluster == other.cluster
    }

    /// Returns the lineage of the server of a connection. It does not change while the server is a primary.
    pub(super) async fn of(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let row = connection.fetch_one(LINEAGE).await?;
        Ok(Self { cluster: row.try_get("system_identifier")?, timeline: row.try_get("timeline")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_the_same_cluster_with_a_later_timeline_replaces_a_primary() {
        let of = |cluster, timeline| Lineage { cluster, timeline };
        assert!(of(1, 2).replaces(of(1, 1)));
        assert!(of(1, 2).is_of_cluster(of(1, 1)) && !of(2, 1).is_of_cluster(of(1, 1)));
        for (one, other) in [((1, 1), (1, 1)), ((1, 1), (1, 2)), ((2, 2), (1, 1)), ((1, 0), (1, 1)), ((1, 2), (1, 0))] {
            assert!(!of(one.0, one.1).replaces(of(other.0, other.1)), "{one:?} {other:?}");
        }
    }
}
