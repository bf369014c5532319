//! Page tokens: opaque to callers, a position and a fingerprint of the query to us.

use sha2::{Digest, Sha256};

use crate::{Error, Reason, Result};

/// A page token that continues after `last_id` of the query described by `query`.
pub fn encode(query: &str, last_id: &str) -> String {
    let mut bytes = fingerprint(query).to_vec();
    bytes.extend_from_slice(last_id.as_bytes());
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The id after which a page token of this query continues.
pub fn decode(query: &str, page_token: &str) -> Result<String> {
    let bad = || Error::field(Reason::InvalidPageToken, "page_token", "is not a page token of this query");
    let bytes: Option<Vec<u8>> = page_token
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            std::str::from_utf8(pair).ok().filter(|p| p.len() == 2).and_then(|p| u8::from_str_radix(p, 16).ok())
        })
        .collect();
    let bytes = bytes.ok_or_else(bad)?;
    let id = bytes.strip_prefix(fingerprint(query).as_slice()).ok_or_else(bad)?;
    let id = String::from_utf8(id.to_vec()).ok().filter(|id| crate::text::code(id).is_ok()).ok_or_else(bad)?;
    // There is one token for a page, not a second one in capitals.
    if encode(query, &id) == page_token { Ok(id) } else { Err(bad()) }
}

fn fingerprint(query: &str) -> [u8; 8] {
    let digest = Sha256::digest(query.as_bytes());
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_query() {
        let token = encode("owner 7", "0190");
        assert_eq!(decode("owner 7", &token).expect("own"), "0190");
        let capitals = token.to_uppercase();
        for (query, bad) in [
            ("owner 8", token.as_str()),
            ("owner 7", &capitals),
            ("owner 7", "zz"),
            ("owner 7", ""),
            ("owner 7", "é0"),
            ("owner 7", "abc"),
        ] {
            assert_eq!(decode(query, bad).expect_err("refused").reason(), Reason::InvalidPageToken);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_decoded(text in ".*") {
            let _ = decode("query", &text);
        }
    }
}
