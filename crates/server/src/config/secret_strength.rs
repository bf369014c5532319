//! Checks the strength of secrets that operators supply.

use std::collections::HashSet;

/// Minimum number of different bytes in a secret that operators supply: random keys of 32 bytes have more, repetitions have fewer.
const MIN_DISTINCT_BYTES: usize = 8;

/// Returns the problem of a secret that an operator supplies, given the bytes of its key: leading or trailing blanks, or fewer than
/// [`MIN_DISTINCT_BYTES`] different bytes in the key.
pub(super) fn secret_weakness(text: &str, key: &[u8]) -> Option<String> {
    if text.trim() != text {
        return Some("must have no blanks around it".to_owned());
    }
    let distinct = key.iter().collect::<HashSet<_>>().len();
    (distinct < MIN_DISTINCT_BYTES)
        .then(|| format!("must be random: it must have at least {MIN_DISTINCT_BYTES} different bytes"))
}
