//! Limits the rate at which a user or an API key opens sessions.
//!
//! A session costs rows that live for hours: one while it is open, and one after it was released. So each user and each
//! key has a rate with a burst. The limit holds for the process: `n` replicas allow `n` times as much.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use access_tokens_domain::rate::Rate;
use access_tokens_domain::time::Timestamp;
use access_tokens_domain::{Error, Reason, Result};
use chrono::TimeDelta;
use tokio::time::Instant;

/// Log-ins per second, for each user and each API key.
const LOGINS_PER_SECOND: u32 = 50;
/// Log-ins in a burst, for each user and each API key.
const LOGIN_BURST: u32 = 500;
/// Maximum number of users and keys in memory: those with log-ins in the last seconds.
const MAX_REMEMBERED: usize = 10_000;

/// Limits on opening sessions, for each user and each API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLimits {
    /// Log-ins per second. 0 is no limit.
    pub per_second: u32,
    /// Log-ins in a burst, at least 1.
    pub burst: u32,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self { per_second: LOGINS_PER_SECOND, burst: LOGIN_BURST }
    }
}

/// Counts log-ins by the clock of the process, which is never set back.
pub(super) struct LoginRate {
    rate: Rate,
    started: Instant,
    arrivals: Mutex<HashMap<String, Timestamp>>,
}

impl LoginRate {
    pub(super) fn new(limits: LoginLimits) -> Self {
        let interval = TimeDelta::seconds(1).checked_div(i32::try_from(limits.per_second).unwrap_or(i32::MAX));
        let rate = Rate { burst: limits.burst, interval: interval.unwrap_or_default() };
        Self { rate, started: Instant::now(), arrivals: Mutex::default() }
    }

    /// Counts a log-in of a user or a key. `name` is unique among users and keys. Fails with TOO_MANY_LOGINS and the
    /// time to wait.
    pub(super) fn take(&self, name: &str) -> Result<()> {
        if self.rate.interval.is_zero() {
            return Ok(());
        }
        let elapsed = TimeDelta::from_std(self.started.elapsed()).unwrap_or(TimeDelta::MAX);
        let now = Timestamp::UNIX_EPOCH + elapsed;
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        match self.rate.take(arrivals.get(name).copied(), now) {
            Ok(arrival) => {
                if arrivals.len() >= MAX_REMEMBERED {
                    arrivals.retain(|_, arrival| *arrival > now);
                }
                if arrivals.len() >= MAX_REMEMBERED {
                    // Each of them begins a new burst.
                    arrivals.clear();
                }
                arrivals.insert(name.to_owned(), arrival);
                Ok(())
            }
            Err(allowed_from) => {
                let wait = (allowed_from - now).to_std().unwrap_or_default();
                Err(Error::new(Reason::TooManyLogins, "there were too many log-ins: use a session until it expires")
                    .retry_after(wait))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_a_rate_for_each_name() {
        let logins = LoginRate::new(LoginLimits { per_second: 50, burst: 500 });
        for _ in 0..500 {
            logins.take("a").expect("within the burst");
        }
        let error = logins.take("a").expect_err("above the burst");
        assert_eq!((error.reason(), error.wait()), (Reason::TooManyLogins, Some(Duration::from_millis(20))));
        logins.take("b").expect("another one");
        let mut passed = 0;
        for _ in 0..1_000 {
            tokio::time::advance(Duration::from_millis(10)).await;
            passed += usize::from(logins.take("a").is_ok());
        }
        assert_eq!(passed, 500);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_zero_is_no_limit() {
        let logins = LoginRate::new(LoginLimits { per_second: 1, burst: 1 });
        for name in 0..3 * MAX_REMEMBERED {
            logins.take(&name.to_string()).expect("the first of this name");
            assert!(logins.arrivals.lock().expect("not poisoned").len() <= MAX_REMEMBERED);
        }
        let logins = LoginRate::new(LoginLimits { per_second: 0, burst: 1 });
        for _ in 0..10 {
            logins.take("a").expect("no limit");
        }
    }
}
