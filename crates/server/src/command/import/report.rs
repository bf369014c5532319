//! The report of an import: a message for each refused record up to a limit, and a summary by reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use access_tokens_domain::Error;
use access_tokens_domain::import::Outcome;

/// Maximum number of messages about records with the same reason and field. Further ones are only counted.
const MAX_MESSAGES: u64 = 20;
/// Maximum number of reasons and fields that are distinguished. Further ones are counted together.
const MAX_GROUPS: usize = 200;
/// Minimum number of refused records for a summary of the reasons, even if every message was shown.
const SUMMARY_FROM: u64 = 10;

/// The place of a record, for messages.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    /// The number of the record in a text with several records.
    pub(super) number: Option<usize>,
}

/// Numbers of records by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    pub(super) kept: u64,
    pub(super) failed: u64,
}

impl Counts {
    /// Returns the number of all records.
    pub(super) fn records(self) -> u64 {
        self.created + self.updated + self.unchanged + self.kept + self.failed
    }
}

/// The result of an import.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) counts: Counts,
    groups: BTreeMap<(&'static str, String), Group>,
    /// Lines at the end of the summary.
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Default)]
struct Group {
    count: u64,
    first: String,
}

impl Report {
    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Created => self.counts.created += 1,
            Outcome::Updated => self.counts.updated += 1,
            Outcome::Unchanged => self.counts.unchanged += 1,
            Outcome::Kept => self.counts.kept += 1,
        }
    }

    /// Counts a refused record. Returns the message to show. None above [`MAX_MESSAGES`].
    pub(super) fn fail(&mut self, location: &Location, error: &Error, message: &str) -> Option<String> {
        self.counts.failed += 1;
        let field = error.violations().first().map(|violation| violation.field.clone()).unwrap_or_default();
        let mut key = (error.reason().name(), field);
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            key = ("other reasons", String::new());
        }
        let group = self.groups.entry(key).or_default();
        group.count += 1;
        if group.count == 1 {
            group.first = format!("{message}, first at {}:{}", location.file, location.line);
        }
        match group.count {
            MAX_MESSAGES => {
                Some(format!("{}\n{}", message_line(location, message), "(more of this kind are counted only)"))
            }
            ..MAX_MESSAGES => Some(message_line(location, message)),
            _ => None,
        }
    }

    /// Returns whether the import has changed the database.
    pub(super) fn has_changes(&self) -> bool {
        self.counts.created + self.counts.updated > 0
    }

    /// Returns the counts on one line.
    pub(super) fn count_line(&self, check: bool) -> String {
        let Counts { created, updated, unchanged, kept, failed } = self.counts;
        let checked = if check { "checked, nothing written: " } else { "" };
        let kept = if kept > 0 { format!("{kept} kept, ") } else { String::new() };
        format!("{checked}{created} created, {updated} updated, {unchanged} unchanged, {kept}{failed} failed")
    }

    /// Returns the reasons of refused records, the most frequent first, and the warnings.
    pub(super) fn details(&self) -> String {
        let mut text = String::new();
        let is_cut = self.groups.values().any(|group| group.count > MAX_MESSAGES);
        if is_cut || self.counts.failed >= SUMMARY_FROM {
            let mut groups: Vec<_> = self.groups.iter().collect();
            groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
            text.push_str("refused by reason:\n");
            for (_, group) in groups {
                // Writing to a string never fails.
                let _ = writeln!(text, "{:>8}  {}", group.count, group.first);
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "{warning}");
        }
        text
    }
}

/// Formats a message as `FILE:LINE: REASON field: description`, with all wrong fields on one line.
fn message_line(location: &Location, message: &str) -> String {
    let number = location.number.map(|number| format!(" record {number}:")).unwrap_or_default();
    format!("{}:{}:{number} {message}", location.file, location.line)
}

/// Formats an error as `REASON field: description`, with all wrong fields on one line.
pub(super) fn message(error: &Error) -> String {
    // An error about the whole record has an empty field name.
    let message = error.message().trim_start_matches(": ").replace(['\n', '\r'], " ");
    format!("{} {message}", error.reason().name())
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::Reason;

    use super::*;

    fn location(line: usize) -> Location {
        Location { file: "a.ndjson".into(), line, number: None }
    }

    #[test]
    fn a_complaint_is_one_line_with_place_reason_and_field() {
        let error = Error::field(Reason::FieldTooLong, "unit.name", "is longer than 1000 characters");
        let expected = "a.ndjson:7: FIELD_TOO_LONG unit.name: is longer than 1000 characters";
        assert_eq!(message_line(&location(7), &message(&error)), expected);
        let error = Error::field(Reason::InvalidFieldValue, "", "is not valid JSON (column 3)");
        let expected = "a.ndjson:7: record 2: INVALID_FIELD_VALUE is not valid JSON (column 3)";
        assert_eq!(message_line(&Location { number: Some(2), ..location(7) }, &message(&error)), expected);
    }

    #[test]
    fn one_cause_is_one_line_of_the_summary() {
        let mut report = Report::default();
        let mut shown = 0;
        for line in 1..=30_000 {
            let field = if line % 3 == 0 { "access_token.udf_date_1" } else { "access_token.number" };
            let error = Error::field(Reason::InvalidFieldValue, field, "is wrong");
            shown += report.fail(&location(line), &error, &message(&error)).map_or(0, |text| text.lines().count());
        }
        assert_eq!(shown, 42, "twenty of each kind, and that there are more");
        let expected = "refused by reason:\n   20000  INVALID_FIELD_VALUE access_token.number: is wrong, first at a.ndjson:1\n   10000  INVALID_FIELD_VALUE access_token.udf_date_1: is wrong, first at a.ndjson:3\n";
        assert_eq!(report.details(), expected);
        // Names from the file do not make the summary unlimited.
        for line in 1..=10_000 {
            let error = Error::field(Reason::UnknownField, format!("unit.f{line}"), "is not a field");
            report.fail(&location(line), &error, &message(&error));
        }
        assert!(report.details().lines().count() <= MAX_GROUPS + 2);
        assert_eq!((report.counts.failed, report.counts.records()), (40_000, 40_000));
    }

    #[test]
    fn few_messages_need_no_summary() {
        let mut report = Report::default();
        let error = Error::field(Reason::InvalidFieldValue, "unit", "is wrong");
        assert!(report.fail(&location(1), &error, &message(&error)).is_some());
        assert_eq!(report.details(), "");
        report.warnings.push("a warning".to_owned());
        assert_eq!(report.details(), "a warning\n");
    }
}
