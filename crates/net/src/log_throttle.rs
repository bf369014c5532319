//! Limits a log line to one a minute, where each call would write it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Minimum time between two log lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Permits a log line once a minute.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Option<Instant>>);

impl LogThrottle {
    /// Makes a throttle that permits the first line.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns whether the line may be logged now. If so, the next minute is not permitted.
    pub fn permits(&self) -> bool {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let permitted = last.is_none_or(|last| now - last >= INTERVAL);
        if permitted {
            *last = Some(now);
        }
        permitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn once_a_minute() {
        let throttle = LogThrottle::default();
        assert!(throttle.permits() && !throttle.permits());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!throttle.permits());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(throttle.permits() && !throttle.permits());
    }
}
