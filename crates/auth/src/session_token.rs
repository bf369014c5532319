//! Session tokens: JWTs under HMAC-SHA256, with one form of header and no other.
//!
//! A token's header is compared with the headers that this service writes, byte for byte, never interpreted. So there is
//! nothing in it to negotiate: no other algorithm, no `none`, no key that the token brings along. The header that is
//! equal says which of our keys signed.

use std::borrow::Cow;
use std::sync::Arc;

use access_tokens_domain::secret::Secret;
use access_tokens_domain::session::Session;
use access_tokens_domain::time::Timestamp;
use access_tokens_domain::{Error, Result};
use access_tokens_secrets::{Derived, HmacSha256, KeyProvider, KeyRing, PerKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use hmac::Mac;
use hmac::digest::CtOutput;
use serde::{Deserialize, Serialize};

use super::verified_tokens::VerifiedTokens;

/// Maximum length of a token that is decoded, in bytes. Tokens of this service have about 500, and at most 7,000 with the longest
/// names.
const MAX_LENGTH: usize = 8 * 1_024;

/// Maximum length of one name in a token, in bytes of JSON. Longer names are cut: nothing is decided by them.
const MAX_NAME_LENGTH: usize = 1_024;

/// Length of a signature, in bytes.
const SIGNATURE_BYTES: usize = 32;

/// Signs sessions and reads them back. Whether a session has expired or was released is not decided here.
pub struct SessionTokens {
    keys: Derived<Keys>,
}

/// What depends on the key ring.
struct Keys {
    signers: PerKey<Signer>,
    verified: VerifiedTokens,
}

struct Signer {
    /// The encoded header.
    header: String,
    key: HmacSha256,
}

/// The names that a token states for its reader. No server decides anything by them: a user or an organisation that is renamed, or
/// that takes the former name of another one, gains nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// User name.
    pub user: String,
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the unit. `None`: the session has no unit.
    pub unit: Option<String>,
}

/// What the claims `usr`, `org` and `oun` of a token hold.
#[derive(Debug, Clone, Copy)]
pub enum ClaimForm<'a> {
    /// Names, as the original API documents them. The ids are in `uid`, `oid` and `nid`.
    Names(&'a ClaimNames),
    /// Ids. Servers of version 0.2.0 and before write and read them there.
    Ids,
}

/// The claims by their names, as they are written.
#[derive(Serialize)]
struct Claims<'a> {
    jti: &'a str,
    usr: &'a str,
    org: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    oun: Option<&'a str>,
    exp: i64,
    iat: i64,
    /// The id of the API key that opened the session. Servers of version 0.1.0 do not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nid: Option<&'a str>,
}

/// The same as they are read. The names are not copied.
#[derive(Deserialize)]
struct ReadClaims<'a> {
    jti: String,
    #[serde(borrow)]
    usr: Cow<'a, str>,
    #[serde(borrow)]
    org: Cow<'a, str>,
    #[serde(default)]
    oun: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    oid: Option<String>,
    #[serde(default)]
    nid: Option<String>,
}

impl SessionTokens {
    /// On one ring, for as long as it lives.
    pub fn new(ring: &KeyRing) -> Self {
        Self::live(Arc::new(KeyProvider::new(ring.clone())))
    }

    /// On a ring that may be exchanged: the first key signs, and what any of its keys signed is read.
    pub fn live(keys: Arc<KeyProvider>) -> Self {
        let derive = |ring: &KeyRing| Keys { signers: signers(ring), verified: VerifiedTokens::default() };
        Self { keys: Derived::new(keys, derive) }
    }

    /// Returns the signed token of a session. Fractions of a second are lost: the claims are whole seconds.
    pub fn sign(&self, session: &Session, form: ClaimForm<'_>) -> Result<Secret> {
        let ids = [Some(session.user.as_str()), Some(session.organisation.as_str()), session.unit.as_deref()];
        let (documented, own) = match form {
            ClaimForm::Ids => (ids, [None; 3]),
            ClaimForm::Names(names) => {
                let unit = names.unit.as_deref().filter(|_| session.unit.is_some());
                ([Some(cut(&names.user)), Some(cut(&names.organisation)), unit.map(cut)], ids)
            }
        };
        let ([usr, org, oun], [uid, oid, nid]) = (documented, own);
        let claims = Claims {
            jti: &session.id,
            usr: usr.unwrap_or_default(),
            org: org.unwrap_or_default(),
            oun,
            exp: session.expires_at.timestamp(),
            iat: session.issued_at.timestamp(),
            key: session.api_key.as_deref(),
            uid,
            oid,
            nid,
        };
        let claims = serde_json::to_vec(&claims).map_err(Error::internal)?;
        let keys = self.keys.get();
        let Signer { header, key } = keys.signers.current().1;
        let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = key.clone().chain_update(&token).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }

    /// Returns the session of a token. `None`: none of our keys signed it.
    pub fn read(&self, token: &str) -> Option<Arc<Session>> {
        let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= MAX_LENGTH)?;
        let mut presented = [0; SIGNATURE_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut presented).ok()?;
        let presented = CtOutput::new(presented.into());
        if length != SIGNATURE_BYTES {
            return None;
        }
        let keys = self.keys.get();
        if let Some(session) = keys.verified.get(signed, &presented) {
            return Some(session);
        }
        let (header, claims) = signed.split_once('.')?;
        let signer = keys.signers.values().find(|signer| signer.header == header)?;
        let signature = signer.key.clone().chain_update(signed).finalize();
        if signature != presented {
            return None;
        }
        let session = Arc::new(session(claims)?);
        keys.verified.put(signed, signature, &session);
        Some(session)
    }
}

/// Returns the session that the encoded claims of a token describe.
fn session(claims: &str) -> Option<Session> {
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: ReadClaims<'_> = serde_json::from_slice(&claims).ok()?;
    // A token has all of its ids in claims of their own, or none.
    let (user, organisation, unit) = match (claims.uid, claims.oid) {
        (Some(user), Some(organisation)) => (user, organisation, claims.nid),
        (None, None) if claims.nid.is_none() => (claims.usr.into_owned(), claims.org.into_owned(), claims.oun),
        _ => return None,
    };
    Some(Session {
        id: claims.jti,
        organisation,
        user,
        unit,
        issued_at: time(claims.iat)?,
        expires_at: time(claims.exp)?,
        api_key: claims.key,
    })
}

impl std::fmt::Debug for SessionTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionTokens([REDACTED])")
    }
}

fn signers(ring: &KeyRing) -> PerKey<Signer> {
    ring.derive_hmac("session-token").map(|id, key| {
        // Key ids need no escaping: letters, digits, dashes and underscores.
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}","typ":"JWT"}}"#));
        Signer { header, key }
    })
}

/// Returns as much of a name as fits into [`MAX_NAME_LENGTH`] bytes of JSON.
fn cut(name: &str) -> &str {
    let mut length = 0;
    let overlong = name.char_indices().find(|(_, character)| {
        length += match character {
            '"' | '\\' => 2,
            // `\u0000`.
            '\0'..='\u{1f}' => 6,
            other => other.len_utf8(),
        };
        length > MAX_NAME_LENGTH
    });
    overlong.map_or(name, |(end, _)| &name[..end])
}

fn time(seconds: i64) -> Option<Timestamp> {
    DateTime::from_timestamp(seconds, 0)
}

#[cfg(test)]
mod tests {
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

    /// What servers of version 0.2.0 read of a token.
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
    fn headers_of_others_are_refused_even_when_the_signature_is_right() {
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
        // Signed with a key of the ring, but not with the one for sessions.
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
}
