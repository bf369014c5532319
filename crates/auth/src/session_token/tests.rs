//! Session tokens: their form, and what is refused.

use serde_json::{Value, json};

use super::*;
use access_tokens_testkit::keys::{RING_A, RING_B, ring};

fn session() -> Session {
    Session {
        id: "J".to_owned(),
        organisation: "ORG".to_owned(),
        user: "U".to_owned(),
        unit: Some("1".to_owned()),
        issued_at: time(1_700_000_000).expect("a time"),
        expires_at: time(1_700_007_200).expect("a time"),
        api_key: None,
    }
}

fn names() -> ClaimNames {
    ClaimNames { user: "anna".to_owned(), organisation: "DEMO".to_owned(), unit: Some("Shop".to_owned()) }
}

fn part(token: &Secret, index: usize) -> Value {
    let encoded = token.expose().split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).expect("base64url")).expect("JSON")
}

#[test]
fn the_form_is_a_jwt_with_the_documented_claims() {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    let token = tokens.sign(&session(), ClaimForm::Names(&names())).expect("signed");
    assert_eq!(part(&token, 0), json!({"alg": "HS256", "kid": "a", "typ": "JWT"}));
    let claims = json!({
        "jti": "J", "usr": "anna", "org": "DEMO", "oun": "Shop", "iat": 1_700_000_000, "exp": 1_700_007_200,
        "uid": "U", "oid": "ORG", "nid": "1",
    });
    assert_eq!(part(&token, 1), claims);
    assert_eq!(token.expose().split('.').count(), 3);
    let without = Session { unit: None, ..session() };
    let token = tokens.sign(&without, ClaimForm::Names(&names())).expect("signed");
    assert!(part(&token, 1).get("oun").is_none() && part(&token, 1).get("nid").is_none());
}

#[test]
fn sessions_round_trip() {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    for session in
        [session(), Session { unit: None, ..session() }, Session { api_key: Some("0a".to_owned()), ..session() }]
    {
        for form in [ClaimForm::Ids, ClaimForm::Names(&names())] {
            let token = tokens.sign(&session, form).expect("signed");
            assert_eq!(tokens.read(token.expose()).as_deref(), Some(&session));
        }
    }
}

/// The claims that servers of version 0.2.0 read.
#[derive(Deserialize)]
struct FormerClaims {
    jti: String,
    usr: String,
    org: String,
    #[serde(default)]
    oun: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    key: Option<String>,
}

#[test]
fn servers_of_the_last_release_read_a_token_with_ids() {
    let session = Session { api_key: Some("0a".to_owned()), ..session() };
    let token = SessionTokens::new(&ring(&[RING_A])).sign(&session, ClaimForm::Ids).expect("signed");
    let former: FormerClaims = serde_json::from_value(part(&token, 1)).expect("read");
    let read = Session {
        id: former.jti,
        organisation: former.org,
        user: former.usr,
        unit: former.oun,
        issued_at: time(former.iat).expect("a time"),
        expires_at: time(former.exp).expect("a time"),
        api_key: former.key,
    };
    assert_eq!(read, session);
}

#[test]
fn long_names_are_cut_and_the_token_is_read() {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    for character in ["a", "\"", "\u{1}", "\u{1F600}", "\u{e9}", "\\", "\u{7f}"] {
        let long = character.repeat(4_000);
        let names = ClaimNames { user: long.clone(), organisation: long.clone(), unit: Some(long) };
        let session = Session {
            id: "F".repeat(32),
            organisation: "F".repeat(256),
            user: "F".repeat(256),
            unit: Some("F".repeat(256)),
            api_key: Some("F".repeat(32)),
            ..session()
        };
        let token = tokens.sign(&session, ClaimForm::Names(&names)).expect("signed");
        assert!(token.expose().len() <= 7_000, "{character:?}: {}", token.expose().len());
        assert_eq!(tokens.read(token.expose()).as_deref(), Some(&session));
        let length = part(&token, 1)["usr"].to_string().len() - 2;
        assert!((MAX_NAME_LENGTH - 6..=MAX_NAME_LENGTH).contains(&length), "{character:?}: {length}");
    }
}

#[test]
fn a_token_with_some_of_its_ids_is_not_read() {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    let token = tokens.sign(&session(), ClaimForm::Names(&names())).expect("signed");
    for missing in ["uid", "oid", "uid oid"] {
        let mut claims = part(&token, 1);
        let members = claims.as_object_mut().expect("an object");
        missing.split(' ').for_each(|claim| drop(members.remove(claim)));
        let header = token.expose().split('.').next().expect("a header");
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let keys = tokens.keys.get();
        let key = &keys.signers.current().1.key;
        let signature = URL_SAFE_NO_PAD.encode(key.clone().chain_update(&signed).finalize().into_bytes());
        assert!(tokens.read(&format!("{signed}.{signature}")).is_none(), "{missing}");
    }
}

#[test]
fn keys_rotate() {
    let old = SessionTokens::new(&ring(&[RING_A])).sign(&session(), ClaimForm::Ids).expect("signed");
    let both = SessionTokens::new(&ring(&[RING_B, RING_A]));
    assert!(both.read(old.expose()).is_some());
    assert_eq!(part(&both.sign(&session(), ClaimForm::Ids).expect("signed"), 0)["kid"], "b");
    assert!(SessionTokens::new(&ring(&[RING_B])).read(old.expose()).is_none());
    let same_id = SessionTokens::new(&ring(&[&RING_B.replace("b ", "a ")]));
    assert!(same_id.read(old.expose()).is_none());
}

