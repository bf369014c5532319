//! When the service is ready: the database answers and its schema is current.

use std::time::Duration;

use access_tokens_storage::Database;
use tokio::time::timeout;

use crate::transport::{Health, Readiness};

const PERIOD: Duration = Duration::from_secs(1);
/// How long the schema is asked for.
const LIMIT: Duration = Duration::from_secs(5);
/// So many times in a row the database must not answer before clients are sent elsewhere: a single late answer under
/// load must not make the load of the other replicas higher.
const PATIENCE: u32 = 3;

/// Keeps health true, until the task that runs it ends.
pub(super) async fn watch(database: &Database, health: &Health) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut current, mut waiting, mut serving, mut misses) = (false, false, false, 0);
    loop {
        ticks.tick().await;
        let answer = if current {
            database.ping().await.map(|()| true)
        } else {
            let pending = timeout(LIMIT, database.pending_migrations()).await;
            // One that swallows the question is asked again.
            let Ok(pending) = pending else { continue };
            pending.map(|pending| pending.is_empty())
        };
        match answer {
            Ok(true) => {
                (current, misses) = (true, 0);
                if !serving {
                    tracing::info!("ready");
                    serving = true;
                    health.set(Readiness::Ready).await;
                }
            }
            Ok(false) => {
                if !waiting {
                    tracing::warn!("the schema of the database is not current: run `access-tokens migrate`");
                    waiting = true;
                    health.set(Readiness::Unmigrated).await;
                }
            }
            Err(error) => {
                misses += 1;
                if serving && misses >= PATIENCE {
                    tracing::warn!(%error, "not ready");
                    serving = false;
                    health.set(Readiness::Away).await;
                }
            }
        }
    }
}
