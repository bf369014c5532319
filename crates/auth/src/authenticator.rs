//! Logging in, staying in, leaving.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_domain::error::Violations;
use access_tokens_domain::login::Network;
use access_tokens_domain::observer::{NoObserver, Observer};
use access_tokens_domain::ports::{Clock, HashWork, Purpose, Random, Secrets, Verdict};
use access_tokens_domain::reference::Reference;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, Secret};
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions, Session};
use access_tokens_domain::store::{
    AccountStore, ApiKey, Credential, KeyTerms, NewSession, SessionProof, Store, UserAccount,
};
use access_tokens_domain::time::Timestamp;
use access_tokens_domain::{Error, Reason, Result, code, text};
use chrono::{SubsecRound, TimeDelta};
use tokio::time::timeout;

use super::api_key::PresentedKey;
use super::caller_cache::CallerCache;
use super::certificate_bindings::{Bindings, BoundUser};
use super::former_servers::FormerServers;
use super::key_uses::{KeyUse, KeyUses};
use super::login::{Attempt, Login, Logins};
use super::login_rate::{LoginLimits, LoginRate};
use super::revocation_list::RevocationList;
use super::session_token::{ClaimForm, ClaimNames, SessionTokens};

/// How long a session lives, used or not.
pub const LIFETIME: TimeDelta = TimeDelta::hours(2);
/// How often other replicas' releases are read. Below the age at which a call would have to wait for them.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);
/// How often sessions that have expired are deleted, in refreshes: every minute.
const EXPIRY_INTERVAL_REFRESHES: u64 = 120;

/// Time between two sweeps of log-in attempts and known networks.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How long a refresh may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows of released sessions that wait to be deleted: a bound on memory.
const MAX_RELEASED_ROWS: usize = 10_000;
/// Expired rows that are deleted by one statement.
const MAX_EXPIRED_ROWS_PER_STATEMENT: u32 = 1_000;
/// Statements of that kind in one tick.
const MAX_EXPIRY_STATEMENTS: usize = 5;

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

