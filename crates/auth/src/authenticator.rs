//! Sessions: opening them, identifying their callers, and ending them.

pub(crate) mod describe;
mod identify;
mod open_session;
mod upkeep;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use access_tokens_domain::observer::{NoObserver, Observer};
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::reference::Reference;
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions};
use access_tokens_domain::store::{AccountStore, ApiKey, Credential, KeyTerms, Store};
use access_tokens_domain::time::Timestamp;
use chrono::TimeDelta;

use super::caller_cache::CallerCache;
use super::certificate_bindings::Bindings;
use super::former_servers::FormerServers;
use super::key_uses::{KeyUse, KeyUses};
use super::login::Logins;
use super::login_rate::{LoginLimits, LoginRate};
use super::revocation_list::RevocationList;
use super::session_token::SessionTokens;

/// Lifetime of a session, whether it is used or not.
pub const SESSION_LIFETIME: TimeDelta = TimeDelta::hours(2);

/// Opens sessions, identifies callers and ends sessions.
pub struct Authenticator<S> {
    store: Arc<S>,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    logins: Logins<S>,
    tokens: SessionTokens,
    released: RevocationList,
    /// Rows of released sessions that wait to be deleted.
    released_rows: Mutex<Vec<(OrganisationKey, String)>>,
    login_rate: LoginRate,
    former_servers: FormerServers,
    users: CallerCache<Arc<KnownUser>>,
    api_keys: CallerCache<Arc<KnownKey>>,
    key_uses: KeyUses,
    certificates: CallerCache<Caller>,
    bindings: Bindings,
}

/// The account against which sessions of a user, or of one of its keys, are checked.
struct KnownUser {
    organisation: OrganisationKey,
    permissions: Permissions,
    not_before: Option<Timestamp>,
    /// Terms of the key that opened the session.
    terms: KeyTerms,
}

/// A stored API key, its caller, and the record of its uses.
struct KnownKey {
    key: ApiKey,
    caller: Caller,
    uses: Arc<KeyUse>,
    /// Whether the hash was already replaced since the key was looked up.
    rehashed: AtomicBool,
}

impl KnownKey {
    /// Returns true for the first call since the look-up, which replaces the hash.
    fn begin_rehash(&self) -> bool {
        !self.rehashed.swap(true, Ordering::Relaxed)
    }
}

impl<S: Store + AccountStore> Authenticator<S> {
    /// Makes an authenticator.
    pub fn new(
        store: Arc<S>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        secrets: Arc<dyn Secrets>,
        tokens: SessionTokens,
    ) -> Self {
        let rows = Arc::clone(&store);
        let (hashing, bytes, time) = (Arc::clone(&secrets), Arc::clone(&random), Arc::clone(&clock));
        Self {
            logins: Logins::new(rows, hashing, bytes, time, Arc::new(NoObserver)),
            store,
            secrets,
            clock,
            random,
            tokens,
            released: RevocationList::default(),
            released_rows: Mutex::default(),
            login_rate: LoginRate::new(LoginLimits::default()),
            former_servers: FormerServers::default(),
            users: CallerCache::new(),
            api_keys: CallerCache::remembering_unknown(),
            key_uses: KeyUses::default(),
            certificates: CallerCache::new(),
            bindings: Bindings::default(),
        }
    }

    /// Sets the observer that counts log-ins.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.logins.set_observer(observer);
        self
    }

    /// Sets the rate at which each user and each API key may open sessions.
    #[must_use]
    pub fn limiting_logins(mut self, limits: LoginLimits) -> Self {
        self.login_rate = LoginRate::new(limits);
        self
    }
}

/// Returns the unit of a caller that names none, if the unit exists.
fn default_unit(reference: &Reference, credential: &Credential) -> Option<String> {
    credential.default_unit.clone().filter(|unit| reference.units.contains_key(unit))
}
