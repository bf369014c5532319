//! Adds one record to a batch.

use super::batch::Batch;
use super::existing::follow_from_stored_data;
use super::prepared::Prepared;
use super::record::{Kind, Object, Record};
use crate::Result;

/// The outcome of a record without errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The object is new.
    Created,
    /// The object, or one that is embedded in it, changed.
    Updated,
    /// The stored data equals the record. A secret that the record carries is written, but does not count as a change,
    /// whether or not it is the stored one: the outcome of a record reveals nothing about a secret (ADR 24).
    Unchanged,
    /// Nothing of the record was written, because the access token was changed here after the date of the record, or
    /// because the record has no date.
    Kept,
}

impl Batch<'_> {
    /// Applies a record, with everything that is embedded in it. A record with an error changes nothing.
    pub fn add(&mut self, prepared: Prepared) -> Result<(Outcome, String)> {
        let (Record { kind, object, incomplete, ignored_members }, hash) = prepared.into_parts();
        self.incomplete = incomplete;
        let brings_secret = hash.is_some() || brings_hash(&object);
        let mark = self.numbers.mark();
        let kept = if kind == Kind::AccessToken { self.protected_token(&object) } else { None };
        let existed_and_id = self.upsert(kind, object, kind.name(), hash);
        let violations = std::mem::take(&mut self.violations);
        self.seen.clear();
        if let Some(id) = kept.filter(|_| follow_from_stored_data(&violations)) {
            self.end_record(false);
            self.tally.kept_secrets += u64::from(brings_secret);
            self.numbers.reset(mark);
            return Ok((Outcome::Kept, id));
        }
        let result = violations.into_result();
        self.pending_tally.ignored_members += ignored_members as u64;
        self.pending_tally.secrets += u64::from(brings_secret);
        let touched = self.end_record(result.is_ok());
        if result.is_err() {
            self.numbers.reset(mark);
        }
        result?;
        let (existed, id) = existed_and_id.unwrap_or((true, String::new()));
        let outcome = match (existed, touched) {
            (false, _) => Outcome::Created,
            (true, true) => Outcome::Updated,
            (true, false) => Outcome::Unchanged,
        };
        Ok((outcome, id))
    }
}

/// Returns whether a record carries the hash of a pass code or of a password.
fn brings_hash(object: &Object) -> bool {
    ["pass_code_hash", "password_hash"].into_iter().any(|name| object.get(name).is_some_and(|value| !value.is_null()))
}
