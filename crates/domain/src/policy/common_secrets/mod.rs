//! Passwords and pass codes that many people choose. An attacker tries them first.

use std::collections::HashSet;
use std::sync::LazyLock;

/// More than 10,000 secrets in lower case, one per line. `NOTICE.md` beside the file names the sources.
const LIST: &str = include_str!("list.txt");

static SECRETS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| LIST.lines().collect());

/// Returns whether a secret is in the list, in upper or lower case, or only repeats a character or an entry of the
/// list, such as `000000000000` or `passwordpassword`.
pub fn is_common(secret: &str) -> bool {
    let secret = secret.trim().to_lowercase();
    if SECRETS.contains(secret.as_str()) {
        return true;
    }
    let Some(unit) = repeated_unit(&secret) else { return false };
    unit.chars().count() == 1 || SECRETS.contains(unit)
}

/// Returns the shortest text of which `text` is two or more copies.
fn repeated_unit(text: &str) -> Option<&str> {
    let ends = text.char_indices().map(|(at, _)| at).skip(1).take_while(|at| at * 2 <= text.len());
    let mut units = ends.filter(|at| text.len().is_multiple_of(*at)).map(|at| &text[..at]);
    units.find(|unit| text.as_bytes().chunks(unit.len()).all(|chunk| chunk == unit.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_without_duplicates_and_in_lower_case() {
        let lines: Vec<_> = LIST.lines().collect();
        assert!(lines.len() > 10_000, "{}", lines.len());
        assert!(lines.is_sorted_by(|a, b| a < b));
        for line in lines {
            assert!(!line.is_empty() && line == line.trim().to_lowercase(), "{line:?}");
        }
    }

    #[test]
    fn common_secrets_are_recognised_in_any_case() {
        for common in [
            "1234",
            "0000",
            "12345",
            "123456",
            "password",
            "PassWord",
            "qwerty",
            " letmein ",
            "1Q2W3E4R5T6Y",
            "пароль",
            "ПАРОЛЬ",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn repetitions_are_common() {
        for common in ["000000000000", "zz", "éééééééééééé", "passwordpassword", "123412341234", "QwertyQWERTY"]
        {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn other_secrets_are_not_common() {
        for rare in
            ["", "0371", "demo-demo-demo", "correct horse battery staple", "xkqvxkqv", "1234x1234", "éàéàéàéàéàé"]
        {
            assert!(!is_common(rare), "{rare}");
        }
    }
}
