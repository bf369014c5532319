//! What makes a secret of an operator weak.

use std::collections::HashSet;

/// Minimum number of different bytes in a secret that operators supply: random keys of 32 bytes have more, repetitions have fewer.
const MIN_DISTINCT_BYTES: usize = 8;

/// Returns what is wrong with a secret that an operator supplies, given the bytes of its key: the text must have no outer blanks, and
/// the key at least [`MIN_DISTINCT_BYTES`] different bytes. For every setting that holds such a secret.
pub(super) fn secret_weakness(text: &str, key: &[u8]) -> Option<String> {
    if text.trim() != text {
        return Some("must have no blanks around it".to_owned());
    }
    let distinct = key.iter().collect::<HashSet<_>>().len();
    (distinct < MIN_DISTINCT_BYTES)
        .then(|| format!("must be random: it must have at least {MIN_DISTINCT_BYTES} different bytes"))
}
