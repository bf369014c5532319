//! Rules for passwords that are set here. Imported passwords come from another system and may be shorter.

use crate::Reason;
use crate::model::text::{self, Check};
use crate::policy::common_secrets;

/// Minimum number of characters.
pub const MIN_LENGTH: usize = 12;
/// Maximum number of characters.
pub const MAX_LENGTH: usize = text::MAX_CODE_LENGTH;

/// Checks a new password of a user: 12 to 256 visible characters (see [`text::written`]), not the user name, and not among
/// the passwords that many people use. There are no rules about kinds of characters.
///
/// The text of an error does not contain the password.
pub fn check(password: &str, username: &str) -> Check {
    let (password, username) = (&*text::nfc(password), &*text::nfc(username));
    text::written(password)?;
    let wrong = |what: &str| Err((Reason::InvalidFieldValue, what.to_owned()));
    if password.chars().count() < MIN_LENGTH {
        return Err((Reason::InvalidFieldValue, format!("must have at least {MIN_LENGTH} characters")));
    }
    if password.to_lowercase() == username.trim().to_lowercase() {
        return wrong("must not be the user name");
    }
    if common_secrets::is_common(password) {
        return wrong("is among the passwords that many people use");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_rare_passwords_are_accepted() {
        for good in [
            "demo-demo-demo",
            "correct horse",
            "\u{3b1}\u{3b2}\u{3b3}\u{3b4}\u{3b5}\u{3b6}\u{3b7}\u{3b8}\u{3b9}\u{3ba}\u{3bb}\u{3bc}",
            &"ab1".repeat(85),
        ] {
            assert_eq!(check(good, "anna"), Ok(()), "{good}");
        }
    }

    #[test]
    fn others_are_refused_without_their_text() {
        let (long, accents) = ("x7".repeat(129), "\u{e9}".repeat(11));
        for (bad, expected) in [
            ("", "must not be empty"),
            ("x", "must have at least 12 characters"),
            ("elevenchars", "must have at least 12 characters"),
            // Characters count, not bytes.
            (accents.as_str(), "must have at least 12 characters"),
            (long.as_str(), "is longer than 256 characters"),
            ("long enough\tbut odd", "contains a control character"),
            ("Anna.Papadopoulou", "must not be the user name"),
            (" anna.papadopoulou ", "begins or ends with a blank"),
            ("1Q2W3E4R5T6Y", "is among the passwords that many people use"),
            ("passwordpassword", "is among the passwords that many people use"),
            ("aaaaaaaaaaaaaaaa", "is among the passwords that many people use"),
        ] {
            let (_, what) = check(bad, "anna.papadopoulou").expect_err(bad);
            assert_eq!(what, expected, "{bad}");
        }
    }
}
