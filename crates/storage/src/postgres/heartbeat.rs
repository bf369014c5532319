//! A heartbeat on its own connection that watches the health of the database, and finds its primary again.
//!
//! A network that drops all packets breaks no connection. A statement on such a connection waits until the operating
//! system gives up after a quarter of an hour, and later statements on the same connection wait behind it. So when no
//! statement has been answered for a short time, the database is marked down: the pools are closed, so that their
//! connections are never used again, and after that the subscribers are notified. Calls that wait for such a connection
//! may then be aborted. When a primary answers, new pools are opened on it.
//!
//! A database that is only slow must not be marked down, because new connections would add to its load. Therefore each
//! answered statement of any call counts as a response. When connections break, their users get an error immediately,
//! and the timeout is longer. If the server reports that it is a standby, the database is
//! marked down at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use super::alarm::Alarm;
use super::health::OutageKind;
use super::lineage::Lineage;
use super::pools::{PoolSet, Pools, RESPONSE_TIMEOUT};
use super::purpose::Purpose;
use super::role::{Unsuitable, Wanted};
use super::servers::{Found, NotFound, Server};
use super::session::{self, SessionState};

/// Time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// Minimum time between two heartbeats, whatever the number of alarms.
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(20);
/// Minimum time between two replacements of the pools because of alarms.
const MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time of the last heartbeat on the former server.
const LAST_HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(100);
/// Maximum time without a response while connections break or cannot be opened. After it the database is marked down.
const OUTAGE_TIMEOUT: Duration = Duration::from_secs(4);
/// Maximum time without a response while every host refuses connections, starts or is a standby. Load causes none of
/// these.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(600);

/// The heartbeat of one process.
struct Heartbeat {
    /// `None`: the next heartbeat searches for the server.
    connection: Option<(Arc<Server>, PgConnection)>,
    /// Whether the pools are replaced even if their server has not changed.
    must_replace: bool,
    /// Whether the former server still answers: statements on it may wait for a long time.
    former_answers: bool,
    replaced: Option<Instant>,
}

/// Sends heartbeats until the pools are dropped.
pub(super) async fn run(pools: Weak<Pools>, alarm: Arc<Alarm>, connection: PgConnection) {
    let Some(server) = pools.upgrade().map(|pools| pools.server()) else { return };
    let connection = Some((server, connection));
    let mut heartbeat = Heartbeat { connection, must_replace: false, former_answers: false, replaced: None };
    loop {
        let waiting = Instant::now();
        let _ = timeout(HEARTBEAT_INTERVAL, alarm.raised()).await;
        sleep(MIN_HEARTBEAT_INTERVAL.saturating_sub(waiting.elapsed())).await;
        let Some(pools) = pools.upgrade() else { return };
        heartbeat.beat(&pools).await;
        if !pools.health().is_up() {
            drop(pools);
            // Ignores the alarms of calls that the outage has ended.
            sleep(HEARTBEAT_INTERVAL.saturating_sub(waiting.elapsed())).await;
        }
    }
}

impl Heartbeat {
    async fn beat(&mut self, pools: &Pools) {
        let recently = |replaced: Instant| replaced.elapsed() < MIN_REPLACEMENT_INTERVAL;
        if pools.alarm().take_leaves_server() && !self.replaced.is_some_and(recently) {
            // Another connection may lead to another server.
            if let Some((_, mut connection)) = self.connection.take() {
                let asked =
                    timeout(LAST_HEARTBEAT_TIMEOUT, session::send_heartbeat(&mut connection, &pools.options)).await;
                self.former_answers = matches!(asked, Ok(Ok(_)));
            }
            self.must_replace = true;
        }
        let sent = Instant::now();
        if let Some((server, mut connection)) = self.connection.take() {
            match timeout(RESPONSE_TIMEOUT, session::send_heartbeat(&mut connection, &pools.options)).await {
                Ok(Ok(state)) => match unsuitable(pools, &state) {
                    None => {
                        pools.health().record_response(sent);
                        return self.provide(pools, server, connection, &state).await;
                    }
                    Some(reason) => pools.mark_down(kind(&reason), reason.sentence(&server.name)),
                },
                Ok(Err(_)) => {}
                Err(_) => {
                    // Statements of calls that were sent a little later may have been answered: waits until these also had
                    // `RESPONSE_TIMEOUT`.
                    sleep(RESPONSE_TIMEOUT.saturating_sub(pools.health().time_since_response())).await;
                    if pools.health().time_since_response() >= RESPONSE_TIMEOUT {
                        pools.mark_down(OutageKind::Away, silence(&server.name));
                    }
                }
            }
        }
        self.search(pools).await;
    }