/// The caller of a session that is to be opened.
struct SessionRequest<'a> {
    organisation: OrganisationKey,
    /// The public id of the organisation.
    public: &'a str,
    user: &'a str,
    unit: Option<&'a str>,
    names: ClaimNames,
    /// Of the client, where it is known.
    address: Option<String>,
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

    /// Opens a session for a user and answers its token.
    ///
    /// INVALID_LOGIN does not say whether the user name, the password or the organisation is wrong, or whether the user is
    /// locked, and each case takes the same work. Only a caller with the right password learns that a unit does not exist.
    pub async fn login(&self, login: Login<'_>) -> Result<Secret> {
        let Login { username, password, organisation, unit, address } = login;
        let mut violations = Violations::default();
        for (field, value, limit) in [
            ("username", username, text::NAME),
            ("password", password.expose(), text::CODE),
            ("organisation", organisation, text::NAME),
        ] {
            if value.is_empty() {
                violations.add(Reason::RequiredFieldMissing, field, "is required");
            }
            violations.check(field, text::bounded(value, limit));
        }
        violations.check("unit", text::bounded(unit.unwrap_or_default(), text::NAME));
        violations.into_result()?;

        let organisation = self.store.organisation_by_name(organisation).await?;
        let key = organisation.as_ref().map_or(OrganisationKey::NONE, |organisation| organisation.key);
        let network = Network::of(address);
        let attempt = Attempt { organisation: key, username, password: password.clone(), network };
        let account = self.logins.check(attempt).await?;
        let (Some(organisation), Some(account)) = (organisation, account) else { return Err(invalid_login()) };
        let credential = account.credential;
        let reference = self.store.reference(organisation.key).await?;
        let unit = match unit.filter(|unit| !unit.is_empty()) {
            Some(unit) => Some(named_unit(&reference, unit)?),
            None => default_unit(&reference, &credential),
        };
        let request = SessionRequest {
            organisation: organisation.key,
            public: &organisation.id,
            user: &credential.user,
            unit: unit.as_deref(),
            names: names(&reference, &credential.user, unit.as_deref()),
            address: address.map(|address| address.to_string()),
        };
        self.open_for_user(&request, password, credential.password.clone()).await
    }

    /// Opens a session for an API key and answers its token.
    pub async fn login_with_api_key(&self, key: &Secret, address: Option<IpAddr>) -> Result<Secret> {
        let known = self.known_key(key).await?.ok_or_else(invalid_login)?;
        self.login_rate.take(&format!("{}\n{}", known.key.organisation.0, known.key.id))?;
        let reference = self.store.reference(known.key.organisation).await?;
        let request = SessionRequest {
            organisation: known.key.organisation,
            public: &reference.organisation.id,
            user: &known.key.user,
            unit: known.caller.unit.as_deref(),
            names: names(&reference, &known.key.user, known.caller.unit.as_deref()),
            address: address.map(|address| address.to_string()),
        };
        let token = self.open(&request, SessionProof::ApiKey(&known.key.id)).await?;
        token.ok_or_else(invalid_login)
    }

    /// Opens a session for a user whose password was right.
    async fn open_for_user(
        &self,
        request: &SessionRequest<'_>,
        password: Secret,
        hash: Option<PassCodeHash>,
    ) -> Result<Secret> {
        // No API key has a name of this form.
        self.login_rate.take(&format!("{}\n{}\n", request.organisation.0, request.user))?;
        let hash = hash.ok_or_else(invalid_login)?;
        if let Some(token) = self.open(request, SessionProof::Password(&hash)).await? {
            return Ok(token);
        }
        // The stored hash is another one by now: of the same password, or of a new one.
        let account = self.store.account(request.organisation, request.user).await?.ok_or_else(invalid_login)?;
        let hash = account.credential.password.ok_or_else(invalid_login)?;
        let work = HashWork::known_login(request.organisation);
        if self.secrets.verify(work, password, Some(hash.clone())).await? == Verdict::Wrong {
            return Err(invalid_login());
        }
        self.open(request, SessionProof::Password(&hash)).await?.ok_or_else(invalid_login)
    }

    /// Stores a session and signs its token. `None`: the proof does not count any more.
    async fn open(&self, request: &SessionRequest<'_>, proof: SessionProof<'_>) -> Result<Option<Secret>> {
        let id = code::hex_id(self.random.as_ref())?;
        let session = NewSession {
            id: &id,
            organisation: request.organisation,
            user: request.user,
            unit: request.unit,
            proof,
            issued: self.clock.now().trunc_subsecs(0),
            lifetime: LIFETIME,
            address: request.address.as_deref(),
        };
        let Some((issued_at, expires_at)) = self.store.open_session(&session).await? else { return Ok(None) };
        let api_key = match proof {
            SessionProof::ApiKey(key) => Some(key.to_owned()),
            SessionProof::Password(_) => None,
        };
        let (organisation, user) = (request.public.to_owned(), request.user.to_owned());
        let unit = request.unit.map(str::to_owned);
        let expires_at = expires_at.trunc_subsecs(0);
        let session = Session { id, organisation, user, unit, issued_at, expires_at, api_key };
        let former = self.former_servers.are_connected(self.store.as_ref(), self.clock.now()).await;
        let form = if former { ClaimForm::Ids } else { ClaimForm::Names(&request.names) };
        self.tokens.sign(&session, form).map(Some)
    }

    /// Ends a session: at once here, within a second on other replicas.
    pub async fn release(&self, organisation: OrganisationKey, session: &Session) -> Result<()> {
        self.store.release_session(&session.id, session.expires_at).await?;
        self.released.add(session);
        let mut rows = self.released_rows.lock().unwrap_or_else(PoisonError::into_inner);
        // What has no room goes when it has expired.
        if rows.len() < MAX_RELEASED_ROWS {
            rows.push((organisation, session.id.clone()));
        }
        Ok(())
    }

    /// Returns the caller and the session of a session token. INVALID_TOKEN when it is not ours, has expired or was released, or when
    /// its user or organisation is gone.
    pub async fn authenticate_bearer(&self, token: &str) -> Result<(Caller, Arc<Session>)> {
        let session = self.tokens.read(token).ok_or_else(Error::invalid_token)?;
        let now = self.clock.now();
        if session.expires_at <= now || self.released.contains(self.store.as_ref(), &session, now).await? {
            return Err(Error::invalid_token());
        }
        // Ids have no control characters in them, so no two users or keys share a name.
        let key = session.api_key.as_deref().unwrap_or_default();
        let name = format!("{}\n{}\n{key}", session.organisation, session.user);
        let found = self.users.get(&name, self.find_user(&session)).await?;
        let known = found.ok_or_else(Error::invalid_token)?;
        if known.not_before.is_some_and(|not_before| session.issued_at < not_before) || !known.terms.are_valid(now) {
            return Err(Error::invalid_token());
        }
        let (organisation, permissions) = (known.organisation, known.permissions);
        let (user, unit) = (Some(session.user.clone()), session.unit.clone());
        Ok((Caller { organisation, user, unit, permissions }, session))
    }

    async fn find_user(&self, session: &Session) -> Result<Option<Arc<KnownUser>>> {
        let Some(organisation) = self.store.organisation_by_id(&session.organisation).await? else { return Ok(None) };
        let organisation = organisation.key;
        let found = match &session.api_key {
            Some(key) => self.store.account_with_key(organisation, &session.user, key).await?,
            None => self.store.account(organisation, &session.user).await?.map(|user| (user, KeyTerms::default())),
        };
        let known = |(user, terms): (UserAccount, KeyTerms)| {
            let permissions = terms.granted(user.credential.permissions);
            Arc::new(KnownUser { organisation, permissions, not_before: user.sessions_not_before, terms })
        };
        Ok(found.map(known))
    }

    /// Who sends this API key with a call? INVALID_TOKEN when it is unknown or revoked.
    pub async fn authenticate_api_key(&self, key: &Secret) -> Result<Caller> {
        let known = self.known_key(key).await?.ok_or_else(Error::invalid_token)?;
        Ok(known.caller.clone())
    }

    async fn known_key(&self, key: &Secret) -> Result<Option<Arc<KnownKey>>> {
        let Some(key) = PresentedKey::parse(key.expose()) else { return Ok(None) };
        let found = self.api_keys.get(&key.id, self.find_api_key(&key.id)).await?;
        let hash = found.as_ref().map(|known| &known.key.hash);
        let matches = key.matches(self.secrets.as_ref(), hash);
        let now = self.clock.now();
        let Some(known) = found.filter(|known| matches && known.key.terms.are_valid(now)) else { return Ok(None) };
        known.uses.note(now);
        if !self.secrets.code_is_current(Purpose::ApiKey, &known.key.hash) && known.begin_rehash() {
            self.rehash_api_key(&key, &known.key.hash).await;
        }
        Ok(Some(known))
    }

    /// Stores the hash of an API key that was right under the key of the ring that writes, so that older ones can be retired. The
    /// call does not depend on it.
    async fn rehash_api_key(&self, key: &PresentedKey, old: &CodeHash) {
        let replaced = async {
            let new = key.hash(self.secrets.as_ref())?;
            Ok::<_, Error>(self.store.replace_api_key_hash(&key.id, old, &new).await?)
        };
        match replaced.await {
            Ok(true) => tracing::info!(api_key = key.id, "hash of the API key replaced by one under the current key"),
            Ok(false) => {}
            Err(error) => tracing::debug!(api_key = key.id, cause = cause(&error), "hash of the API key not replaced"),
        }
    }

    async fn find_api_key(&self, id: &str) -> Result<Option<Arc<KnownKey>>> {
        let Some(key) = self.store.api_key(id).await? else { return Ok(None) };
        let Some(UserAccount { credential, .. }) = self.store.account(key.organisation, &key.user).await? else {
            return Ok(None);
        };
        let reference = self.store.reference(key.organisation).await?;
        let own_unit = key.terms.unit.clone().filter(|unit| reference.units.contains_key(unit));
        let caller = Caller {
            organisation: key.organisation,
            user: Some(key.user.clone()),
            unit: own_unit.or_else(|| default_unit(&reference, &credential)),
            permissions: key.terms.granted(credential.permissions),
        };
        let uses = self.key_uses.of(&key.id);
        Ok(Some(Arc::new(KnownKey { key, caller, uses, rehashed: AtomicBool::new(false) })))
    }

    /// Binds the users of certificates to the ids that have their names now. Those that do not exist yet are bound as soon as
    /// they do.
    pub async fn bind_certificates(&self, users: &[CertificateUser]) {
        for names in users {
            let CertificateUser { organisation, username } = names;
            match self.bound(names).await {
                Ok(Some(bound)) => {
                    tracing::info!(organisation, username, id = bound.user, "a certificate stands for a user")
                }
                Ok(None) => {
                    tracing::warn!(organisation, username, "a certificate stands for a user that does not exist yet");
                }
                Err(error) => tracing::warn!(cause = cause(&error), "the user of a certificate cannot be looked up"),
            }
        }
    }

    /// Who calls with a certificate that stands for this user? INVALID_TOKEN when there is no such user, or no longer.
    pub async fn authenticate_certificate(&self, user: &CertificateUser) -> Result<Caller> {
        let found = self.certificates.get(&user.key(), self.find_certificate_user(user)).await?;
        found.ok_or_else(Error::invalid_token)
    }

    async fn find_certificate_user(&self, names: &CertificateUser) -> Result<Option<Caller>> {
        let Some(BoundUser { organisation, user }) = self.bound(names).await? else { return Ok(None) };
        let Some(account) = self.store.account(organisation, &user).await? else { return Ok(None) };
        let credential = account.credential;
        let reference = self.store.reference(organisation).await?;
        let unit = default_unit(&reference, &credential);
        let (user, permissions) = (Some(credential.user), credential.permissions);
        Ok(Some(Caller { organisation, user, unit, permissions }))
    }

    /// The user that the names of the settings are bound to. They are bound to a user that may log in or call: one that is only
    /// referred to by tokens may come from any caller that imports.
    async fn bound(&self, names: &CertificateUser) -> Result<Option<BoundUser>> {
        if let Some(bound) = self.bindings.get(names) {
            return Ok(Some(bound));
        }
        let Some(organisation) = self.store.organisation_by_name(&names.organisation).await? else { return Ok(None) };
        let found = self.store.credential_by_username(organisation.key, &names.username).await?;
        let user = found.map(|credential| BoundUser { organisation: organisation.key, user: credential.user });
        Ok(user.map(|user| self.bindings.bind(names, user)))
    }

    /// How many sessions were released and have not expired yet, as far as is known here.
    pub fn count_released(&self) -> usize {
        self.released.count()
    }

    /// Reads which sessions were released. Calls do so themselves where nobody else does in time.
    pub async fn refresh_released(&self) -> Result<()> {
        self.released.refresh(self.store.as_ref(), self.clock.now()).await
    }

    /// Deletes what no longer counts about log-ins, every ten minutes, until the task that runs it ends.
    pub async fn sweep_logins(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = with_timeout(async { Ok(self.store.sweep_logins(self.clock.now()).await?) }).await {
                tracing::warn!(cause = cause(&error), "expired log-in attempts cannot be deleted");
            }
        }
    }

    /// Keeps the list of released sessions young and short, until the task that runs it ends.
    pub async fn watch_releases(&self) {
        let mut ticks = tokio::time::interval(REFRESH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut failing, mut forgetting) = (false, false);
        for count in 0_u64.. {
            ticks.tick().await;
            let refreshed = with_timeout(self.refresh_released()).await;
            match &refreshed {
                Err(error) if !failing => tracing::warn!(cause = cause(error), "released sessions cannot be read"),
                Ok(()) if failing => tracing::info!("released sessions can be read again"),
                _ => {}
            }
            failing = refreshed.is_err();
            if failing {
                continue;
            }
            forgetting |= count % EXPIRY_INTERVAL_REFRESHES == 0;
            match with_timeout(self.tidy(forgetting)).await {
                Ok(more) => forgetting = more,
                Err(error) => tracing::warn!(cause = cause(&error), "sessions and uses of API keys cannot be written"),
            }
        }
    }

    /// Writes what may come late: last uses of keys, rows of released sessions, and, if asked to, a bounded number of rows
    /// that have expired. `true`: there may be more of those.
    async fn tidy(&self, forget: bool) -> Result<bool> {
        let rows = std::mem::take(&mut *self.released_rows.lock().unwrap_or_else(PoisonError::into_inner));
        if !rows.is_empty() {
            self.store.delete_sessions(&rows).await?;
        }
        self.key_uses.write(self.store.as_ref()).await?;
        let mut more = forget;
        for _ in 0..MAX_EXPIRY_STATEMENTS {
            if !more {
                break;
            }
            more = self.store.forget_sessions(self.clock.now(), MAX_EXPIRED_ROWS_PER_STATEMENT).await?;
        }
        Ok(more)
    }

    /// Is the list of released sessions read? Before that the process is not ready: calls would wait for the list.
    pub fn has_read_releases(&self) -> bool {
        self.released.is_loaded()
    }
}

