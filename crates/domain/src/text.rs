//! Limits of texts, in characters (Unicode scalar values).

use crate::Reason;

/// Codes, identifiers, pass codes and numbers.
pub const CODE: usize = 256;
/// Names and other directory texts.
pub const NAME: usize = 1_000;
/// User defined strings and descriptions.
pub const LONG: usize = 4_000;

/// What a check of one field finds wrong.
pub type Check = Result<(), (Reason, String)>;

/// A text of at most `limit` characters. NUL is refused: PostgreSQL cannot store it.
pub fn bounded(text: &str, limit: usize) -> Check {
    if text.chars().count() > limit {
        return Err((Reason::FieldTooLong, format!("is longer than {limit} characters")));
    }
    if text.contains('\0') {
        return Err((Reason::InvalidFieldValue, "contains a NUL character".to_owned()));
    }
    Ok(())
}

/// A code or identifier: bounded, not empty, without control characters.
pub fn code(text: &str) -> Check {
    if text.is_empty() {
        return Err((Reason::InvalidFieldValue, "must not be empty".to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err((Reason::InvalidFieldValue, "contains a control character".to_owned()));
    }
    bounded(text, CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(bounded(&"é".repeat(CODE), CODE).is_ok());
        assert_eq!(bounded(&"é".repeat(CODE + 1), CODE).expect_err("too long").0, Reason::FieldTooLong);
    }

    #[test]
    fn codes_are_visible() {
        for bad in ["", "a\nb", "a\0", "\u{7f}"] {
            assert_eq!(code(bad).expect_err("refused").0, Reason::InvalidFieldValue, "{bad:?}");
        }
        assert!(code("CARD 7 é").is_ok());
    }
}
