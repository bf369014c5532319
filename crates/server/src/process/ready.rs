//! Readiness: the database answers and can be written, its schema is current, the list of revoked sessions is read, and the key ring is the
//! one that the database was written with.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_auth::Authenticator;
use access_tokens_domain::store::StoreError;
use access_tokens_grpc::{Health, Readiness};
use access_tokens_secrets::{KeyProvider, KeyRing};
use access_tokens_storage::{Database, OutageKind};
use tokio::time::{Instant, sleep, timeout};

use crate::databases;
use crate::key_fit::KeyRingFit;

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two checks until the first result, such as while the list of revoked sessions is read.
const STARTING_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum time of a query for the schema.
const SCHEMA_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of consecutive failures after which the service is not ready. A single late answer under load must not move the load to the other
/// replicas.
const MISSES_UNTIL_NOT_READY: u32 = 3;

/// Time between two comparisons of the key ring with the database while neither changes.
const COMPARISON_INTERVAL: Duration = Duration::from_secs(600);

/// The comparison of the key ring with the database. A start compares before it serves. The comparison is repeated when the ring changes,
/// and regularly: another replica may write with a key that is not in this ring yet.
struct KeyComparison<'a> {
    keys: &'a KeyProvider,
    compared: Option<(Arc<KeyRing>, Instant)>,
    /// The last logged result.
    published: Option<String>,
}

impl KeyComparison<'_> {
    /// Compares if it is due, and logs a mismatch. Returns false if the ring of this process never matched, and None while that is unknown.
    async fn check(&mut self, database: &Database) -> Option<bool> {
        let ring = self.keys.ring();
        let young = |at: &Instant| at.elapsed() < COMPARISON_INTERVAL;
        if self.compared.as_ref().is_some_and(|(of, at)| Arc::ptr_eq(of, &ring) && young(at)) {
            return Some(true);
        }
        let foreign = match KeyRingFit::compare_sample(database, &ring).await {
            Ok(Some(fit)) => Some(fit.to_string()).filter(|_| fit.is_foreign() && !ring.accepts_missing()),
            // The database is unavailable, which is logged elsewhere, or was migrated just now. The next check compares.
            Ok(None) | Err(_) => return self.compared.is_some().then_some(true),
        };
        if foreign != self.published {
            match &foreign {
                Some(fit) => tracing::error!(
                    %fit,
                    "the keys are not those of the database: bring the newest copy of its key ring to this replica"
                ),
                None => tracing::info!("the keys are those of the database"),
            }
            self.published.clone_from(&foreign);
        }
        if foreign.is_some() && self.compared.is_none() {
            return Some(false);
        }
        self.compared = Some((ring, Instant::now()));
        Some(true)
    }
}

/// Keeps the health up to date, until its task ends.
pub(super) async fn watch(
    database: &Database,
    sessions: &Authenticator<Database>,
    keys: &KeyProvider,
    health: &Health,
) {
    let comparison = KeyComparison { keys, compared: None, published: None };
    let mut watch =
        ReadinessMonitor { database, sessions, comparison, health, current: false, misses: 0, published: None };
    let mut up = database.watch_health();
    loop {
        // A change of the health of the database repeats a check that waits for the database.
        let checked = loop {
            tokio::select! {
                checked = watch.check_now() => break checked,
                // The server may be another one, with another schema.
                Ok(()) = up.changed() => watch.current = false,
            }
        };
        if let Some((readiness, cause)) = checked {
            watch.publish(readiness, cause);
        }
        let interval = if watch.published.is_none() { STARTING_CHECK_INTERVAL } else { CHECK_INTERVAL };
        tokio::select! {
            () = sleep(interval) => {}
            // The sender of SQLite is gone: its health never changes.
            Ok(()) = up.changed() => watch.current = false,
        }
    }
}