/// Whoever waits for a database that swallows everything waits for a quarter of an hour. A single statement may be dropped.
async fn with_timeout<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(REFRESH_TIMEOUT, work).await.unwrap_or_else(|_| Err(Error::internal("the database takes too long")))
}

fn named_unit(reference: &Reference, name: &str) -> Result<String> {
    if reference.units.contains_key(name) {
        return Ok(name.to_owned());
    }
    let mut found = reference.units.values().filter(|unit| unit.alternative_code.as_deref() == Some(name));
    match (found.next(), found.next()) {
        (Some(unit), None) => Ok(unit.id.clone()),
        (Some(_), Some(_)) => {
            Err(Error::field(Reason::UnitNotFound, "unit", "several units have this alternative code: use the id"))
        }
        (None, _) => Err(Error::field(Reason::UnitNotFound, "unit", "no such unit")),
    }
}

/// Returns the names that a token states. What has no name is stated by its id.
fn names(reference: &Reference, user: &str, unit: Option<&str>) -> ClaimNames {
    let username = reference.users.get(user).and_then(|user| user.username.clone());
    let unit_name = |id: &str| reference.units.get(id).and_then(|unit| unit.name.clone());
    ClaimNames {
        user: username.unwrap_or_else(|| user.to_owned()),
        organisation: reference.organisation.name.clone(),
        unit: unit.map(|id| unit_name(id).unwrap_or_else(|| id.to_owned())),
    }
}

/// The unit of a caller that names none, as long as it exists.
fn default_unit(reference: &Reference, credential: &Credential) -> Option<String> {
    credential.default_unit.clone().filter(|unit| reference.units.contains_key(unit))
}

fn invalid_login() -> Error {
    Error::new(Reason::InvalidLogin, "the user name, the password, the organisation or the API key is wrong")
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
