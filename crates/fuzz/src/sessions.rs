use std::sync::LazyLock;

use access_tokens_auth::{ClaimForm, ClaimNames, SessionTokens};
use access_tokens_domain::session::Session;
use access_tokens_secrets::KeyRing;
use chrono::DateTime;

/// A key for tests.
const RING: &str = "a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Session tokens. Asserts that every signed session is read exactly as it was signed, and that nothing else is read.
pub fn sessions(data: &[u8]) {
    static TOKENS: LazyLock<SessionTokens> =
        LazyLock::new(|| SessionTokens::new(&KeyRing::parse(RING).expect("a good ring")));
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(session) = TOKENS.read(text) {
        let again = TOKENS.sign(&session, ClaimForm::Ids).expect("signed");
        assert_eq!(TOKENS.read(again.expose()), Some(session), "another session of the same token");
    }
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (id, organisation, user, unit) = (part(), part(), part(), part());
    let seconds = part().parse().unwrap_or(0);
    let Some(time) = DateTime::from_timestamp(seconds, 0) else { return };
    let unit = Some(unit).filter(|unit| !unit.is_empty());
    let session = Session { id, organisation, user, unit, issued_at: time, expires_at: time, api_key: None };
    // The text serves as the names as well.
    let names = ClaimNames { user: text.to_owned(), organisation: text.to_owned(), unit: session.unit.clone() };
    let form = if seconds % 2 == 0 { ClaimForm::Ids } else { ClaimForm::Names(&names) };
    let token = TOKENS.sign(&session, form).expect("signed");
    // Longer tokens are refused before they are decoded.
    if token.expose().len() <= 8 * 1_024 {
        assert_eq!(TOKENS.read(token.expose()).as_deref(), Some(&session));
    }
    if token.expose() != text {
        let (claims, _) = token.expose().rsplit_once('.').expect("signed");
        assert!(TOKENS.read(&format!("{claims}.{text}")).is_none(), "a signature of another's");
    }
}
