//! Numbers of new access tokens whose records bring none.

use std::collections::HashSet;

use super::{Batch, Kind, Object, Prepared, Record};

/// Numbers that were drawn from the organisation's sequence, in the order in which a batch uses them.
#[derive(Debug, Clone, Default)]
pub(super) struct NewNumbers {
    drawn: Vec<i64>,
    used: usize,
    missing: usize,
    /// Numbers that records of the batch name themselves.
    named: HashSet<String>,
}

/// The position in the numbers before a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    used: usize,
    missing: usize,
}

/// Reports whether a record that creates an access token needs a number: it has an authentication code, but neither id nor number.
pub(crate) fn needs_number(record: &Record) -> bool {
    let has = |name: &str| record.object.get(name).is_some_and(|value| !value.is_null());
    record.kind == Kind::AccessToken && !has("id") && !has("number") && has("authentication_code")
}

/// Reports whether a record of an access token has neither id nor number. Its authentication code names it then, else its identifier.
pub fn is_unnumbered(object: &Object) -> bool {
    ["id", "number"].into_iter().all(|name| object.get(name).is_none_or(serde_json::Value::is_null))
}

impl NewNumbers {
    pub(super) fn mark(&self) -> Mark {
        Mark { used: self.used, missing: self.missing }
    }

    /// Takes back what was used since the mark.
    pub(super) fn reset(&mut self, mark: Mark) {
        (self.used, self.missing) = (mark.used, mark.missing);
    }
}

impl Batch<'_> {
    /// Gives the batch numbers for new access tokens. Without enough of them, [`Self::missing_numbers`] says how many more it needs,
    /// and what it would write must not be written.
    pub fn number_from(&mut self, drawn: Vec<i64>) {
        self.numbers.drawn = drawn;
    }

    /// Returns how many of the drawn numbers are used, from the first one on.
    pub fn used_numbers(&self) -> usize {
        self.numbers.used
    }

    /// Returns how many numbers the batch needs besides those that it was given.
    pub fn missing_numbers(&self) -> usize {
        self.numbers.missing
    }

    /// Keeps numbers that records name from being given to other access tokens of the batch.
    pub(super) fn reserve_named_numbers(&mut self, records: &[&Prepared]) {
        if records.iter().any(|one| needs_number(&one.record())) {
            let named = records.iter().filter_map(|one| Some(one.record().object.get("number")?.as_str()?.to_owned()));
            self.numbers.named.extend(named);
        }
    }

    /// Returns the number of a new access token. Where none is left, a stand-in that no record can name: a check stores it, an
    /// import repeats the batch with more numbers.
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
