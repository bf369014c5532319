//! Normalisation of paths of the original API.
//!
//! The server of the original API took repeated slashes as one and decoded escaped letters. Both are rewritten here, once, and only below
//! the mount of the original API. Nothing that could change the meaning of a path is decoded: an encoded slash, NUL or percent sign stays
//! encoded, so that no spelling becomes another path by being decoded twice, and a segment `.` or `..` is a name like any other. A rewritten
//! path is then compared with the paths of the contract, which contain none of these.

use std::sync::Arc;

use crate::route::LEGACY;

/// The path of the contract, in the extensions of a response to a path that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrittenPath(pub Arc<str>);

/// Returns the normalised form of a path below the mount of the original API. `None` if the path has that form already, or is not below
/// that mount.
pub(crate) fn normalized(path: &str) -> Option<String> {
    let mut normalized = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(next) = rest.chars().next() {
        let (character, length) = match escaped(rest) {
            Some(unescaped) => (unescaped, "%00".len()),
            None => (next, next.len_utf8()),
        };
        rest = &rest[length..];
        if !(character == '/' && normalized.ends_with('/')) {
            normalized.push(character);
        }
    }
    (normalized != path && normalized.starts_with(LEGACY)).then_some(normalized)
}

/// Returns the escaped character at the beginning of a text, if it never needs to be escaped (RFC 3986, section 2.3).
fn escaped(text: &str) -> Option<char> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    let code = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())??;
    let unreserved = code.is_ascii_alphanumeric() || matches!(code, b'-' | b'.' | b'_' | b'~');
    unreserved.then(|| char::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOW: &str = "/crmapi/rest/v2/access_tokens/show";

    #[test]
    fn repeated_slashes_and_escaped_letters_are_rewritten() {
        for path in [
            "//crmapi/rest/v2/access_tokens/show",
            "/crmapi//rest///v2/access_tokens//show",
            "/crmapi/rest/v2/access%5Ftokens/show",
            "/crmapi/rest/v2/access%5ftokens/%73how",
            "/%63%72%6D%61%70%69/rest/v2/access_tokens/show",
            "////%63rmapi/rest/v%32/access_tokens/sho%77",
        ] {
            assert_eq!(normalized(path).as_deref(), Some(SHOW), "{path}");
        }
        assert_eq!(normalized("//crmapi/rest/v2/access_tokens/show//"), Some(format!("{SHOW}/")));
    }

    #[test]
    fn what_changes_the_meaning_of_a_path_is_not_decoded() {
        for path in [
            "/crmapi/rest/v2/access_tokens%2Fshow",
            "/crmapi/rest/v2/access_tokens%2fshow",
            "/crmapi%2Frest/v2/access_tokens/show",
            "/crmapi/rest/v2/access_tokens/show%00",
            "/crmapi/rest/v2/access_tokens/%2573how",
            "/crmapi/rest/v2/access_tokens%255Fshow",
            "/crmapi/rest/v2/access_tokens/show%3Ftoken=x",
            "/crmapi/rest/v2/access_tokens/show%20",
            "/crmapi/rest/v2/access_tokens/show%",
            "/crmapi/rest/v2/access_tokens/show%7",
            "/crmapi/rest/v2/access_tokens/show%+5",
            "/crmapi/rest/v2/access_tokens\\show",
            "/crmapi/rest/v2/access_tokens/\u{ff53}how",
            "/crmapi/rest/v2/access_tokens/show%C3%A4",
        ] {
            assert_ne!(normalized(path).as_deref(), Some(SHOW), "{path}");
            assert!(!normalized(path).unwrap_or_default().contains(['\0', '?', ' ']), "{path}");
        }
        for path in ["/crmapi/rest/v2/x/%2e%2e/access_tokens/show", "/crmapi/rest/v2/%2E/access_tokens/show"] {
            let normalized = normalized(path).expect("dots are letters");
            assert!(normalized != SHOW && normalized.contains("/."), "{normalized}");
        }
    }

    #[test]
    fn other_paths_stay_as_they_are() {
        for path in [SHOW, "", "/", "//", "//v1/access_tokens/show", "/v1/access%5Ftokens/show", "/docs//", "//crmapi"]
        {
            assert_eq!(normalized(path), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn only_letters_are_decoded(path in "(/|%[0-9a-fA-F]{2}|crmapi|rest|v2|[a-z.%]){0,30}") {
            if let Some(normalized) = normalized(&format!("{LEGACY}{path}")) {
                let escapes = |text: &str| ["%2F", "%2f", "%00", "%25"].map(|escape| text.matches(escape).count());
                for (before, after) in escapes(&path).into_iter().zip(escapes(&normalized)) {
                    proptest::prop_assert!(after >= before);
                }
                proptest::prop_assert!(!normalized.contains("//") && !normalized.contains('\0'));
            }
        }
    }
}
