//! One value, and who may know it.

/// Digits that are too few to be unique in files of some megabytes.
const SHORT_NUMBER_LENGTH: usize = 12;

/// Who may know a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only who was told: it is written down nowhere.
    Secret,
    /// The database and the caller that reads it: no log, no trace, no metric, no error.
    Personal,
}

#[derive(Debug, Clone)]
pub(super) struct Canary {
    pub(super) kind: Kind,
    pub(super) what: String,
    pub(super) value: Vec<u8>,
}

impl Canary {
    /// A code of a few digits. Unlike all others, it may be part of something longer by chance.
    pub(super) fn is_short_number(&self) -> bool {
        self.value.len() < SHORT_NUMBER_LENGTH && self.value.iter().all(u8::is_ascii_digit)
    }
}