#[test]
fn a_session_outlives_an_exchange_of_the_ring() {
    let keys = Arc::new(KeyProvider::new(ring(&[RING_A])));
    let tokens = SessionTokens::live(Arc::clone(&keys));
    let old = tokens.sign(&session(), ClaimForm::Ids).expect("signed");
    keys.replace(ring(&[RING_B, RING_A]));
    assert_eq!(tokens.read(old.expose()).as_deref(), Some(&session()));
    assert_eq!(part(&tokens.sign(&session(), ClaimForm::Ids).expect("signed"), 0)["kid"], "b");
    keys.replace(ring(&[RING_B]));
    assert!(tokens.read(old.expose()).is_none(), "its key is gone");
}

#[test]
fn another_signature_is_refused_after_the_right_one() {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    let token = tokens.sign(&session(), ClaimForm::Ids).expect("signed");
    assert!(tokens.read(token.expose()).is_some());
    let (signed, signature) = token.expose().rsplit_once('.').expect("a signature");
    for index in 0..signature.len() {
        let mut other = signature.as_bytes().to_vec();
        other[index] = if other[index] == b'A' { b'E' } else { b'A' };
        let other = String::from_utf8(other).expect("ASCII");
        assert!(tokens.read(&format!("{signed}.{other}")).is_none(), "position {index}");
    }
    let others = [signature.len() - 1, signature.len() - 2].map(|length| signature[..length].to_owned());
    for other in others.into_iter().chain([String::new(), format!("{signature}A"), format!("{signature}=")]) {
        assert!(tokens.read(&format!("{signed}.{other}")).is_none(), "{other}");
    }
    assert!(tokens.read(token.expose()).is_some());
    assert_eq!(tokens.keys.get().verified.len(), 1, "only what was verified is kept");
}

#[test]
fn verified_tokens_are_bounded_and_end_with_the_ring() {
    let keys = Arc::new(KeyProvider::new(ring(&[RING_A])));
    let tokens = SessionTokens::live(Arc::clone(&keys));
    for id in 0..5_000 {
        let session = Session { id: id.to_string(), ..session() };
        let token = tokens.sign(&session, ClaimForm::Ids).expect("signed");
        assert_eq!(tokens.read(token.expose()).as_deref(), Some(&session));
        assert!((1..=2_048).contains(&tokens.keys.get().verified.len()));
    }
    let long = ClaimNames { user: "a".repeat(1_000), ..names() };
    let before = tokens.keys.get().verified.len();
    let token = tokens.sign(&session(), ClaimForm::Names(&long)).expect("signed");
    assert!(tokens.read(token.expose()).is_some());
    assert_eq!(tokens.keys.get().verified.len(), before, "a long token is not kept");
    keys.replace(ring(&[RING_B, RING_A]));
    assert_eq!(tokens.keys.get().verified.len(), 0);
}

#[test]
fn other_headers_are_refused_even_with_a_right_signature() {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    let token = tokens.sign(&session(), ClaimForm::Ids).expect("signed");
    let claims = token.expose().split('.').nth(1).expect("claims");
    let headers = [
        r#"{"alg":"none","kid":"a","typ":"JWT"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"HS512","kid":"a","typ":"JWT"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":"a"}"#,
        r#"{"alg":"HS256","kid":"a","typ":"JWT","jwk":{"kty":"oct","k":"AA"}}"#,
        r#"{"alg":"HS256","kid":"b","typ":"JWT"}"#,
        "",
    ];
    for header in headers {
        let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
        let keys = tokens.keys.get();
        let key = &keys.signers.current().1.key;
        let signature = URL_SAFE_NO_PAD.encode(key.clone().chain_update(&signed).finalize().into_bytes());
        for token in [format!("{signed}.{signature}"), format!("{signed}."), signed.clone()] {
            assert!(tokens.read(&token).is_none(), "{header}");
        }
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let tokens = SessionTokens::new(&ring(&[RING_A]));
    let token = tokens.sign(&session(), ClaimForm::Ids).expect("signed");
    let token = token.expose();
    for i in 0..token.len() {
        let mut bytes = token.as_bytes().to_vec();
        bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert!(tokens.read(&changed).is_none(), "{i}");
        assert!(tokens.read(&token[..i]).is_none(), "{i}");
    }
    assert!(tokens.read(&format!("{token}A")).is_none());
    assert!(tokens.read(&format!("{token}.{token}")).is_none());
}

#[test]
fn tokens_of_other_purposes_do_not_pass() {
    // Signed with a key of the ring that is not the key for sessions.
    let ring = ring(&[RING_A]);
    let token = SessionTokens::new(&ring).sign(&session(), ClaimForm::Ids).expect("signed");
    let (signed, _) = token.expose().rsplit_once('.').expect("signed");
    let other = ring.derive_hmac("code-hash/api-key");
    let signature = other.current().1.clone().chain_update(signed).finalize().into_bytes();
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert!(SessionTokens::new(&ring).read(&forged).is_none());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".*", parts in r"[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,50}") {
        let tokens = SessionTokens::new(&ring(&[RING_A]));
        proptest::prop_assert!(tokens.read(&text).is_none());
        proptest::prop_assert!(tokens.read(&parts).is_none());
    }
}
