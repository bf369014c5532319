//! Observations on records besides their outcome: assumed states, numbers of payment cards, damaged codes, and other records with the same
//! code.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use access_tokens_domain::import::{Kind, Record};
use serde_json::Value;

use super::codes::Codes;
use super::csv::may_be_card_number;

/// Maximum number of codes and identifiers whose lines are kept, about 32 bytes each.
const MAX_PLACES: usize = 1_000_000;

/// The members that no two access tokens share, besides the number.
const UNIQUE_MEMBERS: [&str; 2] = ["authentication_code", "identifier"];

/// Observations on one record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observation {
    /// Whether the record has no state, so that a new access token gets the default state.
    pub(super) assumes_state: bool,
    /// Whether one of its codes may be the number of a payment card.
    pub(super) may_be_card_number: bool,
    /// The code and the identifier, as hashes with a key of this process.
    unique: [Option<u64>; UNIQUE_MEMBERS.len()],
}

/// Observations on all records.
#[derive(Default)]
pub(super) struct Observations {
    hasher: RandomState,
    lines: HashMap<u64, (u32, u32)>,
    files: Vec<Arc<str>>,
    /// The authentication codes of the current file.
    codes: Codes,
}

impl Observations {
    /// Begins the next file. Returns warnings about the one before it.
    pub(super) fn begin(&mut self, file: &Arc<str>) -> Vec<String> {
        let warnings = self.end();
        self.files.push(Arc::clone(file));
        warnings
    }

    /// Ends the current file. Returns warnings if its codes look like numbers that a spreadsheet has damaged.
    pub(super) fn end(&mut self) -> Vec<String> {
        let codes = std::mem::take(&mut self.codes);
        self.files.last().map(|file| codes.warnings(file)).unwrap_or_default()
    }

    /// Examines a record of the current file.
    pub(super) fn examine(&mut self, record: &Record, line: usize) -> Observation {
        if record.kind != Kind::AccessToken {
            return Observation::default();
        }
        let text = |name: &str| record.object.get(name).and_then(Value::as_str);
        if let Some(code) = text(UNIQUE_MEMBERS[0]) {
            self.codes.add(code);
        }
        let values = UNIQUE_MEMBERS.map(text);
        let unique = [0, 1].map(|place| values[place].map(|value| self.hasher.hash_one((place, value))));
        if let (Ok(file), Ok(line)) = (u32::try_from(self.files.len().saturating_sub(1)), u32::try_from(line)) {
            for key in unique.into_iter().flatten() {
                if self.lines.len() < MAX_PLACES {
                    self.lines.entry(key).or_insert((file, line));
                }
            }
        }
        Observation {
            assumes_state: !record.incomplete && record.object.get("life_cycle_state").is_none_or(Value::is_null),
            may_be_card_number: values.into_iter().flatten().any(may_be_card_number),
            unique,
        }
    }

    /// Returns the place of another record with the same code or identifier, for a message.
    pub(super) fn other(&self, observation: &Observation, file: &str, line: usize) -> Option<String> {
        observation.unique.iter().flatten().find_map(|key| {
            let (other_file, other_line) = self.lines.get(key)?;
            let other_file = self.files.get(usize::try_from(*other_file).ok()?)?;
            let is_same = &**other_file == file && usize::try_from(*other_line) == Ok(line);
            (!is_same).then(|| format!("{other_file}:{other_line}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::import::parse;

    use super::*;

    fn record(members: &str) -> Record {
        parse(&format!("{{\"access_token\": {{{members}}}}}")).expect("a record").remove(0)
    }

    #[test]
    fn the_other_record_of_a_code_is_found() {
        let mut observations = Observations::default();
        observations.begin(&"a.csv".into());
        let first = observations.examine(&record(r#""authentication_code": "7", "identifier": "x""#), 2);
        assert_eq!(observations.other(&first, "a.csv", 2), None);
        observations.begin(&"b.csv".into());
        let again = observations.examine(&record(r#""identifier": "x""#), 9);
        assert_eq!(observations.other(&again, "b.csv", 9).as_deref(), Some("a.csv:2"));
        let crossed = observations.examine(&record(r#""identifier": "7""#), 10);
        assert_eq!(observations.other(&crossed, "b.csv", 10), None, "a code is no identifier");
        assert!(first.assumes_state && !first.may_be_card_number);
        let stated = observations
            .examine(&record(r#""life_cycle_state": "EFFECTIVE", "identifier": "4111 1111 1111 1111""#), 11);
        assert!(!stated.assumes_state && stated.may_be_card_number);
    }
}
