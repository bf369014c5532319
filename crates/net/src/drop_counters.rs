//! Counts connections that a port has closed, to make room for others or because they sent too many control frames. The
//! counts are logged at most once a minute.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::log_throttle::LogThrottle;

/// Counts of the connections that one listener has closed.
#[derive(Debug)]
pub struct DropCounters {
    listener: &'static str,
    handshakes: AtomicU64,
    connections: AtomicU64,
    floods: AtomicU64,
    throttle: LogThrottle,
}

impl DropCounters {
    /// Counts for a listener. `listener` is its name in the settings.
    pub fn new(listener: &'static str) -> Self {
        let [handshakes, connections, floods] = Default::default();
        Self { listener, handshakes, connections, floods, throttle: LogThrottle::new() }
    }

    /// Counts a connection that was closed before its handshake was complete.
    pub(crate) fn handshake(&self) {
        self.count(&self.handshakes);
    }

    /// Counts a connection that was closed without an authenticated call.
    pub(crate) fn connection(&self) {
        self.count(&self.connections);
    }

    /// Counts a connection that was closed because its client sent too many control frames.
    pub(crate) fn flood(&self) {
        self.count(&self.floods);
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

    fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
        if !self.throttle.permits() {
            return;
        }
        let [handshakes, connections, floods] = self.counts();
        let listener = self.listener;
        tracing::warn!(
            listener,
            handshakes,
            connections,
            floods,
            "connections were closed, to make room or because of too many control frames; the counts are since the start"
        );
    }
}
