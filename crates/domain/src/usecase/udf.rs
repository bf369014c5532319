//! The limits of user defined fields, for new tokens and for changes.

use crate::Reason;
use crate::model::error::Violations;
use crate::model::text;

/// Checks the values that are given. A value that is absent or null has no limits.
pub(super) fn check<'a>(
    strings: impl IntoIterator<Item = Option<&'a str>>,
    floats: impl IntoIterator<Item = Option<f64>>,
) -> Violations {
    let mut violations = Violations::default();
    for (i, text) in strings.into_iter().enumerate() {
        if let Some(text) = text {
            violations.check(&format!("udf_string_{}", i + 1), text::bounded(text, text::MAX_LONG_TEXT_LENGTH));
        }
    }
    for (i, number) in floats.into_iter().enumerate() {
        if number.is_some_and(|n| !n.is_finite()) {
            violations.add(Reason::InvalidFieldValue, format!("udf_float_{}", i + 1), "must be a finite number");
        }
    }
    violations
}
