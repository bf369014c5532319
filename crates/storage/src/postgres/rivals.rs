//! Finds a second primary while the first one still accepts writes: after a promotion that did not stop the old primary,
//! or where an address leads new connections to another server. The service leaves the old primary, whose later commits
//! the new one does not have.
//!
//! Only the server that is promoted last has the highest timeline. A server of another cluster is not a rival.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection as _, Executor as _, PgPool, Row as _};
use tokio::time::{sleep, timeout};

use super::Purpose;
use super::pools::Pools;
use super::servers::Server;
use super::session;

/// Time between two searches for another primary.
const SEARCH_INTERVAL: Duration = Duration::from_secs(3);
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// Cluster and timeline of a primary. A standby has the timeline 0.
const LINEAGE: &str = "SELECT system_identifier, CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0 ELSE \
                       ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()), 1, 8)) \
                       ::bit(32)::bigint END AS timeline FROM pg_catalog.pg_control_system()";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lineage {
    cluster: i64,
    timeline: i64,
}

impl Lineage {
    /// Reports whether the server of `self` has replaced the server of `other`.
    fn replaces(self, other: Self) -> bool {
        self.cluster == other.cluster && self.timeline > other.timeline && other.timeline > 0
    }

    /// Returns the lineage of the server of a pool. `None`: it cannot be read. A primary keeps it until it ends.
    pub(super) async fn of_pool(pool: &PgPool) -> Option<Self> {
        Self::of(&mut *pool.acquire().await.ok()?).await.ok()
    }

    async fn of(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let row = connection.fetch_one(LINEAGE).await?;
        Ok(Self { cluster: row.try_get("system_identifier")?, timeline: row.try_get("timeline")? })
    }
}

/// Searches at intervals until the pools are dropped.
pub(super) async fn watch(pools: Weak<Pools>) {
    loop {
        sleep(SEARCH_INTERVAL).await;
        let Some(pools) = pools.upgrade() else { return };
        if pools.health().is_up() {
            search(&pools).await;
        }
    }
}

async fn search(pools: &Pools) {
    let Some(own) = pools.lineage() else { return };
    for server in pools.servers.iter() {
        let rival = timeout(QUERY_TIMEOUT, lineage_of_new_connection(pools, server)).await;
        if let Ok(Some(lineage)) = rival
            && lineage.replaces(own)
        {
            tracing::error!(
                server = server.name,
                timeline = lineage.timeline,
                "another server was promoted while the primary accepts writes: the service moves to it, and commits since the \
                 promotion may be lost; let the failover manager stop the old primary first"
            );
            pools.servers.begin_with(server);
            pools.alarm().leave_server();
            return;
        }
    }
}

async fn lineage_of_new_connection(pools: &Pools, server: &Arc<Server>) -> Option<Lineage> {
    let settings = session::settings(&pools.options, Purpose::Heartbeat);
    let (mut connection, state) = server.open(&settings).await.ok()?;
    let lineage = if state.in_recovery || state.read_only { None } else { Lineage::of(&mut connection).await.ok() };
    let _ = connection.close().await;
    lineage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_the_same_cluster_with_a_later_timeline_replaces_a_primary() {
        let of = |cluster, timeline| Lineage { cluster, timeline };
        assert!(of(1, 2).replaces(of(1, 1)));
        for (one, other) in [((1, 1), (1, 1)), ((1, 1), (1, 2)), ((2, 2), (1, 1)), ((1, 0), (1, 1)), ((1, 2), (1, 0))] {
            assert!(!of(one.0, one.1).replaces(of(other.0, other.1)), "{one:?} {other:?}");
        }
    }
}
