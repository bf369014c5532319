//! Health of a PostgreSQL database: whether it answers, and when it has answered last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The reason why calls cannot use the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The kind of the reason.
    pub kind: OutageKind,
    /// The cause, for the operator; for several hosts, that of each.
    pub cause: String,
}

/// Kind of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageKind {
    /// No server answers.
    Away,
    /// A server answers, and is a standby.
    Standby,
    /// A server answers, and refuses writes by `default_transaction_read_only`.
    ReadOnly,
    /// Another server is the primary now, and the pools are being opened on it.
    Moved,
    /// The only primary in the list of hosts belongs to another cluster than the database of this process.
    Foreign,
}

impl OutageKind {
    /// Returns the outage as a text.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Away => "the database does not answer",
            Self::Standby => "the database is a standby (in recovery)",
            Self::ReadOnly => "the database is read-only (default_transaction_read_only = on)",
            Self::Moved => "the service moves to another primary",
            Self::Foreign => "the only primary that answers belongs to another cluster",
        }
    }
}

/// Whether the database answers. Every answered statement counts as a response.
pub(crate) struct DatabaseHealth {
    up: watch::Sender<bool>,
    start: Instant,
    /// Send time of the latest statement that was answered, in milliseconds since `start`.
    last_response: AtomicU64,
    outage: Mutex<Option<Outage>>,
}

impl DatabaseHealth {
    /// Creates the health of a database that has just answered.
    pub(crate) fn new() -> Self {
        let (up, last_response) = (watch::Sender::new(true), AtomicU64::new(0));
        Self { up, start: Instant::now(), last_response, outage: Mutex::default() }
    }

    /// Returns whether the database answers, as a value that can be watched.
    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Records that the database has answered a statement that was sent at `sent`.
    pub(crate) fn record_response(&self, sent: Instant) {
        self.last_response.fetch_max(self.millis_since_start(sent), Ordering::Relaxed);
    }

    /// Returns the time since the latest answered statement was sent.
    pub(crate) fn time_since_response(&self) -> Duration {
        let last = self.last_response.load(Ordering::Relaxed);
        Duration::from_millis(self.millis_since_start(Instant::now()).saturating_sub(last))
    }

    /// Returns the reason why the database is down. `None`: it is up.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks the database down, or changes the reason why it is.
    pub(crate) fn mark_down(&self, outage: Outage) {
        self.set_outage(Some(outage));
        self.up.send_replace(false);
    }

    pub(crate) fn mark_up(&self) {
        self.set_outage(None);
        self.up.send_replace(true);
    }

    fn set_outage(&self, outage: Option<Outage>) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = outage;
    }

    fn millis_since_start(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}
