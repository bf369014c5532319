//! What the rules need from the world: time, chance, keys, and stores. Knows the model and the policies.

pub mod code;
pub mod notification;
pub mod observer;
pub mod store;

use std::future::Future;
use std::pin::Pin;

use crate::Result;
use crate::model::named::named;
use crate::model::secret::{CodeHash, PassCodeHash, SealedCode, Secret};
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;

/// A boxed future, for ports that are objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tells the time. The only way to read it: tests and clock-jump checks replace it.
pub trait Clock: Send + Sync + 'static {
    /// Now, to the microsecond.
    fn now(&self) -> Timestamp;
}

/// Gives random bytes from a cryptographic source.
pub trait Random: Send + Sync + 'static {
    /// Fills the buffer, or fails; never gives anything predictable.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;
}

named! {
    /// The purpose of a keyed hash or a sealed code. A code of one purpose is worthless for another. The names enter the key derivation:
    /// stored hashes depend on them, so they never change.
    Purpose {
        /// Verifies a token that is PENDING_VERIFICATION.
        Verification = "verification",
        /// Logs in once.
        OneTimePassword = "one-time-password",
        /// Identifies a service caller.
        ApiKey = "api-key",
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another secret, or there is none.
    Wrong,
    /// It is the secret, or a text of which the scheme of the hash reads only a part that is right.
    Right,
    /// It is the secret, and its hash is not of the form in which one would be made today: hash it anew.
    Outdated,
}

/// What it costs to guess a secret against a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashCost {
    /// As much as is asked for today, or more.
    Enough,
    /// Less. The hash is replaced at the next use of the secret.
    Weak,
}

named! {
    /// The queue in which a slow hash waits. A flood in one queue takes neither worker threads nor room from another. The names are labels of
    /// metrics.
    HashQueue {
        /// Calls of authenticated callers, and imports.
        Authenticated = "authenticated",
        /// Log-ins of users from networks that they have logged in from.
        KnownLogin = "known_login",
        /// All other log-ins.
        AnonymousLogin = "anonymous_login",
    }
}

/// For whom a slow hash is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashWork {
    /// The queue.
    pub queue: HashQueue,
    /// Whom the caller shares its turns and its room in the queue with: its organisation, or its network.
    pub share: u64,
}

impl HashWork {
    /// A hash for a call, or for an import, of an organisation.
    pub fn call(organisation: OrganisationKey) -> Self {
        Self { queue: HashQueue::Authenticated, share: share_of(organisation) }
    }

    /// A hash for a log-in of a user from a known network.
    pub fn known_login(organisation: OrganisationKey) -> Self {
        Self { queue: HashQueue::KnownLogin, share: share_of(organisation) }
    }

    /// A hash for any other log-in. `network` is a keyed hash of the network of the client.
    pub fn anonymous_login(network: u64) -> Self {
        Self { queue: HashQueue::AnonymousLogin, share: network }
    }
}

fn share_of(organisation: OrganisationKey) -> u64 {
    u64::from(organisation.0.cast_unsigned())
}

/// Everything that needs a key. Implementations keep keys outside the database and hash off the async threads.
pub trait Secrets: Send + Sync + 'static {
    /// OVERLOADED when `hash` and `verify` would say so now: asked before work that would be for nothing.
    fn check_queue(&self, _work: HashWork) -> Result<()> {
        Ok(())
    }

    /// Hashes a pass code or password (Argon2id over a keyed hash). OVERLOADED when the queue is full.
    fn hash(&self, work: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>>;

    /// Hashes a pass code that no policy was asked about, and notes its [`Strength`] in the hash.
    ///
    /// [`Strength`]: crate::policy::strength::Strength
    fn hash_unchecked(&self, work: HashWork, pass_code: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        self.hash(work, pass_code)
    }

    /// Does the secret match? Without a stored hash the same work is done and the answer is no.
    fn verify(&self, work: HashWork, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>>;

    /// Is this a hash that `verify` can check: a PHC string with sane parameters?
    fn accepts(&self, stored: &PassCodeHash) -> bool;

    /// Says what it costs to guess against a hash that an import brings, or what is wrong with the hash, for people and without
    /// repeating it. What may be imported can be less than what [`Self::accepts`] takes.
    fn hash_cost(&self, stored: &PassCodeHash) -> std::result::Result<HashCost, String> {
        if self.accepts(stored) { Ok(HashCost::Enough) } else { Err("must be a hash that can be checked".to_owned()) }
    }

    /// A salted, keyed hash of the code, bound to `subject` (a token's id) and purpose. Two hashes of one code differ.
    fn code_hash(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<CodeHash>;

    /// Compares in constant time. Without a stored hash the same work is done and the answer is no.
    fn code_matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: Option<&CodeHash>) -> bool;

    /// Is a stored hash of a code under the key that writes? One that is not should be made anew when its code is presented. With
    /// one key, each is.
    fn code_is_current(&self, _purpose: Purpose, _stored: &CodeHash) -> bool {
        true
    }

    /// Encrypts a code that must be readable again, bound to `subject` and purpose.
    fn seal(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<SealedCode>;

    /// Decrypts it.
    fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret>;
}
