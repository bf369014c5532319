//! A plain and slow second implementation of the rules of attempts and locks, for tests that compare.

use access_tokens_domain::policy::LockPolicy;

/// A time in microseconds.
pub(crate) type Moment = i64;

const SECOND: Moment = 1_000_000;
pub(crate) const DAY: Moment = 24 * 3_600 * SECOND;

/// One kind of secret of one token.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlainLock {
    /// Times of the attempts of the current row.
    row: Vec<Moment>,
    /// End of the lock of the row.
    locked_until: Moment,
    /// Time of the last comparison, right or wrong.
    last: Option<Moment>,
    /// A leaky bucket: its level after the wrong attempts of the last day, and the time of that level.
    filled: Moment,
    reckoned: Moment,
}

impl PlainLock {
    /// Returns whether a secret may be compared at this time.
    pub(crate) fn is_open(&self, policy: &LockPolicy, now: Moment) -> bool {
        let hard = self.row.len() >= policy.hard_limit as usize;
        !hard && now >= self.locked_until && self.level(now) <= (at_once(policy) - 1) * one(policy)
    }

    /// Compares a secret at this time. Returns whether that was allowed.
    pub(crate) fn attempt(&mut self, policy: &LockPolicy, now: Moment, right: bool) -> bool {
        if !self.is_open(policy, now) {
            return false;
        }
        let rested = self.last.is_some_and(|last| now - last.max(self.locked_until) >= DAY);
        if rested || right {
            self.row.clear();
        }
        if right {
            self.locked_until = 0;
        } else {
            self.row.push(now);
            self.filled = self.level(now) + one(policy);
            self.reckoned = now;
            let wrong = u32::try_from(self.row.len()).expect("few");
            self.locked_until = 0;
            if wrong.is_multiple_of(policy.attempts) {
                let mut seconds = u64::from(policy.seconds);
                for _ in 1..wrong / policy.attempts {
                    seconds = (seconds * 2).min(u64::from(policy.max_seconds));
                }
                self.locked_until = now + i64::try_from(seconds.min(policy.max_seconds.into())).expect("few") * SECOND;
            }
        }
        self.last = Some(now);
        true
    }

    /// A client with `access_tokens.secrets` unlocks it.
    pub(crate) fn unlock(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }

    /// The owner proved another secret, or a client without `access_tokens.secrets` unlocks it.
    pub(crate) fn forgive(&mut self) {
        self.row.clear();
        self.locked_until = 0;
    }

    /// Returns the end of the lock of the row, if there was one.
    pub(crate) fn locked_until(&self) -> Option<Moment> {
        (self.locked_until > 0).then_some(self.locked_until)
    }

    fn level(&self, now: Moment) -> Moment {
        (self.filled - (now - self.reckoned)).max(0)
    }
}

/// Returns the number of wrong attempts that are allowed without waiting, as a level: half of the attempts of a day,
/// rounded up.
fn at_once(policy: &LockPolicy) -> Moment {
    Moment::from(policy.attempts_per_day.div_ceil(2))
}

/// Returns the level of one wrong attempt: the time after which another one is allowed.
fn one(policy: &LockPolicy) -> Moment {
    match Moment::from(policy.attempts_per_day) - at_once(policy) {
        0 => DAY + SECOND,
        rest => DAY / rest + 1,
    }
}
