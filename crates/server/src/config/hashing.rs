//! Limits on hashes of other systems.

use std::str::FromStr;

use access_tokens_host::value::parsed;
use serde::Deserialize;

/// Range of [`HashingSettings::max_foreign_memory`], in MiB.
const RANGE_MIB: std::ops::RangeInclusive<u64> = 64..=256;

/// Description of [`RANGE_MIB`] for messages.
pub(super) const MEMORY_RANGE: &str = "between 64 MiB and 256 MiB, such as 128 MiB";

/// Limits on hashes of other systems.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashingSettings {
    /// Maximum memory that an imported hash may need.
    #[serde(deserialize_with = "parsed")]
    pub max_foreign_memory: Memory,
}

/// An amount of memory, in whole MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    mib: u64,
}

impl Memory {
    /// Returns the amount in KiB.
    pub fn kib(self) -> u64 {
        self.mib * 1_024
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("MiB").unwrap_or(text).trim();
        match number.parse() {
            Ok(mib) if RANGE_MIB.contains(&mib) => Ok(Self { mib }),
            _ => Err(format!("must be {MEMORY_RANGE}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_number_of_mib_within_its_range() {
        for (text, kib) in [("64 MiB", 65_536), ("128MiB", 131_072), (" 256 MiB ", 262_144), ("100", 102_400)] {
            assert_eq!(text.parse().map(Memory::kib), Ok(kib), "{text}");
        }
        for text in ["", "63 MiB", "257 MiB", "134217728", "128 MB", "128 KiB", "-128", "1e2", "MiB"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
        let (low, high) = (RANGE_MIB.start(), RANGE_MIB.end());
        assert!(MEMORY_RANGE.starts_with(&format!("between {low} MiB and {high} MiB")), "{MEMORY_RANGE}");
    }
}
