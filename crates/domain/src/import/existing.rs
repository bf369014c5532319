//! Rules for records of access tokens that are already stored.

use serde_json::Value;

use super::batch::Batch;
use super::options::Existing;
use super::record::Object;
use super::tokens::is_taken;
use crate::Reason;
use crate::model::error::Violations;
use crate::model::time;

impl Batch<'_> {
    /// Returns the id of the stored token, if the record must not change it.
    pub(super) fn protected_token(&self, record: &Object) -> Option<String> {
        if self.context.options.existing != Existing::KeepNewer {
            return None;
        }
        let found = self.tokens.of_record(record)?;
        let date = record.get("log_information").and_then(|log| log.get("updated_date"));
        let keeps = match date.filter(|date| !date.is_null()) {
            None => true,
            // A date that cannot be read is reported as an error later.
            Some(date) => {
                let read = date.as_str().and_then(|text| time::read(text, self.context.time_zone).ok());
                read.is_some_and(|date| found.updated.date > date)
            }
        };
        keeps.then(|| found.id.clone())
    }
}

/// Returns whether all violations of a record follow from stored data and not from the record. They are no errors of a
/// record that changes nothing: its codes may have been taken by other tokens since it was written.
pub(super) fn follow_from_stored_data(violations: &Violations) -> bool {
    violations.reasons().all(|reason| {
        is_taken(reason)
            || matches!(reason, Reason::ReferenceNotFound | Reason::AmbiguousName | Reason::RecordAlreadyExists)
    })
}

/// Returns whether a record carries a secret of a token. The outcome of such a record never depends on the secret.
pub(super) fn carries_secret(record: &Object) -> bool {
    ["verification_code", "one_time_password", "pass_code_hash"]
        .into_iter()
        .any(|name| record.get(name).is_some_and(|value| *value != Value::Null))
}
