//! A field of a request that is at fault.

use crate::v1::ErrorReason;

/// A field of a request that is at fault. The domain has its own type of this name, because it does not know the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The dotted path of the field; empty for the whole request.
    pub field: String,
    /// What is wrong, for people. It never repeats a value: that may be a secret.
    pub description: String,
    /// The reason of the error that the violation becomes.
    pub reason: ErrorReason,
}

impl FieldViolation {
    /// Returns a violation of a field.
    pub fn new(reason: ErrorReason, field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into(), reason }
    }

    /// Returns the violation of a field whose value cannot be read: INVALID_FIELD_VALUE.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(ErrorReason::InvalidFieldValue, field, description)
    }
}
