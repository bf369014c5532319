//! Logging in, staying in, leaving.

mod identify;
mod open_session;
mod upkeep;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use access_tokens_domain::Error;
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

/// How long a session lives, used or not.
pub const LIFETIME: TimeDelta = TimeDelta::hours(2);

/// Opens, recognises and ends sessions.
pub struct Authenticator<S> {
    store: Arc<S>,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    logins: Logins<S>,
    tokens: SessionTokens,
    released: RevocationList,
    /// Rows of open sessions that are to be deleted.
    released_rows: Mutex<Vec<(OrganisationKey, String)>>,
    login_rate: LoginRate,
    former_servers: FormerServers,
    users: CallerCache<Arc<KnownUser>>,
    api_keys: CallerCache<Arc<KnownKey>>,
    key_uses: KeyUses,
    certificates: CallerCache<Caller>,
    bindings: Bindings,
}

/// What sessions of a user, or of one of its keys, are checked against.
struct KnownUser {
    organisation: OrganisationKey,
    permissions: Permissions,
    not_before: Option<Timestamp>,
    /// Those of the key that opened the session.
    terms: KeyTerms,
}

/// A key as it is stored, the caller that it stands for, and where its uses are noted.
struct KnownKey {
    key: ApiKey,
    caller: Caller,
    uses: Arc<KeyUse>,
    /// Was its hash made anew since it was looked up?
    rehashed: AtomicBool,
}

impl KnownKey {
    /// Is this the first call since the look-up that would make its hash anew?
    fn begin_rehash(&self) -> bool {
        !self.rehashed.swap(true, Ordering::Relaxed)
    }
}

impl<S: Store + AccountStore> Authenticator<S> {
    /// Puts sessions on their ports.
    pub fn new(
        store: Arc<S>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        secrets: Arc<dyn Secrets>,
        tokens: SessionTokens,
    ) -> Self {
        let (users, certificates) = (CallerCache::new(), CallerCache::new());
        let (api_keys, key_uses) = (CallerCache::remembering_unknown(), KeyUses::default());
        let released = RevocationList::default();
        let (released_rows, login_rate) = (Mutex::default(), LoginRate::new(LoginLimits::default()));
        let bindings = Bindings::default();
        let (rows, hashing, chance) = (Arc::clone(&store), Arc::clone(&secrets), Arc::clone(&random));
        let logins = Logins::new(rows, hashing, chance, Arc::clone(&clock), Arc::new(NoObserver));
        Self {
            store,
            secrets,
            clock,
            random,
            logins,
            tokens,
            released,
            released_rows,
            login_rate,
            former_servers: FormerServers::default(),
            users,
            api_keys,
            key_uses,
            certificates,
            bindings,
        }
    }

    /// Counts log-ins for an observer.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.logins.observed_by(observer);
        self
    }

    /// Limits how often each user and each API key may open a session.
    #[must_use]
    pub fn limiting_logins(mut self, limits: LoginLimits) -> Self {
        self.login_rate = LoginRate::new(limits);
        self
    }
}

/// The unit of a caller that names none, as long as it exists.
fn default_unit(reference: &Reference, credential: &Credential) -> Option<String> {
    credential.default_unit.clone().filter(|unit| reference.units.contains_key(unit))
}

/// For the log: what happened inside, down to the root.
fn cause(error: &Error) -> String {
    let mut text = error.message().to_owned();
    let mut next = error.cause().map(|cause| cause as &dyn std::error::Error);
    while let Some(one) = next {
        text = format!("{text}: {one}");
        next = one.source();
    }
    text
}
