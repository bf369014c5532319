//! Implements the port for secrets of the domain with a key ring.

use std::sync::Arc;

use access_tokens_domain::Result;
use access_tokens_domain::ports::{BoxFuture, HashCost, HashQueue, HashWork, Purpose, Random, Secrets, Verdict};
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode, Secret};
use access_tokens_domain::strength::Strength;
use tokio::sync::{Mutex, Semaphore};

use super::codes::{CodeHashes, CodeSeals};
use super::hasher::{Hasher, HashingLoad, overloaded};
use super::key_rotation::{Derived, KeyProvider};
use super::keys::KeyRing;
use super::pass_code::{LARGE_MEMORY, PassCodes, SALT_BYTES};

/// Maximum number of callers that compare with a hash of much memory, or wait for it.
const MAX_WAITING_FOR_LARGE: usize = 16;

/// Hashes, compares, seals and opens with the current keys. Work that has started finishes with the keys it started
/// with.
pub struct KeyedSecrets {
    keys: Derived<Keys>,
    hasher: Hasher,
    random: Arc<dyn Random>,
    /// Maximum memory of a hash that is imported, in KiB.
    max_foreign_memory: u64,
    /// Only one comparison with much memory runs at a time. The permits count those that run or wait.
    large: Semaphore,
    large_turn: Mutex<()>,
}

/// Values that are derived from one ring.
struct Keys {
    pass_codes: PassCodes,
    hashes: CodeHashes,
    seals: CodeSeals,
}

impl KeyedSecrets {
    /// Uses one ring, which never changes.
    pub fn new(ring: &KeyRing, random: Arc<dyn Random>) -> Self {
        Self::live(Arc::new(KeyProvider::new(ring.clone())), random)
    }

    /// Uses a ring that may be replaced.
    pub fn live(keys: Arc<KeyProvider>, random: Arc<dyn Random>) -> Self {
        let derive = |ring: &KeyRing| Keys {
            pass_codes: PassCodes::new(ring),
            hashes: CodeHashes::new(ring),
            seals: CodeSeals::new(ring),
        };
        Self {
            keys: Derived::new(keys, derive),
            hasher: Hasher::new(),
            random,
            max_foreign_memory: LARGE_MEMORY,
            large: Semaphore::new(MAX_WAITING_FOR_LARGE),
            large_turn: Mutex::const_new(()),
        }
    }

    /// Sets the maximum memory of imported hashes in KiB. The default is 64 MiB. The limit does not apply to stored
    /// hashes, which are compared up to 256 MiB.
    #[must_use]
    pub fn with_max_foreign_memory(mut self, kib: u64) -> Self {
        self.max_foreign_memory = kib;
        self
    }

    async fn hash_noting(&self, work: HashWork, secret: Secret, strength: Option<Strength>) -> Result<PassCodeHash> {
        let mut salt = [0; SALT_BYTES];
        self.random.fill(&mut salt)?;
        let keys = self.keys.get();
        self.hasher.run(work, move |memory| keys.pass_codes.hash(&secret, strength, salt, memory)).await?
    }

    /// Returns the load of the queues of hashes.
    pub fn hashing(&self) -> [(HashQueue, HashingLoad); 3] {
        self.hasher.load()
    }
}

/// Logs each comparison with a stored hash before it is made, so that tests can count comparisons. It uses the lowest
/// level, because it reveals more about a call than its answer does.
fn trace_comparison(kind: &'static str, stored: bool) {
    if stored {
        tracing::trace!(target: "access_tokens::comparison", kind);
    }
}

impl std::fmt::Debug for KeyedSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedSecrets([REDACTED])")
    }
}

impl Secrets for KeyedSecrets {
    fn check_queue(&self, work: HashWork) -> Result<()> {
        self.hasher.check_queue(work)
    }

    fn hash(&self, work: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        Box::pin(self.hash_noting(work, secret, None))
    }

    fn hash_unchecked(&self, work: HashWork, pass_code: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        let strength = Strength::of(&pass_code);
        Box::pin(self.hash_noting(work, pass_code, strength))
    }

    fn verify(&self, work: HashWork, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>> {
        Box::pin(async move {
            let keys = self.keys.get();
            let is_large = stored.as_ref().is_some_and(|stored| keys.pass_codes.is_large(stored));
            // Waits before it takes a permit, which is meant for hashes of 15 ms.
            let _large = match is_large {
                true => Some((self.large.try_acquire().map_err(|_| overloaded())?, self.large_turn.lock().await)),
                false => None,
            };
            let compare = move |memory: &mut _| {
                trace_comparison("pass-code", stored.is_some());
                keys.pass_codes.verify(&secret, stored.as_ref(), memory)
            };
            self.hasher.run(work, compare).await?
        })
    }

    fn accepts(&self, stored: &PassCodeHash) -> bool {
        self.keys.get().pass_codes.accepts(stored)
    }

    fn hash_cost(&self, stored: &PassCodeHash) -> std::result::Result<HashCost, String> {
        self.keys.get().pass_codes.assess(stored, self.max_foreign_memory).map_err(|refusal| refusal.to_string())
    }

    fn code_hash(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<CodeHash> {
        self.keys.get().hashes.hash(self.random.as_ref(), purpose, subject, code)
    }

    fn code_matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: Option<&CodeHash>) -> bool {
        trace_comparison(purpose.name(), stored.is_some());
        self.keys.get().hashes.matches(purpose, subject, code, stored)
    }

    fn code_is_current(&self, purpose: Purpose, stored: &CodeHash) -> bool {
        self.keys.get().hashes.is_current(purpose, stored)
    }

    fn seal(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<SealedCode> {
        self.keys.get().seals.seal(self.random.as_ref(), purpose, subject, code)
    }

    fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret> {
        self.keys.get().seals.open(purpose, subject, sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::{RING_A, ring};
    use access_tokens_host::SystemRandom;

    const WORK: HashWork = HashWork { queue: HashQueue::Authenticated, share: 0 };

    #[tokio::test]
    async fn hashes_have_their_own_salt_and_verify() {
        let secrets = KeyedSecrets::new(&ring(&[RING_A]), Arc::new(SystemRandom));
        let first = secrets.hash(WORK, Secret::new("1234")).await.expect("hashed");
        let second = secrets.hash(WORK, Secret::new("1234")).await.expect("hashed");
        assert_ne!(first, second);
        assert!(secrets.accepts(&first));
        for (code, stored, expected) in [
            ("1234", Some(first), Verdict::Right),
            ("1235", Some(second), Verdict::Wrong),
            ("1234", None, Verdict::Wrong),
        ] {
            assert_eq!(secrets.verify(WORK, Secret::new(code), stored).await.expect("compared"), expected);
        }
        assert_eq!(format!("{secrets:?}"), "KeyedSecrets([REDACTED])");
    }
}
