//! A clock that tests set.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::time::{Timestamp, stored_precision};

/// 2026-01-15T12:00:00Z: the time that the clock shows at first.
const START_SECONDS: i64 = 1_768_478_400;

/// A clock for tests. Its time changes only by [`set`](Self::set) and [`advance`](Self::advance), so that a lifetime can be tested
/// to the microsecond.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Returns a clock that shows this time.
    pub fn at(time: Timestamp) -> Self {
        Self(Mutex::new(stored_precision(time)))
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, time: Timestamp) {
        self.change(|now| *now = time);
    }

    /// Advances the time.
    pub fn advance(&self, by: Duration) {
        self.change(|now| *now += by);
    }

    fn change(&self, change: impl FnOnce(&mut Timestamp)) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut now);
        *now = stored_precision(*now);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Timestamp::from_timestamp_secs(START_SECONDS).unwrap_or_default())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_when_told() {
        let clock = ManualClock::default();
        let beginning = clock.now();
        assert_eq!(beginning.to_rfc3339(), "2026-01-15T12:00:00+00:00");
        assert_eq!(clock.now(), beginning);
        clock.advance(Duration::from_nanos(1_999));
        assert_eq!(clock.now(), beginning + Duration::from_micros(1), "microseconds, as the databases keep them");
        clock.set(beginning - Duration::from_secs(60));
        assert!(clock.now() < beginning);
    }
}
