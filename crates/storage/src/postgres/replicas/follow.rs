//! Polls the positions of the primary and of each replica, and detects replicas that cannot be reached.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use access_tokens_domain::store::{LogPosition, StoreError, StoreResult};
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep, timeout};

use super::position::{self, Identity};
use super::{ObservedPosition, Replica, Replicas};
use crate::error::{Failure, store_error};
use crate::postgres::role::Wanted;
use crate::postgres::servers::Server;
use crate::postgres::{Purpose, connect, session};

/// Time between two polls. After a write, a caller reads from the primary for about this time if the replicas keep up.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two attempts to reach a replica that does not answer.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time to wait for a position. After it a replica counts as unreachable, and the position of the primary as
/// unknown.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

impl Replicas {
    /// Starts to poll, until the last user of the replicas is dropped.
    pub(crate) fn follow(self: &Arc<Self>) {
        self.following.call_once(|| start(self));
    }
}

/// Starts the tasks for the primary and for each replica.
fn start(replicas: &Arc<Replicas>) {
    tokio::spawn(sample_primary(Arc::downgrade(replicas)));
    for replica in &replicas.all {
        tokio::spawn(follow(Arc::downgrade(replicas), Arc::clone(replica)));
    }
}

/// Polls the position of the primary.
async fn sample_primary(replicas: Weak<Replicas>) {
    loop {
        sleep(POLL_INTERVAL).await;
        let Some(replicas) = replicas.upgrade() else { return };
        let (asked, unknown_writes) = (Instant::now(), replicas.write_positions.unknown_writes());
        if let Some(position) = replicas.primary_position().await {
            replicas.write_positions.resolve_unknown_writes(unknown_writes, position);
            replicas.add_sample(asked, position);
        }
    }
}

impl Replicas {
    /// Returns the position of the primary. `None` if it does not answer in time.
    pub(super) async fn primary_position(&self) -> Option<LogPosition> {
        let asked = Instant::now();
        let answer = timeout(RESPONSE_TIMEOUT, position::of_primary(&self.primary.executor())).await;
        let position = answer.ok()?.ok()?;
        self.primary.health().record_response(asked);
        Some(position)
    }

    fn add_sample(&self, asked: Instant, position: LogPosition) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.len() > 1 && samples.front().is_some_and(|(then, _)| asked - *then > self.max_lag) {
            samples.pop_front();
        }
        samples.push_back((asked, position));
    }

    /// Reports whether the position belongs to another timeline than the last known position of the primary.
    fn is_on_other_timeline(&self, position: LogPosition) -> bool {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.back().is_some_and(|(_, primary)| primary.timeline != position.timeline)
    }

    /// Returns the latest time at which this position contained everything that was acknowledged. `None`: that was too
    /// long ago, or the position belongs to another timeline than the primary.
    fn covers_until(&self, position: LogPosition) -> Option<Instant> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, primary) = samples.back()?;
        if primary.timeline != position.timeline {
            return None;
        }
        samples.iter().rev().find(|(_, then)| position.covers(*then)).map(|(asked, _)| *asked)
    }
}

/// Status of a replica, for the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReplicaStatus {
    InUse,
    Lagging,
    /// Its timeline is not known to be that of the primary.
    OtherTimeline,
    IsPrimary,
    Unreachable,
}

