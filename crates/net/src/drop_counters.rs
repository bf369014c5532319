//! Counts connections that a port has closed, to make room for others or because they sent too many control frames. The
//! counts are logged at most once a minute.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts of the connections that one listener has closed.
#[derive(Debug)]
pub struct DropCounters {
    listener: &'static str,
    handshakes: AtomicU64,
    connections: AtomicU64,
    floods: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl DropCounters {
    /// Counts for a listener. `listener` is its name in the settings.
    pub fn new(listener: &'static str) -> Self {
        let [handshakes, connections, floods] = Default::default();
        Self { listener, handshakes, connections, floods, told: Mutex::new(None) }
    }

    /// Counts a connection that was closed before its handshake was complete.
    pub(crate) fn handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Counts a connection that was closed without an authenticated call.
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Counts a connection that was closed because its client sent too many control frames.
    pub(crate) fn flood(&self) {
        self.floods.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Returns the name of the listener in the settings.
    pub fn listener(&self) -> &'static str {
        self.listener
    }

    /// Returns the numbers of unfinished handshakes, anonymous connections and floods of control frames that were
    /// closed since the start.
    pub fn counts(&self) -> [u64; 3] {
        [&self.handshakes, &self.connections, &self.floods].map(|count| count.load(Ordering::Relaxed))
    }

    fn tell(&self) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|last| now - last < LOG_INTERVAL) {
            return;
        }
        *told = Some(now);
        let [handshakes, connections, floods] = self.counts();
        let listener = self.listener;
        tracing::warn!(
            listener,
            handshakes,
            connections,
            floods,
            "connections were closed: of strangers to make room, or for too many control frames; counts since the start"
        );
    }
}
