use access_tokens_domain::{Reason, page, text};

const QUERY: &str = "7/accounts_receivable/A1/None";

/// Page tokens. Asserts that an accepted token is one that was issued, and that no other text has the same meaning.
pub fn pages(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    match page::check(QUERY, token).and_then(|()| page::position(token)) {
        Ok(id) => {
            assert_eq!(page::encode(QUERY, &id), token, "another text for the same page");
            assert!(page::check("8/accounts_receivable/A1/None", token).is_err(), "a token of another query");
        }
        Err(error) => {
            assert_eq!(error.reason(), Reason::InvalidPageToken);
            assert_eq!(error.message(), "page_token: is not a page token of this query");
        }
    }
    // The same bytes as an id: every id that can be stored has a token.
    if text::code(token).is_ok() {
        let given = page::encode(QUERY, token);
        assert!(page::check(QUERY, &given).is_ok());
        assert_eq!(page::position(&given).ok().as_deref(), Some(token));
    }
}
