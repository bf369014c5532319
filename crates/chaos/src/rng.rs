//! What is left to chance, from one seed.

use std::time::Duration;

use access_tokens_testkit::random::Rng;

/// A source of chance. Who runs at the same time has one each.
#[derive(Debug)]
pub(crate) struct Rng(Rng);

impl Rng {
    /// The same seed gives the same choices.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// Another source, which depends on this one.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.0.next_u64())
    }

    /// A number below a limit.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.0.next_u64() % limit.max(1)
    }

    /// Every n-th time, about.
    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A time between two others, in milliseconds.
    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1_000 + self.below((to - from) * 1_000))
    }
}
