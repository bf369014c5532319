//! Connections that a port has closed to make room for others: counted, and told once a minute.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Minimum time between two lines of the log about the same listener.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What one listener has closed.
#[derive(Debug)]
pub(crate) struct Dropped {
    listener: &'static str,
    handshakes: AtomicU64,
    connections: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Dropped {
    pub(crate) fn new(listener: &'static str) -> Self {
        Self { listener, handshakes: AtomicU64::new(0), connections: AtomicU64::new(0), told: Mutex::new(None) }
    }

    /// A connection was closed before its handshake was complete.
    pub(crate) fn handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// A connection without an authenticated call was closed.
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Returns the name of the listener in the settings.
    pub(crate) fn listener(&self) -> &'static str {
        self.listener
    }

    /// Returns how many handshakes, and how many connections, were closed since the start.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.handshakes, &self.connections].map(|count| count.load(Ordering::Relaxed))
    }

    fn tell(&self) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|last| now - last < LOG_INTERVAL) {
            return;
        }
        *told = Some(now);
        let [handshakes, connections] = self.counts();
        let listener = self.listener;
        tracing::warn!(
            listener,
            handshakes,
            connections,
            "connections of strangers were closed to make room; counts since the start"
        );
    }
}
