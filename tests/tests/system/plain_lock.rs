//! The rules of attempts and locks once more, told plainly and slowly, for tests that compare.

use access_tokens_domain::policy::LockPolicy;

/// Microseconds.
pub(crate) type Moment = i64;

const SECOND: Moment = 1_000_000;
pub(crate) const DAY: Moment = 24 * 3_600 * SECOND;

/// One kind of secret of one token.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlainLock {
    /// When the attempts of the row were made.
    row: Vec<Moment>,
    /// When the lock of the row ends.
    locked_until: Moment,
    /// The last attempt that was compared, right or wrong.
    last: Option<Moment>,
    /// A bucket that leaks: what the wrong attempts of the last day have filled it with, and when that was reckoned.
    filled: Moment,
    reckoned: Moment,
}

impl PlainLock {
    /// May a secret be compared at this moment?
    pub(crate) fn is_open(&self, policy: &LockPolicy, now: Moment) -> bool {
        let hard = self.row.len() >= policy.hard_limit as usize;
        !hard && now >= self.locked_until && self.level(now) <= (at_once(policy) - 1) * one(policy)
    }

    /// A secret is compared at this moment. Answers whether it was allowed.
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

    /// A caller with `access_tokens.secrets` unlocks it.
    pub(crate) fn unlock(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }

    /// The owner proved another secret, or a caller without `access_tokens.secrets` unlocks it.
    pub(crate) fn forgive(&mut self) {
        self.row.clear();
        self.locked_until = 0;
    }

    /// When the lock of the row ends, if it ever began.
    pub(crate) fn locked_until(&self) -> Option<Moment> {
        (self.locked_until > 0).then_some(self.locked_until)
    }

    fn level(&self, now: Moment) -> Moment {
        (self.filled - (now - self.reckoned)).max(0)
    }
}

/// Wrong attempts that are allowed at once: half of a day's, rounded up.
fn at_once(policy: &LockPolicy) -> Moment {
    Moment::from(policy.attempts_per_day.div_ceil(2))
}

/// What one wrong attempt fills the bucket with: so much time has to pass for another one.
fn one(policy: &LockPolicy) -> Moment {
    match Moment::from(policy.attempts_per_day) - at_once(policy) {
        0 => DAY + SECOND,
        rest => DAY / rest + 1,
    }
}
