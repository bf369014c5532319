//! Page tokens. They are opaque to callers and hold a position and a fingerprint of the query.

use sha2::{Digest, Sha256};

use crate::{Error, Reason, Result};

/// Length of the fingerprint of a query, in bytes.
const FINGERPRINT_BYTES: usize = 8;

/// Returns the page token that continues after `last_id` in the results of a query.
pub fn encode(query: &str, last_id: &str) -> String {
    let mut bytes = fingerprint(query).to_vec();
    bytes.extend_from_slice(last_id.as_bytes());
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Returns the id after which a page token continues. Does not check the query.
pub fn position(page_token: &str) -> Result<String> {
    let byte = |at: usize| u8::from_str_radix(page_token.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..page_token.len()).step_by(2).map(byte).collect();
    let id = bytes.and_then(|bytes| String::from_utf8(bytes.get(FINGERPRINT_BYTES..)?.to_vec()).ok());
    id.filter(|id| crate::model::text::code(id).is_ok()).ok_or_else(bad)
}

/// Refuses a page token that belongs to another query.
pub fn check(query: &str, page_token: &str) -> Result<()> {
    // Each page has one token: a token in capitals is refused.
    if encode(query, &position(page_token)?) == page_token { Ok(()) } else { Err(bad()) }
}

fn bad() -> Error {
    Error::field(Reason::InvalidPageToken, "page_token", "is not a page token of this query")
}

fn fingerprint(query: &str) -> [u8; FINGERPRINT_BYTES] {
    let digest = Sha256::digest(query.as_bytes());
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_query() {
        let token = encode("owner 7", "0190");
        check("owner 7", &token).expect("its own");
        assert_eq!(position(&token).expect("a position"), "0190");
        let capitals = token.to_uppercase();
        for (query, bad) in [
            ("owner 8", token.as_str()),
            ("owner 7", &capitals),
            ("owner 7", "zz"),
            ("owner 7", ""),
            ("owner 7", "é0"),
            ("owner 7", "abc"),
        ] {
            assert_eq!(check(query, bad).expect_err("refused").reason(), Reason::InvalidPageToken);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_understood(text in ".*") {
            let _ = check("query", &text);
        }
    }
}
