//! Ports: traits of what the rules need from outside, such as time, random bytes, keys and stores. Imports the model
//! and the policies.

pub mod code;
pub mod notification;
pub mod observer;
pub mod store;

use std::future::Future;
use std::pin::Pin;

use crate::Result;
use crate::model::access_token::VerificationCode;
use crate::model::named::named;
use crate::model::secret::{CodeHash, PassCodeHash, SealedCode, Secret};
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;

/// A boxed future, for ports that are objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Returns the time. The rules read it through this trait only, so that tests can replace it.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time, to the microsecond.
    fn now(&self) -> Timestamp;
}

/// Returns random bytes from a cryptographic source.
pub trait Random: Send + Sync + 'static {
    /// Fills the buffer, or fails. Never returns predictable bytes.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;
}

named! {
    /// The purpose of a keyed hash or a sealed code. A code of one purpose is worthless for another. The names enter the key derivation:
    /// stored hashes depend on them, so they never change.
    Purpose {
        /// A code that verifies a token in the state PENDING_VERIFICATION.
        Verification = "verification",
        /// A code that logs in once.
        OneTimePassword = "one-time-password",
        /// The secret part of an API key.
        ApiKey = "api-key",
    }
}

/// The result of a comparison of a secret with a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The secret is another one, or there is no hash.
    Wrong,
    /// The secret is right. The scheme of some hashes reads only a part of a text; then that part is right.
    Right,
    /// The secret is right, and its hash has an older form than a new hash would have. The caller should hash it again.
    Outdated,
}

/// The cost of a guess against a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashCost {
    /// The cost of a hash of today, or more.
    Sufficient,
    /// Less than the cost of a hash of today. The hash is replaced at the next use of the secret.
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

/// The work of one slow hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashWork {
    /// Queue in which the hash waits.
    pub queue: HashQueue,
    /// Key of the share of the queue: the organisation or the network of the caller. Shares take turns, and each has
    /// its own room.
    pub share: u64,
}

impl HashWork {
    /// Returns the work of a call, or of an import, of an organisation.
    pub fn call(organisation: OrganisationKey) -> Self {
        Self { queue: HashQueue::Authenticated, share: share_of(organisation) }
    }

    /// Returns the work of a log-in of a user from a known network.
    pub fn known_login(organisation: OrganisationKey) -> Self {
        Self { queue: HashQueue::KnownLogin, share: share_of(organisation) }
    }

    /// Returns the work of any other log-in. `network` is a keyed hash of the network of the client.
    pub fn anonymous_login(network: u64) -> Self {
        Self { queue: HashQueue::AnonymousLogin, share: network }
    }
}

fn share_of(organisation: OrganisationKey) -> u64 {
    u64::from(organisation.0.cast_unsigned())
}

impl VerificationCode {
    /// Hashes and encrypts a verification code of the access token with this id.
    pub fn protect(secrets: &dyn Secrets, token: &str, code: &Secret) -> Result<Self> {
        Ok(Self {
            hash: secrets.code_hash(Purpose::Verification, token, code)?,
            sealed: secrets.seal(Purpose::Verification, token, code)?,
        })
    }
}

/// Operations that need a key. Implementations keep keys outside of the database, and hash outside of the threads that
/// run futures.
pub trait Secrets: Send + Sync + 'static {
    /// Returns OVERLOADED if `hash` and `verify` would return it now. Called before other work of a call, so that the work is not done for
    /// a call that is then refused.
    fn check_queue(&self, _work: HashWork) -> Result<()> {
        Ok(())
    }

    /// Hashes a pass code or password (Argon2id over a keyed hash). Returns OVERLOADED when the queue is full.
    fn hash(&self, work: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>>;

    /// Hashes a pass code that no policy has checked, and notes its [`Strength`] in the hash.
    ///
    /// [`Strength`]: crate::policy::strength::Strength
    fn hash_unchecked(&self, work: HashWork, pass_code: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        self.hash(work, pass_code)
    }

    /// Compares a secret with a stored hash. Without a stored hash it does the same work and returns
    /// [`Verdict::Wrong`].
    fn verify(&self, work: HashWork, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>>;

    /// Returns whether `verify` can check this hash: it is a PHC string with parameters within their limits.
    fn accepts(&self, stored: &PassCodeHash) -> bool;

    /// Returns the cost of a guess against a hash that an import brings. The error says for people what is wrong with
    /// the hash, without repeating it. It can refuse hashes that [`Self::accepts`] accepts.
    fn hash_cost(&self, stored: &PassCodeHash) -> std::result::Result<HashCost, String> {
        if self.accepts(stored) {
            Ok(HashCost::Sufficient)
        } else {
            Err("must be a hash that can be checked".to_owned())
        }
    }

    /// Returns a salted, keyed hash of a code, bound to `subject` (the id of a token) and purpose. Two hashes of one
    /// code differ.
    fn code_hash(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<CodeHash>;

    /// Compares a code with a stored hash in constant time. Without a stored hash it does the same work and returns
    /// false.
    fn code_matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: Option<&CodeHash>) -> bool;

    /// Returns whether a stored hash of a code is under the key for new hashes. Another hash should be replaced when
    /// its code is presented. With one key, this is always true.
    fn code_is_current(&self, _purpose: Purpose, _stored: &CodeHash) -> bool {
        true
    }

    /// Encrypts a code that must be readable later, bound to `subject` and purpose.
    fn seal(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<SealedCode>;

    /// Decrypts a sealed code.
    fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret>;
}
