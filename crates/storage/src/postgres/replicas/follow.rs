//! Watching: where the primary is, how far each replica has come, and whether it is there at all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use access_tokens_domain::store::{LogPosition, StoreError, StoreResult};
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep, timeout};

use super::position::{self, Identity};
use super::{Replica, Replicas, Seen};
use crate::error::{Failure, store_error};
use crate::postgres::{Purpose, connect, connect_if};

/// Between two questions: so long a caller reads from the primary after a write, if the replicas have kept up.
const BEAT: Duration = Duration::from_millis(100);
/// Between two attempts to reach a replica that is away.
const RETRY: Duration = Duration::from_secs(1);
/// After so long without an answer a replica is away, and the primary has not said where it is.
const SILENCE: Duration = Duration::from_secs(1);

impl Replicas {
    /// Starts to watch the replicas, until their last reader is dropped.
    pub(crate) fn follow(self: &Arc<Self>) {
        self.following.call_once(|| start(self));
    }
}

/// Watches all of them.
fn start(replicas: &Arc<Replicas>) {
    tokio::spawn(sample(Arc::downgrade(replicas)));
    for replica in &replicas.all {
        tokio::spawn(follow(Arc::downgrade(replicas), Arc::clone(replica)));
    }
}

/// Asks the primary where it is, again and again.
async fn sample(replicas: Weak<Replicas>) {
    loop {
        sleep(BEAT).await;
        let Some(replicas) = replicas.upgrade() else { return };
        let (asked, doubts) = (Instant::now(), replicas.memory.doubts());
        if let Some(position) = replicas.ask_primary().await {
            replicas.memory.settle(doubts, position);
            replicas.keep(asked, position);
        }
    }
}

impl Replicas {
    /// Where the primary is; `None` if it does not say so soon.
    pub(super) async fn ask_primary(&self) -> Option<LogPosition> {
        let asked = Instant::now();
        let answer = timeout(SILENCE, position::of_primary(&self.primary.singles())).await;
        let position = answer.ok()?.ok()?;
        self.primary.heard(asked);
        Some(position)
    }

    fn keep(&self, asked: Instant, position: LogPosition) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.len() > 1 && samples.front().is_some_and(|(then, _)| asked - *then > self.max_lag) {
            samples.pop_front();
        }
        samples.push_back((asked, position));
    }

    /// Until when whoever is at this position has everything that was acknowledged. `None`: that was too long ago, or it
    /// has another history than the primary.
    fn fresh(&self, position: LogPosition) -> Option<Instant> {
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
enum Condition {
    Used,
    Behind,
    Away,
}

/// Asks one replica how far it has come, again and again.
async fn follow(replicas: Weak<Replicas>, replica: Arc<Replica>) {
    let (mut watching, mut condition) = (None, None);
    loop {
        sleep(BEAT).await;
        let Some(replicas) = replicas.upgrade().filter(|replicas| !replicas.closed.load(Ordering::Acquire)) else {
            return;
        };
        let answer = timeout(SILENCE, replica.ask(&mut watching, &replicas)).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::unavailable("it does not answer").into()));
        let (now, cause) = match answer {
            Ok(position) => {
                let fresh = replicas.fresh(position);
                let seen = fresh.map(|fresh| Seen { position, fresh });
                replica.state().seen = seen;
                let current = fresh.is_some_and(|fresh| fresh.elapsed() <= replicas.max_lag);
                (if current { Condition::Used } else { Condition::Behind }, None)
            }
            Err(error) => {
                watching = None;
                replica.abandon();
                (Condition::Away, Some(error))
            }
        };
        if condition.replace(now) != Some(now) {
            replica.tell(now, cause);
        }
        drop(replicas);
        if now == Condition::Away {
            sleep(RETRY).await;
        }
    }
}

impl Replica {
    /// How far it has come.
    async fn ask(&self, watching: &mut Option<DatabaseConnection>, replicas: &Replicas) -> StoreResult<LogPosition> {
        let watching = match watching {
            Some(watching) => watching,
            None => {
                let connection = connect(&self.options, Purpose::Watch).await.map_err(store_error)?;
                if Identity::of(&connection).await? != Identity::of(&replicas.primary.singles()).await? {
                    return Err(Failure::fault("it is no copy of this database").into());
                }
                watching.insert(connection)
            }
        };
        let position = position::of_replica(watching).await?;
        let position = position.ok_or_else(|| Failure::fault("it does not follow anybody"))?;
        if self.state().pool.is_none() {
            // Behind one URL there may be several servers. This one is known, the others are not.
            let this = position::this_server(watching).await?;
            let pool = connect_if(&self.options, Purpose::Replica, Some(&this)).await.map_err(store_error)?;
            self.state().pool = Some(pool);
        }
        Ok(position)
    }

    fn tell(&self, condition: Condition, cause: Option<StoreError>) {
        let replica = self.number;
        let cause = cause.as_ref().and_then(std::error::Error::source).map(ToString::to_string);
        match condition {
            Condition::Used => tracing::info!(replica, "the replica is read from"),
            Condition::Behind => tracing::warn!(replica, "the replica is too far behind to be read from"),
            Condition::Away => tracing::warn!(replica, cause, "the replica is not read from"),
        }
    }
}
