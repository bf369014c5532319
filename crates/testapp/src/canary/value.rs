//! A value, and the places that may contain it.

/// Numbers with fewer digits are not unique in files of some megabytes.
const SHORT_NUMBER_LENGTH: usize = 12;

/// The places that may contain a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The client that received it: it is written nowhere.
    Secret,
    /// The database and answers to its reader: no log, trace, metric or error.
    Personal,
}

#[derive(Debug, Clone)]
pub(super) struct Canary {
    pub(super) kind: Kind,
    pub(super) what: String,
    pub(super) value: Vec<u8>,
}

impl Canary {
    /// Returns whether the value is a code of a few digits, which may be a part of something longer by chance.
    pub(super) fn is_short_number(&self) -> bool {
        self.value.len() < SHORT_NUMBER_LENGTH && self.value.iter().all(u8::is_ascii_digit)
    }
}
