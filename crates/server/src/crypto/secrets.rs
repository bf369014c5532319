//! The domain's port for secrets, on a key ring.

use std::sync::Arc;

use access_tokens_domain::Result;
use access_tokens_domain::ports::{BoxFuture, Purpose, Random, Secrets};
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode, Secret};

use super::codes::{CodeHashes, CodeSeals};
use super::hasher::Hasher;
use super::keys::KeyRing;
use super::pass_code::{PassCodes, SALT_BYTES};

/// Hashes, compares, seals and opens with the keys of one ring.
pub struct KeyedSecrets {
    pass_codes: Arc<PassCodes>,
    hasher: Hasher,
    hashes: CodeHashes,
    seals: CodeSeals,
    random: Arc<dyn Random>,
}

impl KeyedSecrets {
    /// Derives what it needs; the ring can go.
    pub fn new(ring: &KeyRing, random: Arc<dyn Random>) -> Self {
        Self {
            pass_codes: Arc::new(PassCodes::new(ring)),
            hasher: Hasher::new(),
            hashes: CodeHashes::new(ring),
            seals: CodeSeals::new(ring),
            random,
        }
    }
}

impl std::fmt::Debug for KeyedSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedSecrets([REDACTED])")
    }
}

impl Secrets for KeyedSecrets {
    fn hash(&self, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        Box::pin(async move {
            let mut salt = [0; SALT_BYTES];
            self.random.fill(&mut salt)?;
            let pass_codes = Arc::clone(&self.pass_codes);
            self.hasher.run(move |memory| pass_codes.hash(&secret, salt, memory)).await?
        })
    }

    fn verify(&self, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move {
            let pass_codes = Arc::clone(&self.pass_codes);
            self.hasher.run(move |memory| pass_codes.verify(&secret, stored.as_ref(), memory)).await?
        })
    }

    fn accepts(&self, stored: &PassCodeHash) -> bool {
        self.pass_codes.accepts(stored)
    }

    fn code_hash(&self, purpose: Purpose, subject: &str, code: &Secret) -> CodeHash {
        self.hashes.hash(purpose, subject, code)
    }

    fn code_matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: &CodeHash) -> bool {
        self.hashes.matches(purpose, subject, code, stored)
    }

    fn seal(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<SealedCode> {
        self.seals.seal(self.random.as_ref(), purpose, subject, code)
    }

    fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret> {
        self.seals.open(purpose, subject, sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRandom;
    use crate::crypto::keys::tests::{RING_A, ring};

    #[tokio::test]
    async fn hashes_have_their_own_salt_and_verify() {
        let secrets = KeyedSecrets::new(&ring(&[RING_A]), Arc::new(SystemRandom));
        let first = secrets.hash(Secret::new("1234")).await.expect("hashed");
        let second = secrets.hash(Secret::new("1234")).await.expect("hashed");
        assert_ne!(first, second);
        assert!(secrets.accepts(&first));
        assert!(secrets.verify(Secret::new("1234"), Some(first)).await.expect("compared"));
        assert!(!secrets.verify(Secret::new("1235"), Some(second)).await.expect("compared"));
        assert!(!secrets.verify(Secret::new("1234"), None).await.expect("compared"));
        assert_eq!(format!("{secrets:?}"), "KeyedSecrets([REDACTED])");
    }
}