    /// Searches for the server, after a connection has failed.
    async fn search(&mut self, pools: &Pools) {
        let sent = Instant::now();
        let wanted = if pools.options.read_only { Wanted::Any } else { Wanted::Primary };
        let settings = session::settings(&pools.options, Purpose::Heartbeat);
        match timeout(RESPONSE_TIMEOUT, pools.servers.find(&settings, wanted)).await {
            Ok(Ok(Found { server, connection, state })) => {
                pools.health().record_response(sent);
                self.provide(pools, server, connection, &state).await;
            }
            Ok(Err(not_found)) => {
                let limit = if not_found.is_refusal() { REFUSAL_TIMEOUT } else { OUTAGE_TIMEOUT };
                let changed = not_found.reason_of(&pools.server()).is_some_and(Unsuitable::is_role);
                if changed || !pools.health().is_up() || pools.health().time_since_response() >= limit {
                    pools.mark_down(not_found.kind(), not_found.explained().parts().0);
                }
            }
            Err(_) => {
                if !pools.health().is_up() || pools.health().time_since_response() >= OUTAGE_TIMEOUT {
                    let names: Vec<_> = pools.servers.iter().map(|server| server.name.as_str()).collect();
                    pools.mark_down(OutageKind::Away, silence(&names.join(", ")));
                }
            }
        }
    }

    /// Lets calls use this server: opens pools on it, unless the current ones are there.
    async fn provide(
        &mut self,
        pools: &Pools,
        server: Arc<Server>,
        mut connection: PgConnection,
        state: &SessionState,
    ) {
        if pools.health().is_up() && !self.must_replace && pools.are_on(&server, state) {
            self.connection = Some((server, connection));
            return;
        }
        let lineage = match timeout(RESPONSE_TIMEOUT, Lineage::of(&mut connection)).await {
            Ok(lineage) => lineage.ok(),
            Err(_) => return,
        };
        if pools.is_foreign(lineage) {
            pools.servers.skip_first();
            return pools.mark_down(OutageKind::Foreign, format!("{} is a primary of another cluster", server.name));
        }
        let moves = !Arc::ptr_eq(&pools.server(), &server) || self.former_answers && !pools.are_on(&server, state);
        if pools.health().is_up() && moves {
            // Statements on the other server may never be answered.
            pools.mark_down(OutageKind::Moved, format!("the primary is now {}", server.name));
        }
        let opening = PoolSet::open(&pools.options, &server, state, lineage, pools.alarm());
        match timeout(RESPONSE_TIMEOUT, opening).await {
            Ok(Ok(pool_set)) => {
                pools.replace(pool_set);
                self.must_replace = false;
                self.former_answers = false;
                self.replaced = Some(Instant::now());
            }
            // The cause of an outage is now that of the server that was found.
            Ok(Err(error)) if !pools.health().is_up() => pools.mark_down(OutageKind::Away, error.parts().0),
            _ => {}
        }
        self.connection = Some((server, connection));
    }
}

/// Returns the reason why a server in this state must not be used any more.
fn unsuitable(pools: &Pools, state: &SessionState) -> Option<Unsuitable> {
    // A process that only reads may use any server.
    if pools.options.read_only { None } else { state.unsuitable(Wanted::Primary) }
}

fn silence(servers: &str) -> String {
    format!("no answer from {servers} within {} s", RESPONSE_TIMEOUT.as_secs_f32())
}

fn kind(reason: &Unsuitable) -> OutageKind {
    match reason {
        Unsuitable::Standby => OutageKind::Standby,
        Unsuitable::ReadOnly => OutageKind::ReadOnly,
        _ => OutageKind::Away,
    }
}

impl NotFound {
    /// Returns the kind of the outage: the role of a server that answers takes precedence over a
    /// host that does not answer.
    fn kind(&self) -> OutageKind {
        let kinds = self.0.iter().map(|(_, reason)| kind(reason));
        kinds
            .max_by_key(|kind| match kind {
                OutageKind::Away | OutageKind::Moved | OutageKind::Foreign => 0,
                OutageKind::Standby => 1,
                // It is the primary.
                OutageKind::ReadOnly => 2,
            })
            .unwrap_or(OutageKind::Away)
    }
}
