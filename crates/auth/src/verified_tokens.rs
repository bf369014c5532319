//! Cache of session tokens with a verified signature, so that the calls of one session verify and decode the token
//! once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_domain::session::Session;
use access_tokens_secrets::HmacSha256;
use hmac::digest::CtOutput;

/// Maximum number of tokens. With [`MAX_SIGNED_LENGTH`] it bounds the memory to 4 MiB.
const MAX_TOKENS: usize = 2_048;

/// Maximum length of the signed part of a cached token, in bytes. Longer tokens, which have very long names, are
/// verified at every call.
const MAX_SIGNED_LENGTH: usize = 1_024;

/// The signature of a token. Comparisons take the same time for all values.
pub(super) type Signature = CtOutput<HmacSha256>;

/// Sessions by the signed part of their token.
///
/// Only tokens with a right signature are added, so a caller without a session cannot fill the cache. The signed part
/// is not secret. The signature is secret, and compared in constant time. Expiry and release are checked at every call,
/// not here. An instance belongs to one key ring: a new ring starts with an empty cache.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<Sessions>);

type Sessions = HashMap<Box<str>, (Signature, Arc<Session>)>;

impl VerifiedTokens {
    /// Returns the session of a token that was verified before with this signature.
    pub(super) fn get(&self, signed: &str, signature: &Signature) -> Option<Arc<Session>> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (expected, session) = tokens.get(signed)?;
        (expected == signature).then(|| Arc::clone(session))
    }

    /// Adds a token with a right signature. If the cache is full, it is emptied first.
    pub(super) fn put(&self, signed: &str, signature: Signature, session: &Arc<Session>) {
        if signed.len() > MAX_SIGNED_LENGTH {
            return;
        }
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(signed.into(), (signature, Arc::clone(session)));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
