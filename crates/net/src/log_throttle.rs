//! Lines of the log that would come with each call are written once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Minimum time between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Permits something once a minute.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Option<Instant>>);

impl LogThrottle {
    /// May it be done now? Then not again within a minute.
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
