//! Limits on attempts at a secret of a token: an attempt is counted before the secret is compared, and too many wrong
//! attempts lock the secret.
//!
//! This is a state machine without a clock. Each token and kind of secret has one [`Attempts`]. To compare a secret, a
//! caller first calls [`Attempts::admit`], then stores the result, and only then compares. So the count is right even
//! if the comparison never ends, and all replicas share it.
//!
//! - A *series* is a number of consecutive wrong attempts. Every [`LockPolicy::attempts`] wrong attempts of a series
//!   lock the kind: first for [`LockPolicy::seconds`], then twice as long each time, at most for
//!   [`LockPolicy::max_seconds`].
//! - A series of [`LockPolicy::hard_limit`] attempts locks the kind until an operator unlocks it.
//! - In any 24 hours at most [`LockPolicy::attempts_per_day`] attempts that turn out wrong are compared, even if right
//!   ones succeed between them. This limits an attacker who waits for the owner to log in.
//! - A success ends the series. A day without an attempt also ends it, unless the kind is locked until it is unlocked.
//! - A new code does not change the count, which belongs to the token.

use chrono::Duration;
use serde::{Deserialize, Serialize};

use crate::model::policy::LockPolicy;
pub use crate::model::secret::SecretKind;
use crate::model::time::Timestamp;
use crate::policy::rate::Rate;

/// Time without an attempt and without a lock after which a series ends.
pub const SERIES_LIFETIME: Duration = Duration::hours(24);

/// Maximum number of attempts in [`Attempts::recent`].
pub const MAX_RECENT_ATTEMPTS: usize = 5;

/// The stored state of the attempts at one kind of secret of one token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Number of consecutive wrong attempts, including those that are being compared.
    pub in_a_row: u32,
    /// End of the lock that the series has caused.
    pub locked_until: Option<Timestamp>,
    /// State of the limit per day; see [`Rate`].
    pub day_arrival: Option<Timestamp>,
    /// Number of attempts that were refused without a comparison, since the token exists.
    pub refused: u32,
    /// Time of the last refused attempt.
    pub last_refused: Option<Timestamp>,
    /// The last attempts that were compared, the newest first.
    pub recent: Vec<Attempt>,
}

/// An attempt that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Time of the attempt.
    pub at: Timestamp,
    /// Whether the secret was right. An attempt counts as wrong until it is known to be right.
    pub right: bool,
    /// User whose session presented the secret.
    pub user: Option<String>,
}

/// A lock, which refuses attempts without a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Cause of the lock.
    pub cause: LockCause,
    /// Time from which attempts are admitted again. `None`: an operator must unlock.
    pub until: Option<Timestamp>,
}

/// The cause of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockCause {
    /// Too many consecutive wrong attempts.
    AttemptsInARow,
    /// Too many wrong attempts in 24 hours.
    AttemptsPerDay,
    /// The maximum number of consecutive wrong attempts. An operator must unlock.
    HardLimit,
}

impl Attempts {
    /// Returns the lock at `now`, if there is one.
    pub fn lock(&self, policy: &LockPolicy, now: Timestamp) -> Option<Lock> {
        if self.in_a_row >= policy.hard_limit {
            return Some(Lock { cause: LockCause::HardLimit, until: None });
        }
        if let Some(until) = self.locked_until.filter(|until| now < *until) {
            return Some(Lock { cause: LockCause::AttemptsInARow, until: Some(until) });
        }
        let until = day(policy).take(self.day_arrival, now).err()?;
        Some(Lock { cause: LockCause::AttemptsPerDay, until: Some(until) })
    }

