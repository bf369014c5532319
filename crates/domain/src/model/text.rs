//! Limits of texts in characters (Unicode scalar values), and the form in which texts are stored that identify or prove
//! something (decision 42).

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::Reason;

/// Maximum length of codes, identifiers, pass codes and numbers.
pub const MAX_CODE_LENGTH: usize = 256;
/// Maximum length of names and other directory texts.
pub const MAX_NAME_LENGTH: usize = 1_000;
/// Maximum length of user defined strings and descriptions.
pub const MAX_LONG_TEXT_LENGTH: usize = 4_000;

/// Result of the check of one field.
pub type Check = Result<(), (Reason, String)>;

/// Checks that a text has at most `limit` characters. NUL is refused, since PostgreSQL cannot store it.
pub fn bounded(text: &str, limit: usize) -> Check {
    if text.chars().count() > limit {
        return Err((Reason::FieldTooLong, format!("is longer than {limit} characters")));
    }
    if text.contains('\0') {
        return Err((Reason::InvalidFieldValue, "contains a NUL character".to_owned()));
    }
    Ok(())
}

/// Returns the text in Unicode's Normalization Form C, in which it is stored and looked up. Texts that look the same
/// because their accents are composed or decomposed have one such form. A text that has the form already, as all of
/// ASCII has, is borrowed.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// Checks a code, identifier, user name or secret that is about to be stored: as [`code`], and without invisible and
/// directional characters, and without blanks at its ends. The limit counts characters of [`nfc`].
///
/// A text that is only looked up or compared may have such characters: it may have been stored before this rule.
pub fn written(text: &str) -> Check {
    code(&nfc(text))?;
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err((Reason::InvalidFieldValue, "begins or ends with a blank".to_owned()));
    }
    if text.chars().any(is_invisible) {
        return Err((Reason::InvalidFieldValue, "contains an invisible or directional character".to_owned()));
    }
    Ok(())
}

/// Returns whether a character has no glyph of its own: formats and directions (Cf), separators of lines and
/// paragraphs, and what Unicode calls default ignorable, such as fillers and variation selectors.
fn is_invisible(character: char) -> bool {
    let has_category = matches!(
        character.general_category(),
        GeneralCategory::Format | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
    );
    !character.is_ascii()
        && (has_category
            || matches!(
                character,
                '\u{34F}'
                    | '\u{115F}'..='\u{1160}'
                    | '\u{17B4}'..='\u{17B5}'
                    | '\u{180B}'..='\u{180F}'
                    | '\u{2065}'
                    | '\u{3164}'
                    | '\u{FE00}'..='\u{FE0F}'
                    | '\u{FFA0}'
                    | '\u{FFF0}'..='\u{FFF8}'
                    | '\u{E0000}'..='\u{E0FFF}'
            ))
}

/// Checks a code or identifier: not empty, at most [`MAX_CODE_LENGTH`] characters, no control characters.
pub fn code(text: &str) -> Check {
    if text.is_empty() {
        return Err((Reason::InvalidFieldValue, "must not be empty".to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err((Reason::InvalidFieldValue, "contains a control character".to_owned()));
    }
    bounded(text, MAX_CODE_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(bounded(&"é".repeat(MAX_CODE_LENGTH), MAX_CODE_LENGTH).is_ok());
        assert_eq!(
            bounded(&"é".repeat(MAX_CODE_LENGTH + 1), MAX_CODE_LENGTH).expect_err("too long").0,
            Reason::FieldTooLong
        );
    }

    #[test]
    fn codes_are_visible() {
        for bad in ["", "a\nb", "a\0", "\u{7f}"] {
            assert_eq!(code(bad).expect_err("refused").0, Reason::InvalidFieldValue, "{bad:?}");
        }
        assert!(code("CARD 7 é").is_ok());
    }

    #[test]
    fn written_texts_have_no_invisible_characters_and_no_outer_blanks() {
        let invisible = "\u{ad}\u{34f}\u{61c}\u{115f}\u{17b4}\u{180b}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2064}\u{2066}\u{2069}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{e0041}\u{e0101}";
        for character in invisible.chars() {
            for bad in [format!("{character}anna"), format!("an{character}na"), format!("anna{character}")] {
                assert_eq!(written(&bad).expect_err("refused").0, Reason::InvalidFieldValue, "{bad:?}");
                assert!(code(&bad).is_ok(), "it may have been written before");
            }
        }
        for blank in [' ', '\u{a0}', '\u{1680}', '\u{2003}', '\u{202f}', '\u{3000}'] {
            for bad in [format!("{blank}anna"), format!("anna{blank}"), blank.to_string()] {
                assert_eq!(written(&bad).expect_err("refused").0, Reason::InvalidFieldValue, "{bad:?}");
            }
            assert_eq!(written(&format!("an{blank}na")), Ok(()), "a blank between words is visible");
        }
        for good in [
            "CARD 7 \u{e9}",
            "e\u{301}",
            "\u{3a0}\u{3b1}\u{3c0}\u{3b1}\u{3b4}\u{3cc}\u{3c0}\u{3bf}\u{3c5}\u{3bb}\u{3bf}\u{3c2}",
            "\u{5d0}\u{5d1}",
            "\u{639}\u{645}\u{631}",
            "\u{1F600}",
            "#\u{a4}%&",
        ] {
            assert_eq!(written(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn composed_and_decomposed_texts_have_one_form() {
        for (composed, decomposed) in [
            ("\u{e9}", "e\u{301}"),
            ("\u{3ac}", "\u{3b1}\u{301}"),
            ("\u{1e69}", "s\u{307}\u{323}"),
            ("\u{c5}", "\u{212b}"),
            ("\u{ac01}", "\u{1100}\u{1161}\u{11a8}"),
            ("K", "\u{212a}"),
        ] {
            assert_eq!(nfc(decomposed), composed);
            assert!(matches!(nfc(composed), Cow::Borrowed(_)));
        }
        // The limit applies to the normalised text, which is stored.
        assert_eq!(written(&"e\u{301}".repeat(MAX_CODE_LENGTH)), Ok(()));
        assert_eq!(written(&"e\u{301}".repeat(MAX_CODE_LENGTH + 1)).expect_err("too long").0, Reason::FieldTooLong);
    }
}
