//! Numbers of new access tokens whose records have none.

use std::collections::HashSet;

use super::record::{Kind, Object, Record};

/// Drawn numbers of the organisation's sequence, in the order in which a batch uses them.
#[derive(Debug, Clone, Default)]
pub(super) struct NewNumbers {
    pub(super) drawn: Vec<i64>,
    pub(super) used: usize,
    pub(super) missing: usize,
    /// Numbers that records of the batch name.
    pub(super) named: HashSet<String>,
}

/// The position in the numbers before a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    used: usize,
    missing: usize,
}

/// Returns whether a record that creates an access token needs a number: it has an authentication code, but neither id
/// nor number.
pub(crate) fn needs_number(record: &Record) -> bool {
    let has_code = record.object.get("authentication_code").is_some_and(|code| !code.is_null());
    record.kind == Kind::AccessToken && is_unnumbered(&record.object) && has_code
}

/// Returns whether a record of an access token has neither id nor number. Such a record names its token by the
/// authentication code, else by the identifier.
pub fn is_unnumbered(object: &Object) -> bool {
    ["id", "number"].into_iter().all(|name| object.get(name).is_none_or(serde_json::Value::is_null))
}

impl NewNumbers {
    pub(super) fn mark(&self) -> Mark {
        Mark { used: self.used, missing: self.missing }
    }

    /// Frees the numbers that were used since the mark.
    pub(super) fn reset(&mut self, mark: Mark) {
        (self.used, self.missing) = (mark.used, mark.missing);
    }
}
