//! Assigns numbers to the new access tokens of a batch.

use super::batch::Batch;
use super::new_numbers::needs_number;
use super::prepared::Prepared;

impl Batch<'_> {
    /// Sets the drawn numbers for new access tokens. If there are not enough of them, [`Self::missing_numbers`] is
    /// above zero, and the changes of the batch must not be written.
    pub fn set_drawn_numbers(&mut self, drawn: Vec<i64>) {
        self.numbers.drawn = drawn;
    }

    /// Returns the number of drawn numbers that are used, from the first one on.
    pub fn used_numbers(&self) -> usize {
        self.numbers.used
    }

    /// Returns the number of numbers that the batch needs in addition to those that it has.
    pub fn missing_numbers(&self) -> usize {
        self.numbers.missing
    }

    /// Reserves the numbers that records name, so that no other access token of the batch gets them.
    pub(super) fn reserve_named_numbers(&mut self, records: &[&Prepared]) {
        if records.iter().any(|one| needs_number(&one.record())) {
            let named = records.iter().filter_map(|one| Some(one.record().object.get("number")?.as_str()?.to_owned()));
            self.numbers.named.extend(named);
        }
    }

    /// Returns the number of a new access token. If none is left, returns a placeholder that no record can name: a
    /// check stores it, an import repeats the batch with more numbers.
    pub(super) fn next_number(&mut self, id: &str) -> String {
        let prefix = &self.organisation.number_prefix;
        while let Some(number) = self.numbers.drawn.get(self.numbers.used) {
            self.numbers.used += 1;
            let number = format!("{prefix}{number:010}");
            if !self.tokens.has_number(&number) && !self.numbers.named.contains(&number) {
                return number;
            }
        }
        self.numbers.missing += 1;
        format!("\u{1}{id}")
    }
}
