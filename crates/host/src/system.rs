//! The clock and the random generator of the operating system. No other code reads them.

use access_tokens_domain::ports::{Clock, Random};
use access_tokens_domain::time::{Timestamp, stored_precision};
use access_tokens_domain::{Error, Result};

/// The wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        stored_precision(chrono::Utc::now())
    }
}

/// The operating system's cryptographic generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "this is the generator")]
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer).map_err(|error| Error::internal(format!("no random bytes: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;

    use super::*;

    #[test]
    fn times_have_no_more_than_microseconds() {
        assert_eq!(SystemClock.now().nanosecond() % 1_000, 0);
    }

    #[test]
    fn random_bytes_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        SystemRandom.fill(&mut a).expect("random bytes");
        SystemRandom.fill(&mut b).expect("random bytes");
        assert_ne!(a, b);
    }
}
