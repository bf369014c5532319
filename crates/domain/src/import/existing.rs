//! Access tokens that are stored already: which records may change them.

use serde_json::Value;

use super::batch::Batch;
use super::options::Existing;
use super::record::Object;
use crate::Reason;
use crate::model::error::Violations;
use crate::model::time;

impl Batch<'_> {
    /// The id of the stored token that a record of an access token may not change.
    pub(super) fn protected_token(&self, record: &Object) -> Option<String> {
        if self.options.existing != Existing::KeepNewer {
            return None;
        }
        let found = self.tokens.of_record(record)?;
        let date = record.get("log_information").and_then(|log| log.get("updated_date"));
        let keeps = match date.filter(|date| !date.is_null()) {
            None => true,
            // A date that cannot be read is at fault, and says so.
            Some(date) => {
                let read = date.as_str().and_then(|text| time::read(text, self.time_zone).ok());
                read.is_some_and(|date| found.updated.date > date)
            }
        };
        keeps.then(|| found.id.clone())
    }
}

/// Whether what is wrong with a record follows from what is stored, and not from the record. It is no fault of a record that
/// changes nothing: since it was written, others may have taken its codes.
pub(super) fn follow_from_stored_data(violations: &Violations) -> bool {
    violations.reasons().all(|reason| {
        matches!(
            reason,
            Reason::ReferenceNotFound
                | Reason::AmbiguousName
                | Reason::RecordAlreadyExists
                | Reason::NumberAlreadyExists
                | Reason::AuthenticationCodeAlreadyExists
                | Reason::IdentifierAlreadyExists
        )
    })
}

/// Whether a record carries a secret of a token. What becomes of such a record never depends on the secret.
pub(super) fn carries_secret(record: &Object) -> bool {
    ["verification_code", "one_time_password", "pass_code_hash"]
        .into_iter()
        .any(|name| record.get(name).is_some_and(|value| *value != Value::Null))
}
