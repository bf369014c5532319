//! When the service is ready: the database answers, its schema is current, it can be written, and the list of released
//! sessions is read.

use std::time::Duration;

use access_tokens_storage::Database;
use tokio::time::timeout;

use crate::authentication::Authenticator;
use crate::transport::{Health, Readiness};

const PERIOD: Duration = Duration::from_secs(1);
/// How long the schema is asked for.
const LIMIT: Duration = Duration::from_secs(5);
/// So many times in a row the database must not answer before clients are sent elsewhere: a single late answer under
/// load must not make the load of the other replicas higher.
const PATIENCE: u32 = 3;

/// Keeps health true, until the task that runs it ends.
pub(super) async fn watch(database: &Database, sessions: &Authenticator<Database>, health: &Health) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut current, mut waiting, mut misses) = (false, false, 0);
    let mut said = None;
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
            // Calls would wait for the list. The task that reads it says when it cannot.
            Ok(true) if !sessions.has_read_releases() => current = true,
            Ok(true) => {
                current = true;
                let trouble = database.write_trouble().await;
                misses = if trouble.is_some() { misses + 1 } else { 0 };
                let readiness = trouble.map_or(Readiness::Ready, Readiness::Unwritable);
                // One late commit is no trouble yet.
                let certain = trouble.is_none() || said != Some(Readiness::Ready) || misses >= PATIENCE;
                if certain && said != Some(readiness) {
                    match trouble {
                        None => tracing::info!("ready"),
                        Some(trouble) => tracing::warn!(trouble, "not ready: the database cannot be written"),
                    }
                    said = Some(readiness);
                    health.set(readiness).await;
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
                if said.is_some_and(|said| said != Readiness::Away) && misses >= PATIENCE {
                    tracing::warn!(%error, "not ready");
                    said = Some(Readiness::Away);
                    health.set(Readiness::Away).await;
                }
            }
        }
    }
}
