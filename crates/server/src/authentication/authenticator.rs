//! Logging in, staying in, leaving.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_domain::error::Violations;
use access_tokens_domain::login::Network;
use access_tokens_domain::observer::{NoObserver, Observer};
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::reference::Reference;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::session::{Caller, OrganisationKey, Permissions, Session};
use access_tokens_domain::store::{AccountStore, ApiKey, Credential, Store};
use access_tokens_domain::time::Timestamp;
use access_tokens_domain::{Error, Reason, Result, code, text};
use chrono::{SubsecRound, TimeDelta};
use tokio::time::timeout;

use super::api_key::PresentedKey;
use super::callers::Callers;
use super::certificate::{Bindings, BoundUser, CertificateUser};
use super::login::{Attempt, Login, Logins};
use super::released::Released;
use super::session_token::SessionTokens;

/// How long a session lives, used or not.
const LIFETIME: TimeDelta = TimeDelta::hours(2);
/// How often other replicas' releases are read. Below the age at which a call would have to wait for them.
const REFRESH: Duration = Duration::from_millis(500);
/// How often released sessions that have expired are thrown away, in refreshes: every ten minutes.
const FORGET_EVERY: u64 = 1_200;

/// Time between two sweeps of log-in attempts and known networks.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How long a refresh may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens, recognises and ends sessions.
pub struct Authenticator<S> {
    store: Arc<S>,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    logins: Logins<S>,
    tokens: SessionTokens,
    released: Released,
    users: Callers<(OrganisationKey, Permissions)>,
    api_keys: Callers<(ApiKey, Caller)>,
    certificates: Callers<Caller>,
    bindings: Bindings,
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
        let (users, api_keys, certificates) = (Callers::new(), Callers::new(), Callers::new());
        let released = Released::default();
        let bindings = Bindings::default();
        let (rows, hashing, chance) = (Arc::clone(&store), Arc::clone(&secrets), Arc::clone(&random));
        let logins = Logins::new(rows, hashing, chance, Arc::clone(&clock), Arc::new(NoObserver));
        Self { store, secrets, clock, random, logins, tokens, released, users, api_keys, certificates, bindings }
    }

    /// Counts log-ins for an observer.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.logins.observed_by(observer);
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
        let account = self.logins.check(Attempt { organisation: key, username, password, network }).await?;
        let (Some(organisation), Some(account)) = (organisation, account) else { return Err(invalid_login()) };
        let credential = account.credential;
        let reference = self.store.reference(organisation.key).await?;
        let unit = match unit.filter(|unit| !unit.is_empty()) {
            Some(unit) => Some(named_unit(&reference, unit)?),
            None => default_unit(&reference, &credential),
        };
        self.open(organisation.id, credential.user, unit)
    }

    /// Opens a session for an API key and answers its token.
    pub async fn login_with_api_key(&self, key: &Secret) -> Result<Secret> {
        let caller = self.caller_of_key(key).await?.ok_or_else(invalid_login)?;
        let reference = self.store.reference(caller.organisation).await?;
        self.open(reference.organisation.id.clone(), caller.user.unwrap_or_default(), caller.unit)
    }

    fn open(&self, organisation: String, user: String, unit: Option<String>) -> Result<Secret> {
        let issued_at = self.clock.now().trunc_subsecs(0);
        let id = code::hex_id(self.random.as_ref())?;
        let expires_at = issued_at + LIFETIME;
        self.tokens.sign(&Session { id, organisation, user, unit, issued_at, expires_at })
    }

    /// Ends a session: at once here, within a second on other replicas.
    pub async fn release(&self, session: &Session) -> Result<()> {
        self.store.release_session(&session.id, self.clock.now(), session.expires_at).await?;
        self.released.add(session);
        Ok(())
    }

    /// Who sends this session token? INVALID_TOKEN when it is not ours, has expired or was released, or when its user
    /// or organisation is gone.
    pub async fn authenticate_bearer(&self, token: &str) -> Result<(Caller, Session)> {
        let session = self.tokens.read(token).ok_or_else(Error::invalid_token)?;
        let now = self.clock.now();
        if session.expires_at <= now || self.released.contains(self.store.as_ref(), &session, now).await? {
            return Err(Error::invalid_token());
        }
        // Ids have no control characters in them, so no two pairs share a key.
        let key = format!("{}\n{}", session.organisation, session.user);
        let found = self.users.get(&key, self.find_user(&session)).await?;
        let (organisation, permissions) = found.ok_or_else(Error::invalid_token)?;
        let (user, unit) = (Some(session.user.clone()), session.unit.clone());
        Ok((Caller { organisation, user, unit, permissions }, session))
    }

    async fn find_user(&self, session: &Session) -> Result<Option<(OrganisationKey, Permissions)>> {
        let Some(organisation) = self.store.organisation_by_id(&session.organisation).await? else { return Ok(None) };
        let credential = self.store.credential(organisation.key, &session.user).await?;
        Ok(credential.map(|credential| (organisation.key, credential.permissions)))
    }

    /// Who sends this API key with a call? INVALID_TOKEN when it is unknown or revoked.
    pub async fn authenticate_api_key(&self, key: &Secret) -> Result<Caller> {
        self.caller_of_key(key).await?.ok_or_else(Error::invalid_token)
    }

    async fn caller_of_key(&self, key: &Secret) -> Result<Option<Caller>> {
        let Some(key) = PresentedKey::parse(key.expose()) else { return Ok(None) };
        let found = self.api_keys.get(&key.id, self.find_api_key(&key.id)).await?;
        let hash = found.as_ref().map(|(stored, _)| &stored.hash);
        let matches = key.matches(self.secrets.as_ref(), hash);
        Ok(found.filter(|_| matches).map(|(_, caller)| caller))
    }

    async fn find_api_key(&self, id: &str) -> Result<Option<(ApiKey, Caller)>> {
        let Some(key) = self.store.api_key(id).await? else { return Ok(None) };
        let Some(credential) = self.store.credential(key.organisation, &key.user).await? else { return Ok(None) };
        let reference = self.store.reference(key.organisation).await?;
        let caller = Caller {
            organisation: key.organisation,
            user: Some(key.user.clone()),
            unit: default_unit(&reference, &credential),
            permissions: credential.permissions,
        };
        Ok(Some((key, caller)))
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
        let Some(credential) = self.store.credential(organisation, &user).await? else { return Ok(None) };
        let reference = self.store.reference(organisation).await?;
        let unit = default_unit(&reference, &credential);
        let (user, permissions) = (Some(credential.user), credential.permissions);
        Ok(Some(Caller { organisation, user, unit, permissions }))
    }

    /// The user that the names of the settings are bound to. They are bound to a user that may log in or call: one that is only
    /// referred to by tokens may come from anybody who imports.
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
            if let Err(error) = patiently(async { Ok(self.store.sweep_logins(self.clock.now()).await?) }).await {
                tracing::warn!(cause = cause(&error), "expired log-in attempts cannot be deleted");
            }
        }
    }

    /// Keeps the list of released sessions young and short, until the task that runs it ends.
    pub async fn watch_releases(&self) {
        let mut ticks = tokio::time::interval(REFRESH);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        for count in 0_u64.. {
            ticks.tick().await;
            let refreshed = patiently(self.refresh_released()).await;
            match &refreshed {
                Err(error) if !failing => tracing::warn!(cause = cause(error), "released sessions cannot be read"),
                Ok(()) if failing => tracing::info!("released sessions can be read again"),
                _ => {}
            }
            failing = refreshed.is_err();
            if count % FORGET_EVERY == 0 && !failing {
                let now: Timestamp = self.clock.now();
                if let Err(error) = patiently(async { Ok(self.store.forget_released_sessions(now).await?) }).await {
                    tracing::warn!(cause = cause(&error), "expired releases cannot be thrown away");
                }
            }
        }
    }
}

/// Whoever waits for a database that swallows everything waits for a quarter of an hour. A single statement may be dropped.
async fn patiently<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(Error::internal("the database takes too long")))
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
