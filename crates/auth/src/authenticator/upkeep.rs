//! Releasing sessions, and the work in the background: the list of released sessions, and rows that are no longer needed.

use std::sync::PoisonError;
use std::time::Duration;

use access_tokens_domain::session::{OrganisationKey, Session};
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_domain::{Error, Result};
use tokio::time::timeout;

use super::{Authenticator, cause};

/// How often other replicas' releases are read. Below the age at which a call would have to wait for them.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);
/// How often sessions that have expired are deleted, in refreshes: every minute.
const EXPIRY_INTERVAL_REFRESHES: u64 = 120;

/// Time between two sweeps of log-in attempts and known networks.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How long a refresh may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows of released sessions that wait to be deleted: a bound on memory.
const MAX_RELEASED_ROWS: usize = 10_000;
/// Expired rows that are deleted by one statement.
const MAX_EXPIRED_ROWS_PER_STATEMENT: u32 = 1_000;
/// Statements of that kind in one tick.
const MAX_EXPIRY_STATEMENTS: usize = 5;

impl<S: Store + AccountStore> Authenticator<S> {
    /// Ends a session: at once here, within a second on other replicas.
    pub async fn release(&self, organisation: OrganisationKey, session: &Session) -> Result<()> {
        self.store.release_session(&session.id, session.expires_at).await?;
        self.released.add(session);
        let mut rows = self.released_rows.lock().unwrap_or_else(PoisonError::into_inner);
        // What has no room goes when it has expired.
        if rows.len() < MAX_RELEASED_ROWS {
            rows.push((organisation, session.id.clone()));
        }
        Ok(())
    }

    /// How many sessions were released and have not expired yet, as far as is known here.
    pub fn count_released(&self) -> usize {
        self.released.count()
    }

    /// Reads which sessions were released. Calls do so themselves where nobody else does in time.
    pub async fn refresh_released(&self) -> Result<()> {
        self.released.refresh(self.store.as_ref(), self.clock.now()).await
    }

    /// Deletes what no longer counts about log-ins, every ten minutes, until the task that runs it ends.
    pub async fn sweep_logins(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = with_timeout(async { Ok(self.store.sweep_logins(self.clock.now()).await?) }).await {
                tracing::warn!(cause = cause(&error), "expired log-in attempts cannot be deleted");
            }
        }
    }

    /// Keeps the list of released sessions young and short, until the task that runs it ends.
    pub async fn watch_releases(&self) {
        let mut ticks = tokio::time::interval(REFRESH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut failing, mut forgetting) = (false, false);
        for count in 0_u64.. {
            ticks.tick().await;
            let refreshed = with_timeout(self.refresh_released()).await;
            match &refreshed {
                Err(error) if !failing => tracing::warn!(cause = cause(error), "released sessions cannot be read"),
                Ok(()) if failing => tracing::info!("released sessions can be read again"),
                _ => {}
            }
            failing = refreshed.is_err();
            if failing {
                continue;
            }
            forgetting |= count % EXPIRY_INTERVAL_REFRESHES == 0;
            match with_timeout(self.tidy(forgetting)).await {
                Ok(more) => forgetting = more,
                Err(error) => tracing::warn!(cause = cause(&error), "sessions and uses of API keys cannot be written"),
            }
        }
    }

    /// Writes what may come late: last uses of keys, rows of released sessions, and, if asked to, a bounded number of rows
    /// that have expired. `true`: there may be more of those.
    async fn tidy(&self, forget: bool) -> Result<bool> {
        let rows = std::mem::take(&mut *self.released_rows.lock().unwrap_or_else(PoisonError::into_inner));
        if !rows.is_empty() {
            self.store.delete_sessions(&rows).await?;
        }
        self.key_uses.write(self.store.as_ref()).await?;
        let mut more = forget;
        for _ in 0..MAX_EXPIRY_STATEMENTS {
            if !more {
                break;
            }
            more = self.store.forget_sessions(self.clock.now(), MAX_EXPIRED_ROWS_PER_STATEMENT).await?;
        }
        Ok(more)
    }

    /// Is the list of released sessions read? Before that the process is not ready: calls would wait for the list.
    pub fn has_read_releases(&self) -> bool {
        self.released.is_loaded()
    }
}

/// Whoever waits for a database that swallows everything waits for a quarter of an hour. A single statement may be dropped.
async fn with_timeout<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(REFRESH_TIMEOUT, work).await.unwrap_or_else(|_| Err(Error::internal("the database takes too long")))
}