    /// Counts one more attempt as wrong, or refuses it. The result must be stored before the secret is compared.
    pub fn admit(&self, policy: &LockPolicy, now: Timestamp, user: Option<&str>) -> Result<Self, Lock> {
        if let Some(lock) = self.lock(policy, now) {
            return Err(lock);
        }
        let mut next = self.clone();
        let quiet_since = self.recent.first().map(|attempt| attempt.at).max(self.locked_until);
        if quiet_since.is_some_and(|since| now >= since + SERIES_LIFETIME) {
            next.in_a_row = 0;
        }
        next.in_a_row += 1;
        next.day_arrival = day(policy).take(self.day_arrival, now).ok();
        next.locked_until = locks(policy, next.in_a_row).then(|| now + lock_time(policy, next.in_a_row));
        next.recent.insert(0, Attempt { at: now, right: false, user: user.map(str::to_owned) });
        next.recent.truncate(MAX_RECENT_ATTEMPTS);
        Ok(next)
    }

    /// Counts the attempt of the time `at` as right: ends the series, and takes the attempt off the count of the day.
    #[must_use]
    pub fn succeeded(&self, policy: &LockPolicy, at: Timestamp) -> Self {
        let mut next = self.clone();
        next.in_a_row = 0;
        next.locked_until = None;
        next.day_arrival = day(policy).give_back(self.day_arrival);
        if let Some(attempt) = next.recent.iter_mut().find(|attempt| attempt.at == at && !attempt.right) {
            attempt.right = true;
        }
        next
    }

    /// Removes the attempt of the time `at`, which was never compared, from all counts.
    #[must_use]
    pub fn withdrawn(&self, policy: &LockPolicy, at: Timestamp) -> Self {
        let mut next = self.clone();
        next.in_a_row = next.in_a_row.saturating_sub(1);
        next.day_arrival = day(policy).give_back(self.day_arrival);
        if let Some(index) = next.recent.iter().position(|attempt| attempt.at == at && !attempt.right) {
            next.recent.remove(index);
        }
        next.locked_until = match next.recent.first() {
            Some(last) if locks(policy, next.in_a_row) => Some(last.at + lock_time(policy, next.in_a_row)),
            _ => None,
        };
        next
    }

    /// Ends the series and its lock, but keeps the count of the day. Called when the owner proved another secret, or
    /// when a caller without `access_tokens.secrets` unlocked the token.
    #[must_use]
    pub fn series_ended(&self) -> Self {
        Self { in_a_row: 0, locked_until: None, ..self.clone() }
    }

    /// Ends every lock and resets the count of the day. Called when a caller with `access_tokens.secrets` unlocked the
    /// token. The recent attempts stay.
    #[must_use]
    pub fn unlocked(&self) -> Self {
        Self { in_a_row: 0, locked_until: None, day_arrival: None, ..self.clone() }
    }
}

fn day(policy: &LockPolicy) -> Rate {
    Rate::per_day(policy.attempts_per_day)
}

/// Returns whether the last attempt of a series locks.
fn locks(policy: &LockPolicy, in_a_row: u32) -> bool {
    in_a_row > 0 && in_a_row.is_multiple_of(policy.attempts.max(1))
}

