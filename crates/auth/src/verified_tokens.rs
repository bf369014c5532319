//! Session tokens whose signature was verified, so that the calls of one session compute and decode it once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_domain::session::Session;
use access_tokens_secrets::HmacSha256;
use hmac::digest::CtOutput;

/// Maximum number of tokens that are kept. With [`MAX_SIGNED_LENGTH`] it bounds the memory to 4 MiB.
const MAX_TOKENS: usize = 2_048;

/// Maximum length of the signed part of a token that is kept, in bytes. Longer ones, with very long names, are verified at every call.
const MAX_SIGNED_LENGTH: usize = 1_024;

/// The signature of a token. Comparisons take the same time for all values.
pub(super) type Signature = CtOutput<HmacSha256>;

/// Sessions by the signed part of their token.
///
/// Only tokens with a right signature get in, so a caller without a session cannot fill it. The signed part holds nothing secret; the
/// signature, which is secret, is compared in constant time. Expiry and release are decided at every call, not here. An
/// instance belongs to one key ring: another ring begins with an empty one.
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

    /// Keeps a token whose signature is right. When there is no room, all others give way.
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
