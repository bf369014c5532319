//! Finds a second primary while the first one still accepts writes: after a promotion that did not stop the old primary,
//! or where an address leads new connections to another server. The service leaves the old primary, whose later commits
//! the new one does not have.
//!
//! The server that was promoted last has the highest timeline. A server of another cluster is not a rival.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sea_orm::sqlx::Connection as _;
use tokio::time::{sleep, timeout};

use super::lineage::Lineage;
use super::pools::Pools;
use super::purpose::Purpose;
use super::servers::Server;
use super::session;

/// Time between two searches for another primary.
const SEARCH_INTERVAL: Duration = Duration::from_secs(3);
/// Maximum time to connect to one host and read its lineage.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

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
            && (is_own(pools, server) || still_has(pools, own).await)
        {
            tracing::error!(
                server = server.name,
                timeline = lineage.timeline,
                "another server was promoted while the primary accepts writes: the service moves to it, and commits since the \
                 promotion may be lost; configure the failover manager so that it stops the old primary before it promotes another server"
            );
            pools.servers.begin_with(server);
            pools.alarm().leave_server();
            return;
        }
    }
}

/// Reports whether the address of the pools leads to this server too: their connections may be on the one before.
fn is_own(pools: &Pools, server: &Arc<Server>) -> bool {
    Arc::ptr_eq(&pools.server(), server)
}

/// Reports whether the server of the pools is still a primary. In a planned switchover it has just been stopped, which the
/// heartbeat notices.
async fn still_has(pools: &Pools, own: Lineage) -> bool {
    let now = timeout(QUERY_TIMEOUT, lineage_of_new_connection(pools, &pools.server())).await;
    now.is_ok_and(|lineage| lineage == Some(own))
}

async fn lineage_of_new_connection(pools: &Pools, server: &Arc<Server>) -> Option<Lineage> {
    let settings = session::settings(&pools.options, Purpose::Heartbeat);
    let (mut connection, state) = server.open(&settings).await.ok()?;
    let lineage = if state.in_recovery || state.read_only { None } else { Lineage::of(&mut connection).await.ok() };
    let _ = connection.close().await;
    lineage
}
