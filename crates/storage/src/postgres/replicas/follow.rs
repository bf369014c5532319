//! Watching: where the primary is, how far each replica has come, and whether it is there at all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use access_tokens_domain::store::{LogPosition, StoreError, StoreResult};
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep, timeout};

use super::position::{self, Identity};
use super::{ObservedPosition, Replica, Replicas};
use crate::error::{Failure, store_error};
use crate::postgres::{Purpose, connect, connect_if};

/// Between two questions: so long a caller reads from the primary after a write, if the replicas have kept up.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Between two attempts to reach a replica that is away.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);
/// After so long without an answer a replica is away, and the primary has not said where it is.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

impl Replicas {
    /// Starts to watch the replicas, until their last reader is dropped.
    pub(crate) fn follow(self: &Arc<Self>) {
        self.following.call_once(|| start(self));
    }
}

/// Watches all of them.
fn start(replicas: &Arc<Replicas>) {
    tokio::spawn(sample_primary(Arc::downgrade(replicas)));
    for replica in &replicas.all {
        tokio::spawn(follow(Arc::downgrade(replicas), Arc::clone(replica)));
    }
}

/// Asks the primary where it is, again and again.
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
    /// Where the primary is; `None` if it does not say so soon.
    pub(super) async fn primary_position(&self) -> Option<LogPosition> {
        let asked = Instant::now();
        let answer = timeout(RESPONSE_TIMEOUT, position::of_primary(&self.primary.executor())).await;
        let position = answer.ok()?.ok()?;
        self.primary.record_response(asked);
        Some(position)
    }

    fn add_sample(&self, asked: Instant, position: LogPosition) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.len() > 1 && samples.front().is_some_and(|(then, _)| asked - *then > self.max_lag) {
            samples.pop_front();
        }
        samples.push_back((asked, position));
    }

    /// Until when whoever is at this position has everything that was acknowledged. `None`: that was too long ago, or it
    /// has another history than the primary.
    fn covers_until(&self, position: LogPosition) -> Option<Instant> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, primary) = samples.back()?;
        if primary.timeline != position.timeline {
            return None;
        }
        samples.iter().rev().find(|(_, then)| position.covers(*then)).map(|(asked, _)| *asked)
    }
}

/// How it is with a replica, for the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReplicaStatus {
    InUse,
    Lagging,
    Unreachable,
}

/// Asks one replica how far it has come, again and again.
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
            Ok(position) => {
                let covers_until = replicas.covers_until(position);
                let observed = covers_until.map(|covers_until| ObservedPosition { position, covers_until });
                replica.state().observed = observed;
                let current = covers_until.is_some_and(|covers_until| covers_until.elapsed() <= replicas.max_lag);
                (if current { ReplicaStatus::InUse } else { ReplicaStatus::Lagging }, None)
            }
            Err(error) => {
                poll_connection = None;
                replica.discard_pool();
                (ReplicaStatus::Unreachable, Some(error))
            }
        };
        if status.replace(now) != Some(now) {
            replica.log_status(now, cause);
        }
        drop(replicas);
        if now == ReplicaStatus::Unreachable {
            sleep(RECONNECT_INTERVAL).await;
        }
    }
}

impl Replica {
    /// How far it has come.
    async fn read_position(
        &self,
        poll_connection: &mut Option<DatabaseConnection>,
        replicas: &Replicas,
    ) -> StoreResult<LogPosition> {
        let poll_connection = match poll_connection {
            Some(poll_connection) => poll_connection,
            None => {
                let connection = connect(&self.options, Purpose::Heartbeat).await.map_err(store_error)?;
                if Identity::of(&connection).await? != Identity::of(&replicas.primary.executor()).await? {
                    return Err(Failure::fault("it is no copy of this database").into());
                }
                poll_connection.insert(connection)
            }
        };
        let position = position::of_replica(poll_connection).await?;
        let position = position.ok_or_else(|| Failure::fault("it does not follow anybody"))?;
        if self.state().pool.is_none() {
            // Behind one URL there may be several servers. This one is known, the others are not.
            let this = position::this_server(poll_connection).await?;
            let pool = connect_if(&self.options, Purpose::Replica, Some(&this)).await.map_err(store_error)?;
            self.state().pool = Some(pool);
        }
        Ok(position)
    }

    fn log_status(&self, status: ReplicaStatus, cause: Option<StoreError>) {
        let replica = self.number;
        let cause = cause.as_ref().and_then(std::error::Error::source).map(ToString::to_string);
        match status {
            ReplicaStatus::InUse => tracing::info!(replica, "the replica is read from"),
            ReplicaStatus::Lagging => tracing::warn!(replica, "the replica is too far behind to be read from"),
            ReplicaStatus::Unreachable => tracing::warn!(replica, cause, "the replica is not read from"),
        }
    }
}
