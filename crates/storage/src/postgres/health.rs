//! Health of a PostgreSQL database: whether it answers, and when it has answered last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Whether the database answers. Every answered statement counts as a response.
pub(crate) struct DatabaseHealth {
    up: watch::Sender<bool>,
    start: Instant,
    /// Send time of the latest statement that was answered, in milliseconds since `start`.
    last_response: AtomicU64,
}

impl DatabaseHealth {
    /// Creates the health of a database that has just answered.
    pub(crate) fn new() -> Self {
        Self { up: watch::Sender::new(true), start: Instant::now(), last_response: AtomicU64::new(0) }
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

    pub(crate) fn mark_down(&self) {
        self.up.send_replace(false);
    }

    pub(crate) fn mark_up(&self) {
        self.up.send_replace(true);
    }

    fn millis_since_start(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}
