//! How often a secret of a token may be tried: counted before it is compared, locked after too many.
//!
//! A state machine without a clock of its own. For each token and kind of secret there is one [`Attempts`]; whoever
//! wants to compare a secret first asks [`Attempts::admit`], stores what it answers, and only then compares. So the
//! count is right even if the comparison never ends, and any number of replicas share it.
//!
//! - Every [`LockPolicy::attempts`] wrong attempts in a row lock the kind: at first for [`LockPolicy::seconds`], then
//!   for twice as long each time, at most for [`LockPolicy::max_seconds`].
//! - [`LockPolicy::hard_limit`] in a row lock it until somebody unlocks it.
//! - In any 24 hours at most [`LockPolicy::attempts_per_day`] are compared that turn out wrong, whatever succeeds
//!   between them. This is what bounds an attacker who waits for the owner to log in.
//! - A success ends the row. So does a day without an attempt, unless the kind is locked until it is unlocked.
//! - A new code changes nothing: the count is the token's, not the code's.

use chrono::Duration;
use serde::{Deserialize, Serialize};

use crate::model::policy::LockPolicy;
pub use crate::model::secret::SecretKind;
use crate::model::time::Timestamp;
use crate::policy::rate::Rate;

/// Without an attempt for this long, and without a lock, the row is forgotten.
pub const ROW_LIFETIME: Duration = Duration::hours(24);

/// How many of the last attempts are remembered.
pub const MAX_RECENT_ATTEMPTS: usize = 5;

/// What is remembered about the attempts at one kind of secret of one token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Wrong attempts in a row, those that are being compared just now included.
    pub in_a_row: u32,
    /// The end of the lock that the row has led to.
    pub locked_until: Option<Timestamp>,
    /// Meters wrong attempts over days; see [`Rate`].
    pub day_arrival: Option<Timestamp>,
    /// Attempts that were refused without a comparison, ever.
    pub refused: u32,
    /// The last of them.
    pub last_refused: Option<Timestamp>,
    /// The last attempts that were compared, the newest first.
    pub recent: Vec<Attempt>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// Was it right? An attempt counts as wrong until it is known to be right.
    pub right: bool,
    /// The user whose session presented it.
    pub user: Option<String>,
}

/// Why a secret is not compared at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// What led to it.
    pub cause: LockCause,
    /// The first moment at which it is over; `None`: when somebody unlocks it.
    pub until: Option<Timestamp>,
}

/// What led to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockCause {
    /// Too many wrong attempts in a row.
    AttemptsInARow,
    /// Too many wrong attempts in a day.
    AttemptsPerDay,
    /// So many wrong attempts in a row that only somebody can unlock it.
    HardLimit,
}

impl Attempts {
    /// The lock at `now`, if any.
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

    /// Counts one more attempt as wrong, or refuses it. What is answered must be stored before anything is compared.
    pub fn admit(&self, policy: &LockPolicy, now: Timestamp, user: Option<&str>) -> Result<Self, Lock> {
        if let Some(lock) = self.lock(policy, now) {
            return Err(lock);
        }
        let mut next = self.clone();
        let quiet_since = self.recent.first().map(|attempt| attempt.at).max(self.locked_until);
        if quiet_since.is_some_and(|since| now >= since + ROW_LIFETIME) {
            next.in_a_row = 0;
        }
        next.in_a_row += 1;
        next.day_arrival = day(policy).take(self.day_arrival, now).ok();
        next.locked_until = locks(policy, next.in_a_row).then(|| now + lock_time(policy, next.in_a_row));
        next.recent.insert(0, Attempt { at: now, right: false, user: user.map(str::to_owned) });
        next.recent.truncate(MAX_RECENT_ATTEMPTS);
        Ok(next)
    }

    /// The attempt that was counted at `at` was right: the row ends, and the day gets it back.
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

    /// The attempt that was counted at `at` was never compared: it does not count.
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

    /// Ends the row and its lock, but keeps the count of the day: the owner proved another secret, or a caller without
    /// `access_tokens.secrets` unlocked the token.
    #[must_use]
    pub fn row_ended(&self) -> Self {
        Self { in_a_row: 0, locked_until: None, ..self.clone() }
    }

    /// Ends every lock and the count of the day: a caller with `access_tokens.secrets` unlocked the token. The last
    /// attempts stay remembered.
    #[must_use]
    pub fn unlocked(&self) -> Self {
        Self { in_a_row: 0, locked_until: None, day_arrival: None, ..self.clone() }
    }
}

fn day(policy: &LockPolicy) -> Rate {
    Rate::per_day(policy.attempts_per_day)
}

/// Does the row lead to a lock with this attempt?
fn locks(policy: &LockPolicy, in_a_row: u32) -> bool {
    in_a_row > 0 && in_a_row.is_multiple_of(policy.attempts.max(1))
}

/// The first lock lasts `seconds`, each further one twice as long as the one before.
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

    /// Tries until it is locked, and answers how often and until when.
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
            attempts = attempts.row_ended();
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
        let later = attempts.admit(&policy(), start() + ROW_LIFETIME, None).expect("not locked");
        assert_eq!(later.in_a_row, 1);
        let sooner =
            attempts.admit(&policy(), start() + ROW_LIFETIME - Duration::seconds(1), None).expect("not locked");
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
