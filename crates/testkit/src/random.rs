//! Random numbers that a seed determines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access_tokens_domain::Result;
use access_tokens_domain::ports::Random;

/// Generator of random numbers (SplitMix64). The seed and the order of the calls determine the numbers. For tests only: each output
/// reveals all others.
#[derive(Debug)]
pub struct Rng(AtomicU64);

impl Rng {
    /// Returns a generator. Equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns another generator, with a seed from this one.
    pub fn fork(&self) -> Self {
        Self::new(self.next_u64())
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 to `limit` - 1, or 0 if `limit` is 0.
    pub fn below(&self, limit: u64) -> u64 {
        self.next_u64() % limit.max(1)
    }

    /// Returns true with probability 1/`n`.
    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns a number from 0 to just below 1.
    pub fn unit(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a time between two numbers of milliseconds, in whole microseconds.
    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1_000 + self.below((to - from) * 1_000))
    }
}

impl Random for Rng {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: u64) -> [u8; 21] {
        let mut buffer = [0; 21];
        Rng::new(seed).fill(&mut buffer).expect("bytes");
        buffer
    }

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }

    #[test]
    fn it_is_splitmix64() {
        assert_eq!(Rng::new(1_234_567).next_u64(), 6_457_827_717_110_365_317, "the published test vector");
    }

    #[test]
    fn numbers_keep_their_limits() {
        let rng = Rng::new(1);
        for _ in 0..1_000 {
            assert!(rng.below(7) < 7 && (0.0..1.0).contains(&rng.unit()));
            assert!((Duration::from_millis(3)..Duration::from_millis(5)).contains(&rng.millis(3, 5)));
        }
        assert_eq!(rng.below(0), 0);
        assert_ne!(rng.fork().next_u64(), rng.fork().next_u64());
    }
}