/// Polls the position of one replica.
async fn follow(replicas: Weak<Replicas>, replica: Arc<Replica>) {
    let (mut poll_connection, mut status) = (None, None);
    loop {
        sleep(POLL_INTERVAL).await;
        let Some(replicas) = replicas.upgrade().filter(|replicas| !replicas.closed.load(Ordering::Acquire)) else {
            return;
        };
        let answer = timeout(RESPONSE_TIMEOUT, replica.read_position(&mut poll_connection, &replicas)).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::unavailable("it does not answer").into()));
        let (now, cause) = match answer {
            Ok(Some(position)) => {
                let covers_until = replicas.covers_until(position);
                let observed = covers_until.map(|covers_until| ObservedPosition { position, covers_until });
                replica.state().observed = observed;
                let current = covers_until.is_some_and(|covers_until| covers_until.elapsed() <= replicas.max_lag);
                let status = if current {
                    ReplicaStatus::InUse
                } else if replicas.is_on_other_timeline(position) {
                    ReplicaStatus::OtherTimeline
                } else {
                    ReplicaStatus::Lagging
                };
                (status, None)
            }
            not_used => {
                poll_connection = None;
                replica.discard_pool();
                // Another server of the same URL may be a replica.
                replica.servers.skip_first();
                match not_used {
                    Err(error) => (ReplicaStatus::Unreachable, Some(error)),
                    Ok(_) => (ReplicaStatus::IsPrimary, None),
                }
            }
        };
        if status.replace(now) != Some(now) {
            replica.log_status(now, cause);
        }
        drop(replicas);
        if matches!(now, ReplicaStatus::Unreachable | ReplicaStatus::IsPrimary) {
            sleep(RECONNECT_INTERVAL).await;
        }
    }
}

/// The connection that reads the position of a replica.
struct PollConnection {
    server: Arc<Server>,
    connection: DatabaseConnection,
}

impl Replica {
    /// Returns the position of the replica. `None`: its server is not a standby.
    async fn read_position(
        &self,
        poll_connection: &mut Option<PollConnection>,
        replicas: &Replicas,
    ) -> StoreResult<Option<LogPosition>> {
        let alarm = replicas.primary.alarm();
        let PollConnection { server, connection } = match poll_connection {
            Some(poll_connection) => poll_connection,
            None => {
                let server = self.find_server().await?;
                let connection = connect(&self.options, &server, Purpose::Heartbeat, alarm, None);
                let connection = connection.await.map_err(store_error)?;
                if Identity::of(&connection).await? != Identity::of(&replicas.primary.executor()).await? {
                    return Err(Failure::fault("it is not a replica of this database").into());
                }
                poll_connection.insert(PollConnection { server, connection })
            }
        };
        let Some(position) = position::of_replica(connection).await? else { return Ok(None) };
        if self.state().pool.is_none() {
            // One URL may lead to several servers. The pool must use the server whose position is known.
            let started = position::start_time(connection).await?;
            let pool = connect(&self.options, server, Purpose::Replica, alarm, Some(&started)).await;
            self.state().pool = Some(pool.map_err(store_error)?);
        }
        Ok(Some(position))
    }

    /// Returns the server to follow: of several servers, one that is a standby now.
    async fn find_server(&self) -> StoreResult<Arc<Server>> {
        if self.servers.len() == 1 {
            return Ok(Arc::clone(self.servers.first()));
        }
        let settings = session::settings(&self.options, Purpose::Heartbeat);
        match self.servers.find(&settings, Wanted::Standby).await {
            Ok(found) => Ok(found.server),
            Err(not_found) => Err(Failure::unavailable(not_found.explained().parts().0).into()),
        }
    }

    fn log_status(&self, status: ReplicaStatus, cause: Option<StoreError>) {
        let (replica, host) = (self.number, self.servers.first().name.as_str());
        let cause = cause.as_ref().and_then(std::error::Error::source).map(ToString::to_string);
        match status {
            ReplicaStatus::InUse => tracing::info!(replica, host, "the replica is used"),
            ReplicaStatus::Lagging => {
                tracing::warn!(replica, host, "the replica lags too far behind and is not used");
            }
            ReplicaStatus::OtherTimeline => tracing::warn!(
                replica,
                host,
                "the replica is not used: its timeline is not yet known to be that of the primary; the service learns it at once \
                 if its role may read statistics: GRANT pg_read_all_stats TO role"
            ),
            ReplicaStatus::IsPrimary => tracing::info!(replica, host, "the replica is not used: it is the primary"),
            ReplicaStatus::Unreachable => tracing::warn!(replica, host, cause, "the replica is not used"),
        }
    }
}
