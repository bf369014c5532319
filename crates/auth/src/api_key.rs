//! API keys: `atk_<16 hex digits>_<43 characters>`, which are a public id and 256 random bits.
//!
//! The prefix lets scanners find a key that was committed by mistake. The id and a keyed hash of the secret part are
//! stored: a stolen database contains no key.

use access_tokens_domain::Result;
use access_tokens_domain::ports::{Purpose, Random, Secrets};
use access_tokens_domain::secret::{CodeHash, Secret};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

const PREFIX: &str = "atk_";
const ID: usize = 16;
const SECRET: usize = 43;

/// A new key. This is the only moment at which the whole key is known.
pub struct NewApiKey {
    /// The public part.
    pub id: String,
    /// The whole key, for its owner.
    pub key: Secret,
    /// The hash that is stored.
    pub hash: CodeHash,
}

impl NewApiKey {
    /// Makes a new key.
    pub fn generate(random: &dyn Random, secrets: &dyn Secrets) -> Result<Self> {
        let (mut id, mut secret) = ([0; ID / 2], Zeroizing::new([0; 32]));
        random.fill(&mut id)?;
        random.fill(secret.as_mut_slice())?;
        let id = format!("{:016x}", u64::from_be_bytes(id));
        let secret = Secret::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        let key = Secret::new(format!("{PREFIX}{id}_{}", secret.expose()));
        let hash = secrets.code_hash(Purpose::ApiKey, &id, &secret)?;
        Ok(Self { id, key, hash })
    }
}

/// Returns the public part of an API key. None for a text that cannot be a key.
pub fn public_part(key: &Secret) -> Option<String> {
    PresentedKey::parse(key.expose()).map(|key| key.id)
}

/// A key that a caller presents, parsed.
pub(super) struct PresentedKey {
    pub(super) id: String,
    secret: Secret,
}

impl PresentedKey {
    /// Parses a key. None for a text that cannot be a key.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        // Split by position, because the secret may contain an underscore.
        let (id, secret) = rest.split_at_checked(ID)?;
        let secret = secret.strip_prefix('_').filter(|secret| secret.len() == SECRET)?;
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let base64 = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let good = id.chars().all(hex) && secret.chars().all(base64);
        good.then(|| Self { id: id.to_owned(), secret: Secret::new(secret) })
    }

    /// Returns its hash under the current key of the key ring.
    pub(super) fn hash(&self, secrets: &dyn Secrets) -> Result<CodeHash> {
        secrets.code_hash(Purpose::ApiKey, &self.id, &self.secret)
    }

    /// Returns whether it matches a stored hash. Without a hash the same work is done, and the result is false.
    pub(super) fn matches(&self, secrets: &dyn Secrets, stored: Option<&CodeHash>) -> bool {
        secrets.code_matches(Purpose::ApiKey, &self.id, &self.secret, stored)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use access_tokens_host::SystemRandom;
    use access_tokens_secrets::KeyedSecrets;
    use access_tokens_testkit::keys::{RING_A, ring};

    #[test]
    fn keys_have_the_documented_form_and_fit_their_own_hash() {
        let secrets = KeyedSecrets::new(&ring(&[RING_A]), Arc::new(SystemRandom));
        let made = [(); 2].map(|()| NewApiKey::generate(&SystemRandom, &secrets).expect("random bytes"));
        for key in &made {
            assert_eq!(key.key.expose().len(), 4 + 16 + 1 + 43);
            let presented = PresentedKey::parse(key.key.expose()).expect("the documented form");
            assert_eq!(presented.id, key.id);
            for other in &made {
                assert_eq!(presented.matches(&secrets, Some(&other.hash)), other.id == key.id);
            }
            assert!(!presented.matches(&secrets, None));
            let stored = key.hash.as_stored();
            assert!(!stored.contains(&key.key.expose()[21..]), "the secret is not stored");
        }
        assert_ne!(made[0].id, made[1].id);
    }

    #[test]
    fn other_texts_are_no_keys() {
        let good = format!("atk_{}_{}", "0".repeat(16), "A".repeat(43));
        assert!(PresentedKey::parse(&good).is_some());
        for bad in [
            String::new(),
            "atk_".to_owned(),
            good.replace("atk_", "atk-"),
            good.replace('0', "G"),
            good.replace("0_A", "0-A"),
            format!("{good}A"),
            good[..63].to_owned(),
            good.replace("AA", "é"),
            format!("atk_{}é", "0".repeat(15)),
        ] {
            assert!(PresentedKey::parse(&bad).is_none(), "{bad}");
        }
    }
}
