//! Chance that repeats itself.

use std::sync::atomic::{AtomicU64, Ordering};

use access_tokens_domain::Result;
use access_tokens_domain::ports::Random;

/// Random bytes that depend on nothing but the seed and the order of the calls (SplitMix64). For tests only: whoever
/// knows one output knows all others.
#[derive(Debug)]
pub struct Rng(AtomicU64);

impl Rng {
    /// The same seed gives the same bytes.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next eight bytes.
    pub fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
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
}
