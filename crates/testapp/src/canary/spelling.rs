//! The spellings in which a program may write a value.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A value of at least this length is also found by either half, because a truncated text is a leak as well.
const MIN_LENGTH_TO_SPLIT: usize = 24;

/// Returns all spellings, each with its name. Letters match in either case.
pub(super) fn spellings(value: &[u8]) -> BTreeMap<Vec<u8>, &'static str> {
    parts(value).into_iter().flat_map(spellings_of).collect()
}

fn parts(value: &[u8]) -> Vec<&[u8]> {
    if value.len() < MIN_LENGTH_TO_SPLIT {
        return vec![value];
    }
    let (head, tail) = value.split_at(value.len() / 2);
    vec![head, tail]
}

fn spellings_of(value: &[u8]) -> BTreeMap<Vec<u8>, &'static str> {
    let mut found = BTreeMap::new();
    for before in 0..3 {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            found.insert(base64_after(before, value, |bytes| engine.encode(bytes)), "base64");
        }
    }
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    found.insert(hex.into_bytes(), "hex");
    // The debug format of bytes in Rust: `[99, 97]`.
    let list: Vec<_> = value.iter().map(u8::to_string).collect();
    found.insert(list.join(", ").into_bytes(), "list of bytes");
    found.insert(value.to_vec(), "clear");
    found
}

/// Returns the Base64 of a text that has the value after this number of other bytes: only the characters that depend on the value.
fn base64_after(before: usize, value: &[u8], encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value);
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    encode(&bytes).as_bytes()[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second and the third byte have bits that differ between the alphabets.
    const VALUE: &[u8] = b"\xfb\xff\xbfcanary\xfb\xef\xbe";

    fn is_in(text: &[u8], value: &[u8], name: &str) -> bool {
        let named = spellings(value).into_iter().filter(|(_, one)| *one == name);
        let mut spelled = named.map(|(spelling, _)| spelling);
        spelled.any(|spelling| text.windows(spelling.len()).any(|window| window == spelling))
    }

    #[test]
    fn base64_is_found_at_every_alignment_in_both_alphabets() {
        for before in ["", "a", "ab", "abc", "abcd", "abcde"] {
            for after in ["", "y", "yz", "xyz"] {
                let text = [before.as_bytes(), VALUE, after.as_bytes()].concat();
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(&text);
                    assert!(is_in(encoded.as_bytes(), VALUE, "base64"), "{encoded}");
                }
            }
        }
        let other = STANDARD_NO_PAD.encode(b"something else, and long enough for it");
        assert!(!is_in(other.as_bytes(), VALUE, "base64"));
    }

    #[test]
    fn each_other_spelling_is_what_it_is_called() {
        let hex: String = VALUE.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(is_in(hex.as_bytes(), VALUE, "hex"));
        assert!(is_in(format!("{VALUE:?}").as_bytes(), VALUE, "list of bytes"));
        assert!(is_in(VALUE, VALUE, "clear"));
    }

    #[test]
    fn long_values_are_found_by_their_halves() {
        let value: Vec<u8> = (b'a'..=b'z').collect();
        for cut in [&value[..13], &value[13..], &value[..20], &value[6..]] {
            assert!(is_in(cut, &value, "clear"));
        }
        assert!(!is_in(&value[..12], &value, "clear"));
    }
}
