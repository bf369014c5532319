//! Detects codes that a spreadsheet has damaged: zeros at the end of long numbers, and missing zeros at their beginning. A single code
//! shows neither, so that the codes of a file are counted.

use super::csv::may_have_lost_digits;

/// Minimum number of codes in a file for a warning.
const MIN_CODES: u64 = 20;
/// Lengths of codes that are counted separately, in digits. Shorter ones are often serial numbers.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=31;
/// Minimum length at which codes of digits are expected to have equal lengths.
const MIN_EXPECTED_LENGTH: usize = 8;
/// Maximum number of missing zeros.
const MAX_LOST_ZEROS: usize = 4;

/// Counts of the codes of one file.
#[derive(Debug, Default)]
pub(super) struct Codes {
    all: u64,
    with_lost_digits: u64,
    /// Codes of digits that begin with zero.
    with_leading_zero: u64,
    /// Codes of digits, by their length.
    by_length: [u64; *LENGTHS.end() + 1],
}

impl Codes {
    pub(super) fn add(&mut self, code: &str) {
        self.all += 1;
        self.with_lost_digits += u64::from(may_have_lost_digits(code));
        if LENGTHS.contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit()) {
            self.by_length[code.len()] += 1;
            self.with_leading_zero += u64::from(code.starts_with('0'));
        }
    }

    /// Returns the warnings about the codes.
    pub(super) fn warnings(&self, file: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        let (all, lost) = (self.all, self.with_lost_digits);
        if all < MIN_CODES {
            return warnings;
        }
        if lost * 2 > all {
            warnings.push(format!(
                "{file}: {lost} of {all} authentication codes have zeros after the fifteenth digit: Excel keeps 15 digits of a number. \
                 Were they right in the file before a spreadsheet saved it?"
            ));
        }
        if let Some((length, shorter)) = self.lost_zeros() {
            warnings.push(format!(
                "{file}: {shorter} of {all} authentication codes have fewer digits than the {length} of the others, and none begins with 0: \
                 spreadsheets drop leading zeros. pad = {length} in the mapping restores them"
            ));
        }
        warnings
    }

    /// Returns the common length of the codes, and the number of slightly shorter ones, if leading zeros seem to be lost.
    fn lost_zeros(&self) -> Option<(usize, u64)> {
        let (length, count) = self.by_length.iter().copied().enumerate().max_by_key(|(_, count)| *count)?;
        let shorter: u64 = self.by_length[length.saturating_sub(MAX_LOST_ZEROS)..length].iter().sum();
        let is_whole = count + shorter == self.all;
        (length >= MIN_EXPECTED_LENGTH && is_whole && shorter > 0 && self.with_leading_zero == 0)
            .then_some((length, shorter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(codes: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut all = Codes::default();
        codes.into_iter().for_each(|code| all.add(&code));
        all.warnings("a.csv")
    }

    #[test]
    fn codes_that_lost_digits_are_one_warning() {
        for (lost, whole, warns) in [(11, 9, true), (10, 10, false), (19, 0, false), (20, 0, true)] {
            let codes = (0..lost).map(|i| format!("{i:015}0")).chain((0..whole).map(|i| format!("{i:015}7")));
            assert_eq!(warnings(codes).len(), usize::from(warns), "{lost} {whole}");
        }
    }

    #[test]
    fn codes_that_lost_leading_zeros_are_one_warning() {
        let number = |i: u64| format!("{}", 4_200_000_000_000 + i);
        let some_short = |short: &str| warnings((0..30).map(number).chain([short.to_owned()]));
        let said = some_short("42123456784");
        assert!(said[0].contains("1 of 31") && said[0].contains("pad = 13"), "{said:?}");
        for other in ["0042123456784", "42-123456784", "421", "42000000000001"] {
            assert_eq!(some_short(other), Vec::<String>::new(), "{other}");
        }
        assert_eq!(warnings((1..2_000).map(|i| i.to_string())), Vec::<String>::new(), "serial numbers");
        assert_eq!(warnings((0..30).map(number)), Vec::<String>::new());
    }
}
