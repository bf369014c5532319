//! One field at fault of a JSON message.

use crate::v1::ErrorReason;

/// One field at fault. No text repeats a value, which may be a secret.
///
/// The domain has a type of this name with its own reasons: neither of the two crates knows the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Dotted path of the field. Empty for the whole message.
    pub field: String,
    /// Description for people.
    pub description: String,
    /// Reason that the error would have if only this field were at fault.
    pub reason: ErrorReason,
}

impl FieldViolation {
    /// Returns a violation with a reason.
    pub fn new(reason: ErrorReason, field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into(), reason }
    }

    /// Returns the violation of a value that cannot be read.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(ErrorReason::InvalidFieldValue, field, description)
    }
}
