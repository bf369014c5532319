//! Session tokens: JWTs under HMAC-SHA256, with exactly one form of header.
//!
//! The header of a token is compared byte by byte with the headers that this service writes, and never interpreted. So
//! nothing can be negotiated: no other algorithm, no `none`, no key in the token. The header that is equal determines
//! which key of the ring signed.

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

/// Maximum length of a token that is decoded, in bytes. Tokens of this service have about 500 bytes, and at most 7,000
/// with the longest names.
const MAX_LENGTH: usize = 8 * 1_024;

/// Maximum length of one name in a token, in bytes of JSON. Longer names are cut: no decision depends on them.
const MAX_NAME_LENGTH: usize = 1_024;

/// Length of a signature, in bytes.
const SIGNATURE_BYTES: usize = 32;

/// Signs session tokens and reads them. Expiry and release are checked elsewhere.
pub struct SessionTokens {
    keys: Derived<Keys>,
}

/// Values that are derived from the key ring.
struct Keys {
    signers: PerKey<Signer>,
    verified: VerifiedTokens,
}

struct Signer {
    /// The encoded header.
    header: String,
    key: HmacSha256,
}

/// Names in a token, for programs that read it. No server bases a decision on them: a user or an organisation that is
/// renamed, or that takes the former name of another one, gains no rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// User name.
    pub user: String,
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the unit. None: the session has no unit.
    pub unit: Option<String>,
}

/// Content of the claims `usr`, `org` and `oun`.
#[derive(Debug, Clone, Copy)]
pub enum ClaimForm<'a> {
    /// Names, as the original API documents them. The ids are in `uid`, `oid` and `nid`.
    Names(&'a ClaimNames),
    /// Ids. Servers of version 0.2.0 and before write and read them there.
    Ids,
}

/// The claims of a token. Names are not copied when a token is read.
#[derive(Serialize, Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    jti: Cow<'a, str>,
    #[serde(borrow)]
    usr: Cow<'a, str>,
    #[serde(borrow)]
    org: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oun: Option<Cow<'a, str>>,
    exp: i64,
    iat: i64,
    /// The id of the API key that opened the session. Servers of version 0.1.0 do not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oid: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nid: Option<Cow<'a, str>>,
}

impl SessionTokens {
    /// Uses one ring, which never changes.
    pub fn new(ring: &KeyRing) -> Self {
        Self::live(Arc::new(KeyProvider::new(ring.clone())))
    }

    /// Uses a ring that may be replaced. The first key signs; tokens of all keys are read.
    pub fn live(keys: Arc<KeyProvider>) -> Self {
        let derive = |ring: &KeyRing| Keys { signers: signers(ring), verified: VerifiedTokens::default() };
        Self { keys: Derived::new(keys, derive) }
    }

    /// Returns the signed token of a session. The claims are whole seconds: fractions are lost.
    pub fn sign(&self, session: &Session, form: ClaimForm<'_>) -> Result<Secret> {
        let ids = [Some(session.user.as_str()), Some(session.organisation.as_str()), session.unit.as_deref()];
        let (documented, own) = match form {
            ClaimForm::Ids => (ids, [None; 3]),
            ClaimForm::Names(names) => {
                let unit = names.unit.as_deref().filter(|_| session.unit.is_some());
                ([Some(cut(&names.user)), Some(cut(&names.organisation)), unit.map(cut)], ids)
            }
        };
        let [[usr, org, oun], [uid, oid, nid]] = [documented, own].map(|claims| claims.map(|id| id.map(Cow::Borrowed)));
        let claims = Claims {
            jti: session.id.as_str().into(),
            usr: usr.unwrap_or_default(),
            org: org.unwrap_or_default(),
            oun,
            exp: session.expires_at.timestamp(),
            iat: session.issued_at.timestamp(),
            key: session.api_key.as_deref().map(Cow::Borrowed),
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

    /// Returns the session of a token. None: no key of the ring signed it.
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
    let claims: Claims<'_> = serde_json::from_slice(&claims).ok()?;
    // A token has either all of its ids in their own claims, or none.
    let (user, organisation, unit) = match (claims.uid, claims.oid) {
        (Some(user), Some(organisation)) => (user, organisation, claims.nid),
        (None, None) if claims.nid.is_none() => (claims.usr, claims.org, claims.oun),
        _ => return None,
    };
    Some(Session {
        id: claims.jti.into_owned(),
        organisation: organisation.into_owned(),
        user: user.into_owned(),
        unit: unit.map(Cow::into_owned),
        issued_at: time(claims.iat)?,
        expires_at: time(claims.exp)?,
        api_key: claims.key.map(Cow::into_owned),
    })
}

fn signers(ring: &KeyRing) -> PerKey<Signer> {
    ring.derive_hmac("session-token").map(|id, key| {
        // Key ids need no escaping: letters, digits, dashes and underscores.
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}","typ":"JWT"}}"#));
        Signer { header, key }
    })
}

/// Returns the longest prefix of a name that fits into [`MAX_NAME_LENGTH`] bytes of JSON.
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
mod tests;