/// Returns the duration of a lock: `seconds` for the first one of a series, twice as long for each further one.
fn lock_time(policy: &LockPolicy, in_a_row: u32) -> Duration {
    let doublings = (in_a_row / policy.attempts.max(1)).saturating_sub(1).min(31);
    let seconds = u64::from(policy.seconds) << doublings;
    Duration::seconds(i64::try_from(seconds.min(policy.max_seconds.into())).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;

    fn start() -> Timestamp {
        Utc.timestamp_opt(1_700_000_000, 0).single().expect("a time")
    }

    fn policy() -> LockPolicy {
        LockPolicy::default()
    }

    /// Attempts until there is a lock. Returns the number of attempts and the lock.
    fn exhaust(attempts: &mut Attempts, policy: &LockPolicy, now: Timestamp) -> (u32, Lock) {
        let mut count = 0;
        loop {
            match attempts.admit(policy, now, None) {
                Ok(next) => *attempts = next,
                Err(lock) => return (count, lock),
            }
            count += 1;
        }
    }

    #[test]
    fn five_in_a_row_lock_for_a_quarter_of_an_hour_and_then_twice_as_long() {
        let (mut attempts, mut now) = (Attempts::default(), start());
        for minutes in [15, 30, 60, 120, 240, 480, 960, 1_440, 1_440] {
            let (count, lock) = exhaust(&mut attempts, &policy(), now);
            let until = now + Duration::minutes(minutes);
            assert_eq!((count, lock.cause, lock.until), (5, LockCause::AttemptsInARow, Some(until)));
            now = until;
        }
    }

    #[test]
    fn a_hundred_in_a_row_lock_until_somebody_unlocks() {
        let (mut attempts, mut now, mut total) = (Attempts::default(), start(), 0);
        let until = loop {
            let (count, lock) = exhaust(&mut attempts, &policy(), now);
            total += count;
            match lock.until {
                Some(until) => now = until,
                None => break lock,
            }
        };
        assert_eq!((total, until.cause), (100, LockCause::HardLimit));
        assert!(attempts.admit(&policy(), now + Duration::days(1_000), None).is_err());
        assert_eq!(exhaust(&mut attempts.unlocked(), &policy(), now).0, 5);
    }

    #[test]
    fn successes_of_the_owner_do_not_feed_an_attacker() {
        let (mut attempts, now, mut wrong) = (Attempts::default(), start(), 0);
        for _ in 0..1_000 {
            for _ in 0..4 {
                if let Ok(next) = attempts.admit(&policy(), now, None) {
                    attempts = next;
                    wrong += 1;
                }
            }
            if let Ok(next) = attempts.admit(&policy(), now, None) {
                attempts = next.succeeded(&policy(), now);
            }
        }
        assert!(wrong <= policy().attempts_per_day / 2, "{wrong} at once");
        assert_eq!(attempts.lock(&policy(), now).map(|lock| lock.cause), Some(LockCause::AttemptsPerDay));
    }

    #[test]
    fn unlocking_without_the_right_to_secrets_keeps_the_count_of_the_day() {
        let (mut attempts, now, mut compared) = (Attempts::default(), start(), 0);
        for _ in 0..1_000 {
            if let Ok(next) = attempts.admit(&policy(), now, None) {
                attempts = next;
                compared += 1;
            }
            attempts = attempts.series_ended();
        }
        assert_eq!(compared, policy().attempts_per_day / 2);
        assert_eq!(attempts.lock(&policy(), now).map(|lock| lock.cause), Some(LockCause::AttemptsPerDay));
        assert_eq!(attempts.unlocked().lock(&policy(), now), None);
    }

    #[test]
    fn a_quiet_day_ends_the_row_but_not_a_hard_lock() {
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            attempts = attempts.admit(&policy(), start(), None).expect("not locked");
        }
        let later = attempts.admit(&policy(), start() + SERIES_LIFETIME, None).expect("not locked");
        assert_eq!(later.in_a_row, 1);
        let sooner =
            attempts.admit(&policy(), start() + SERIES_LIFETIME - Duration::seconds(1), None).expect("not locked");
        assert_eq!(sooner.in_a_row, 5);
    }

    #[test]
    fn what_was_withdrawn_does_not_count() {
        let mut attempts = Attempts::default();
        for _ in 0..100 {
            let counted = attempts.admit(&policy(), start(), None).expect("not locked");
            attempts = counted.withdrawn(&policy(), start());
        }
        assert_eq!(attempts.lock(&policy(), start()), None);
        assert!(attempts.recent.is_empty());
    }

    #[test]
    fn the_last_attempts_are_remembered() {
        let mut attempts = Attempts::default();
        for second in 0..8 {
            let at = start() + Duration::seconds(second);
            attempts = attempts.admit(&policy(), at, Some("U")).expect("not locked").succeeded(&policy(), at);
        }
        assert_eq!(attempts.recent.len(), MAX_RECENT_ATTEMPTS);
        assert!(attempts.recent.iter().all(|attempt| attempt.right && attempt.user.as_deref() == Some("U")));
        assert_eq!(attempts.recent[0].at, start() + Duration::seconds(7));
    }
}