struct ReadinessMonitor<'a> {
    database: &'a Database,
    sessions: &'a Authenticator<Database>,
    comparison: KeyComparison<'a>,
    health: &'a Health,
    /// Whether the schema was found to be current. It stays current while the database is up.
    current: bool,
    /// Number of consecutive checks with the result "not ready".
    misses: u32,
    published: Option<Readiness>,
}

impl ReadinessMonitor<'_> {
    /// Returns the current readiness, and its cause as a text. None while it is unknown.
    async fn check_now(&mut self) -> Option<(Readiness, Option<String>)> {
        let answer = if self.current {
            self.database.ping().await.map(|()| true)
        } else {
            // A query that is lost is sent again by the next check.
            let pending = timeout(SCHEMA_TIMEOUT, self.database.pending_migrations()).await.ok()?;
            pending.map(|pending| pending.is_empty())
        };
        match answer {
            Err(error) => return Some(self.unanswered(&error)),
            Ok(false) => {
                let cause = timeout(SCHEMA_TIMEOUT, databases::missing_read_rights(self.database)).await.ok()?;
                let readiness = if cause.is_some() { Readiness::Unreadable } else { Readiness::Unmigrated };
                return Some((readiness, cause));
            }
            Ok(true) => self.current = true,
        }
        // Calls would wait for the list. The task that reads the list logs its failures.
        if !self.sessions.has_read_releases() {
            return self.no_connection().await;
        }
        match self.comparison.check(self.database).await {
            Some(true) => {}
            Some(false) => return Some((Readiness::ForeignKeys, None)),
            None => return self.no_connection().await,
        }
        if let Some(trouble) = self.no_connection().await {
            return Some(trouble);
        }
        Some((self.database.write_problem().await.map_or(Readiness::Ready, Readiness::Unwritable), None))
    }

    /// Returns the readiness while the database cannot be used.
    fn unanswered(&self, error: &StoreError) -> (Readiness, Option<String>) {
        let Some(outage) = self.database.outage() else { return (Readiness::Away, Some(error.to_string())) };
        let readiness = match outage.kind {
            OutageKind::Away | OutageKind::Moved | OutageKind::Foreign => Readiness::Away,
            OutageKind::Standby => Readiness::Standby,
            OutageKind::ReadOnly => Readiness::Unwritable("default_transaction_read_only is on"),
        };
        (readiness, Some(outage.cause))
    }

    async fn no_connection(&self) -> Option<(Readiness, Option<String>)> {
        let trouble = self.database.connection_problem().await?;
        Some((Readiness::NoConnection, Some(trouble.parts().0)))
    }

    /// Logs the readiness and sets the health, if it is new and certain. One late answer or commit is not a failure yet.
    fn publish(&mut self, readiness: Readiness, cause: Option<String>) {
        let ready = readiness == Readiness::Ready;
        self.misses = if ready { 0 } else { self.misses + 1 };
        let certain = match readiness {
            Readiness::Ready => true,
            // The storage has marked the database down only after its own timeout.
            _ if self.database.outage().is_some() => true,
            // Before the first answer, the process is starting.
            Readiness::Away => self.published.is_some() && self.misses >= MISSES_UNTIL_NOT_READY,
            _ => self.published != Some(Readiness::Ready) || self.misses >= MISSES_UNTIL_NOT_READY,
        };
        if !certain {
            return;
        }
        if self.published == Some(readiness) {
            // The cause of an outage may change while it lasts.
            if let Some(cause) = cause.filter(|_| self.database.outage().is_some()) {
                self.health.explain(cause);
            }
            return;
        }
        match readiness.check() {
            Ok(()) => tracing::info!("ready"),
            Err(why) => tracing::warn!(why = why.trim_start_matches("not ready: "), cause, "not ready"),
        }
        self.health.set(readiness);
        self.published = Some(readiness);
        // Without an outage of PostgreSQL, the cause of a database that does not answer says the same.
        if let Some(cause) = cause.filter(|_| readiness != Readiness::Away || self.database.outage().is_some()) {
            self.health.explain(cause);
        }
    }
}
