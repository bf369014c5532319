//! Release of sessions, and background work: reading the revocation list, and deleting rows that are no longer needed.

use std::sync::PoisonError;
use std::time::Duration;

use access_tokens_domain::session::{OrganisationKey, Session};
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_domain::{Error, Result};
use tokio::time::timeout;

use super::Authenticator;

/// Interval at which releases of other replicas are read. It is below the age at which a call would have to wait for
/// them.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);
/// Number of refreshes between two deletions of expired sessions: one minute.
const EXPIRY_INTERVAL_REFRESHES: u64 = 120;

/// Time between two sweeps of log-in attempts and known networks.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum duration of one piece of background work.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of rows of released sessions that wait to be deleted. It bounds memory.
const MAX_RELEASED_ROWS: usize = 10_000;
/// Maximum number of expired rows that one statement deletes.
const MAX_EXPIRED_ROWS_PER_STATEMENT: u32 = 1_000;
/// Maximum number of such statements in one tick.
const MAX_EXPIRY_STATEMENTS: usize = 5;

impl<S: Store + AccountStore> Authenticator<S> {
    /// Ends a session: at once in this process, within a second on other replicas.
    pub async fn release(&self, organisation: OrganisationKey, session: &Session) -> Result<()> {
        self.store.release_session(&session.id, session.expires_at).await?;
        self.released.add(session);
        let mut rows = self.released_rows.lock().unwrap_or_else(PoisonError::into_inner);
        // Further rows are deleted when they have expired.
        if rows.len() < MAX_RELEASED_ROWS {
            rows.push((organisation, session.id.clone()));
        }
        Ok(())
    }

    /// Returns the number of released sessions that have not expired, as far as this process knows.
    pub fn count_released(&self) -> usize {
        self.released.count()
    }

    /// Reads which sessions were released. A call does so itself if the list is too old.
    pub async fn refresh_released(&self) -> Result<()> {
        self.released.refresh(self.store.as_ref(), self.clock.now()).await
    }

    /// Deletes expired log-in attempts and known networks every ten minutes, until the task is aborted.
    pub async fn sweep_logins(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = with_timeout(async { Ok(self.store.sweep_logins(self.clock.now()).await?) }).await {
                tracing::warn!(cause = error.with_causes(), "expired log-in attempts cannot be deleted");
            }
        }
    }

    /// Refreshes the revocation list and deletes expired sessions, until the task is aborted.
    pub async fn watch_releases(&self) {
        let mut ticks = tokio::time::interval(REFRESH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut failing, mut has_expired_rows) = (false, false);
        for count in 0_u64.. {
            ticks.tick().await;
            let refreshed = with_timeout(self.refresh_released()).await;
            match &refreshed {
                Err(error) if !failing => {
                    tracing::warn!(cause = error.with_causes(), "released sessions cannot be read")
                }
                Ok(()) if failing => tracing::info!("released sessions can be read again"),
                _ => {}
            }
            failing = refreshed.is_err();
            if failing {
                continue;
            }
            has_expired_rows |= count % EXPIRY_INTERVAL_REFRESHES == 0;
            match with_timeout(self.write_deferred(has_expired_rows)).await {
                Ok(more) => has_expired_rows = more,
                Err(error) => {
                    tracing::warn!(cause = error.with_causes(), "sessions and uses of API keys cannot be written")
                }
            }
        }
    }

    /// Writes what may be delayed: last uses of keys, deletions of released sessions and, if `delete_expired` is set, the
    /// deletion of a bounded number of expired rows. Returns whether more rows may have expired.
    async fn write_deferred(&self, delete_expired: bool) -> Result<bool> {
        let rows = std::mem::take(&mut *self.released_rows.lock().unwrap_or_else(PoisonError::into_inner));
        if !rows.is_empty() {
            self.store.delete_sessions(&rows).await?;
        }
        self.key_uses.write(self.store.as_ref()).await?;
        let mut more = delete_expired;
        for _ in 0..MAX_EXPIRY_STATEMENTS {
            if !more {
                break;
            }
            more = self.store.forget_sessions(self.clock.now(), MAX_EXPIRED_ROWS_PER_STATEMENT).await?;
        }
        Ok(more)
    }

    /// Returns whether the whole revocation list has been read. Before that the process is not ready: calls would wait
    /// for the list.
    pub fn has_read_releases(&self) -> bool {
        self.released.is_loaded()
    }
}

/// Runs background work with a timeout. The timeout of TCP for a peer that swallows all packets is a quarter of an
/// hour. A single statement may be dropped.
async fn with_timeout<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(REFRESH_TIMEOUT, work).await.unwrap_or_else(|_| Err(Error::internal("the database takes too long")))
}
