//! A store in memory with the operations that sessions need, for unit tests. It counts its round trips.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use access_tokens_domain::access_token::{AccessToken, AuditStamp, Precondition, TokenChanges};
use access_tokens_domain::attempts::{Attempts, SecretKind};
use access_tokens_domain::directory::{Organisation, Unit};
use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier, TokenKey};
use access_tokens_domain::issues::Issues;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::login::{KnownNetwork, LoginAccount, Network};
use access_tokens_domain::policy::Policy;
use access_tokens_domain::reference::Reference;
use access_tokens_domain::secret::{CodeHash, PassCodeHash};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{
    AccountStore, ApiKey, Credential, DraftStore, Entry, FoundOwners, FoundPage, FoundToken, ImportChanges, ImportKeys,
    ImportRows, KeyTerms, LedgerStore, LoginState, LoginStore, Lookup, NewSession, OrganisationRef, OwnerJoins,
    OwnerKey, ReadConsistency, ReadOptions, ReleasedAfter, ReleasedPage, ReleasedSession, Sequence, SessionProof,
    Store, StoreError, StoreResult, TokenPage, Transaction, Unlocked, UserAccount,
};
use access_tokens_domain::strength::StoredStrength;
use access_tokens_domain::time::Timestamp;

#[derive(Default)]
pub(super) struct FakeStore {
    pub(super) users: Mutex<HashMap<String, Credential>>,
    pub(super) units: Mutex<Vec<Unit>>,
    pub(super) keys: Mutex<Vec<ApiKey>>,
    pub(super) used: Mutex<Vec<(String, Timestamp)>>,
    /// Released sessions, in the order of their releases.
    pub(super) released: Mutex<Vec<(String, Timestamp)>>,
    /// The result of the next look-up of a user name.
    pub(super) stale: Mutex<Option<Credential>>,
    /// The time before which sessions of every user are invalid.
    pub(super) not_before: Mutex<Option<Timestamp>>,
    pub(super) attempts: Mutex<HashMap<String, Entry<Attempts>>>,
    /// The last date by user and network, and the first log-in by user.
    pub(super) networks: Mutex<HashMap<(String, Network), Option<Timestamp>>>,
    pub(super) first_logins: Mutex<HashMap<String, Timestamp>>,
    pub(super) away: AtomicBool,
    /// Whether servers of version 0.2.0 share the database.
    pub(super) former_servers: AtomicBool,
    pub(super) round_trips: AtomicUsize,
}

/// The one organisation: DEMO, id ORG.
pub(super) const ORGANISATION: OrganisationKey = OrganisationKey(7);

impl FakeStore {
    fn round_trip(&self) -> StoreResult<()> {
        self.round_trips.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) { Err(StoreError::Unavailable("away".into())) } else { Ok(()) }
    }

    fn not_before(&self) -> Option<Timestamp> {
        *self.not_before.lock().expect("lock")
    }

    pub(super) fn trips(&self) -> usize {
        self.round_trips.swap(0, Ordering::SeqCst)
    }
}

fn demo(found: bool) -> Option<OrganisationRef> {
    found.then(|| OrganisationRef { key: ORGANISATION, id: "ORG".to_owned(), name: "DEMO".to_owned() })
}

fn not_here<T>() -> StoreResult<T> {
    Err(StoreError::Fault("sessions do not need this".into()))
}

impl AccountStore for FakeStore {
    async fn organisation_by_name(&self, name: &str) -> StoreResult<Option<OrganisationRef>> {
        self.round_trip()?;
        Ok(demo(name == "DEMO"))
    }

    async fn organisation_by_id(&self, id: &str) -> StoreResult<Option<OrganisationRef>> {
        self.round_trip()?;
        Ok(demo(id == "ORG"))
    }

    async fn organisations(&self) -> StoreResult<Vec<OrganisationRef>> {
        self.round_trip()?;
        Ok(demo(true).into_iter().collect())
    }

    async fn ensure_organisation(&self, _: &Organisation) -> StoreResult<OrganisationRef> {
        not_here()
    }

    async fn rename_organisation(&self, _: OrganisationKey, _: &str) -> StoreResult<()> {
        not_here()
    }

    async fn credential_by_username(&self, key: OrganisationKey, username: &str) -> StoreResult<Option<Credential>> {
        self.round_trip()?;
        if let Some(stale) = self.stale.lock().expect("lock").take() {
            return Ok(Some(stale));
        }
        Ok(self.users.lock().expect("lock").get(username).filter(|_| key == ORGANISATION).cloned())
    }

    async fn credential(&self, key: OrganisationKey, user: &str) -> StoreResult<Option<Credential>> {
        self.round_trip()?;
        let users = self.users.lock().expect("lock");
        Ok(users.values().find(|credential| key == ORGANISATION && credential.user == user).cloned())
    }

    async fn account(&self, key: OrganisationKey, user: &str) -> StoreResult<Option<UserAccount>> {
        let credential = self.credential(key, user).await?;
        Ok(credential.map(|credential| UserAccount { credential, sessions_not_before: self.not_before() }))
    }

    async fn account_with_key(
        &self,
        organisation: OrganisationKey,
        user: &str,
        key: &str,
    ) -> StoreResult<Option<(UserAccount, KeyTerms)>> {
        let account = self.account(organisation, user).await?;
        let keys = self.keys.lock().expect("lock");
        let terms = keys.iter().find(|one| one.id == key && one.user == user).map(|key| key.terms.clone());
        Ok(account.zip(terms))
    }

    async fn record_key_use(&self, id: &str, used: Timestamp, _: Option<&str>) -> StoreResult<()> {
        self.round_trip()?;
        self.used.lock().expect("lock").push((id.to_owned(), used));
        Ok(())
    }

    async fn api_key(&self, id: &str) -> StoreResult<Option<ApiKey>> {
        self.round_trip()?;
        Ok(self.keys.lock().expect("lock").iter().find(|key| key.id == id).cloned())
    }

    async fn replace_api_key_hash(&self, id: &str, old: &CodeHash, new: &CodeHash) -> StoreResult<bool> {
        self.round_trip()?;
        let mut keys = self.keys.lock().expect("lock");
        let found = keys.iter_mut().find(|key| key.id == id && key.hash == *old);
        Ok(found.map(|key| key.hash = new.clone()).is_some())
    }

    async fn add_api_key(&self, _: &ApiKey, _: Timestamp) -> StoreResult<()> {
        not_here()
    }

    async fn open_session(&self, session: &NewSession<'_>) -> StoreResult<Option<(Timestamp, Timestamp)>> {
        self.round_trip()?;
        let users = self.users.lock().expect("lock");
        let user = users.values().find(|credential| credential.user == session.user);
        let keys = self.keys.lock().expect("lock");
        let ends = match session.proof {
            SessionProof::Password(hash) => {
                user.filter(|user| user.password.as_ref() == Some(hash)).map(|_| session.issued + session.lifetime)
            }
            SessionProof::ApiKey(id) => {
                let key = keys.iter().find(|key| key.id == id && key.terms.are_valid(session.issued));
                let end = session.issued + session.lifetime;
                key.map(|key| key.terms.expires.map_or(end, |expires| expires.min(end)))
            }
        };
        Ok(ends.map(|ends| (self.not_before().map_or(session.issued, |first| first.max(session.issued)), ends)))
    }

    async fn release_session(&self, session: &str, expires: Timestamp) -> StoreResult<()> {
        self.round_trip()?;
        self.released.lock().expect("lock").push((session.to_owned(), expires));
        Ok(())
    }

    async fn delete_sessions(&self, _: &[(OrganisationKey, String)]) -> StoreResult<()> {
        self.round_trip()
    }

    async fn released_sessions(&self, after: &ReleasedAfter, now: Timestamp, limit: u32) -> StoreResult<ReleasedPage> {
        self.round_trip()?;
        let released = self.released.lock().expect("lock");
        let mut sessions: Vec<_> = (0_i64..)
            .zip(released.iter())
            .filter(|(_, (_, expires))| *expires > now)
            .map(|(released_at, (id, expires))| ReleasedSession { id: id.clone(), released_at, expires: *expires })
            .collect();
        match after {
            ReleasedAfter::Id(after) => {
                sessions.retain(|session| session.id > *after);
                sessions.sort_by(|one, two| one.id.cmp(&two.id));
            }
            ReleasedAfter::Release(moment, after) => {
                sessions.retain(|session| (session.released_at, &session.id) > (*moment, after));
            }
        }
        sessions.truncate(limit as usize);
        Ok(ReleasedPage { read_at: i64::try_from(released.len()).expect("few"), sessions })
    }

    async fn forget_sessions(&self, now: Timestamp, _: u32) -> StoreResult<bool> {
        self.round_trip()?;
        self.released.lock().expect("lock").retain(|(_, expires)| *expires > now);
        Ok(false)
    }

    async fn has_former_servers(&self) -> StoreResult<bool> {
        Ok(self.former_servers.load(Ordering::SeqCst))
    }
}

impl LoginStore for FakeStore {
    async fn login_account(
        &self,
        key: OrganisationKey,
        username: &str,
        network: &Network,
    ) -> StoreResult<Option<LoginAccount>> {
        let Some(credential) = self.credential_by_username(key, username).await? else { return Ok(None) };
        let networks = self.networks.lock().expect("lock");
        let user = credential.user.clone();
        let has_entered_networks = networks.iter().any(|((owner, _), last)| *owner == user && last.is_none());
        let first_login = self.first_logins.lock().expect("lock").get(&user).copied();
        let network = networks.get(&(user, network.clone())).map(|last| KnownNetwork { last_login: *last });
        Ok(Some(LoginAccount { credential, first_login, network, has_entered_networks }))
    }

    async fn login_attempts(&self, _: OrganisationKey, subject: &str) -> StoreResult<Entry<Attempts>> {
        self.round_trip()?;
        Ok(self.attempts.lock().expect("lock").get(subject).cloned().unwrap_or_default())
    }

    async fn save_login_attempts(
        &self,
        _: OrganisationKey,
        subject: &str,
        entry: &Entry<Attempts>,
    ) -> StoreResult<bool> {
        self.round_trip()?;
        let mut all = self.attempts.lock().expect("lock");
        let stored = all.entry(subject.to_owned()).or_default();
        let same = stored.revision == entry.revision;
        if same {
            let refused = stored.state.refused;
            *stored = Entry { state: Attempts { refused, ..entry.state.clone() }, revision: entry.revision + 1 };
        }
        Ok(same)
    }

    async fn count_refused_login(&self, _: OrganisationKey, subject: &str, at: Timestamp) -> StoreResult<()> {
        self.round_trip()?;
        let mut all = self.attempts.lock().expect("lock");
        let state = &mut all.entry(subject.to_owned()).or_default().state;
        (state.refused, state.last_refused) = (state.refused + 1, Some(at));
        Ok(())
    }

    async fn remember_login(
        &self,
        _: OrganisationKey,
        user: &str,
        network: &Network,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.round_trip()?;
        let mut networks = self.networks.lock().expect("lock");
        let known = networks.entry((user.to_owned(), network.clone())).or_insert(Some(at));
        *known = known.map(|last| last.max(at));
        self.first_logins.lock().expect("lock").entry(user.to_owned()).or_insert(at);
        Ok(())
    }

    async fn enter_networks(&self, _: OrganisationKey, user: &str, networks: &[Network]) -> StoreResult<()> {
        let mut known = self.networks.lock().expect("lock");
        known.extend(networks.iter().map(|network| ((user.to_owned(), network.clone()), None)));
        Ok(())
    }

    async fn replace_password(
        &self,
        _: OrganisationKey,
        user: &str,
        old: &PassCodeHash,
        new: &PassCodeHash,
    ) -> StoreResult<bool> {
        self.round_trip()?;
        let mut users = self.users.lock().expect("lock");
        let found = users.values_mut().find(|one| one.user == user && one.password.as_ref() == Some(old));
        Ok(found.map(|credential| credential.password = Some(new.clone())).is_some())
    }

    async fn unlock_logins(&self, _: OrganisationKey, _: &str, _: Timestamp) -> StoreResult<Unlocked> {
        not_here()
    }

    async fn locked_users(&self, _: OrganisationKey, _: Timestamp) -> StoreResult<Vec<String>> {
        not_here()
    }

    async fn count_passwords(&self, _: &[String]) -> StoreResult<(u64, u64)> {
        not_here()
    }

    async fn sweep_logins(&self, _: Timestamp) -> StoreResult<()> {
        self.round_trip()
    }
}

impl LedgerStore for FakeStore {
    async fn attempts(&self, _: OrganisationKey, _: &str, _: SecretKind) -> StoreResult<Entry<Attempts>> {
        not_here()
    }

    async fn all_attempts(&self, _: OrganisationKey, _: &str) -> StoreResult<Vec<(SecretKind, Entry<Attempts>)>> {
        not_here()
    }

    async fn save_attempts(
        &self,
        _: OrganisationKey,
        _: &str,
        _: SecretKind,
        _: &Entry<Attempts>,
    ) -> StoreResult<bool> {
        not_here()
    }

    async fn count_refused(&self, _: OrganisationKey, _: &str, _: SecretKind, _: Timestamp) -> StoreResult<()> {
        not_here()
    }

    async fn issues(&self, _: OrganisationKey, _: &str, _: SecretKind) -> StoreResult<Entry<Issues>> {
        not_here()
    }

    async fn save_issues(&self, _: OrganisationKey, _: &str, _: SecretKind, _: &Entry<Issues>) -> StoreResult<bool> {
        not_here()
    }
}

impl Store for FakeStore {
    type Transaction = Never;

    async fn stored_strengths(&self, _: OrganisationKey) -> StoreResult<Vec<StoredStrength>> {
        not_here()
    }

    async fn begin(&self) -> StoreResult<Never> {
        not_here()
    }

    async fn reference(&self, _: OrganisationKey) -> StoreResult<Arc<Reference>> {
        let units = self.units.lock().expect("lock").iter().map(|unit| (unit.id.clone(), unit.clone())).collect();
        Ok(Arc::new(Reference {
            version: 1,
            organisation: Organisation {
                id: "ORG".to_owned(),
                name: "DEMO".to_owned(),
                number_prefix: "AT".to_owned(),
                legacy_compatibility: true,
                definition: Policy::default(),
            },
            units,
            business_units: HashMap::new(),
            users: HashMap::new(),
            countries: HashMap::new(),
            industries: HashMap::new(),
            industry_sectors: HashMap::new(),
            classifications: HashMap::new(),
        }))
    }

    async fn find_token(
        &self,
        _: OrganisationKey,
        _: TokenKey<'_>,
        _: OwnerJoins,
        _: ReadOptions<'_>,
    ) -> StoreResult<Lookup> {
        not_here()
    }

    async fn list_tokens(
        &self,
        _: OrganisationKey,
        _: TokenPage<'_>,
        _: OwnerJoins,
        _: ReadConsistency,
    ) -> StoreResult<FoundPage> {
        not_here()
    }

    async fn not_associated(
        &self,
        _: OrganisationKey,
        _: Option<LifeCycleState>,
        _: u32,
        _: OwnerJoins,
        _: ReadConsistency,
    ) -> StoreResult<Vec<FoundToken>> {
        not_here()
    }

    async fn find_owners(
        &self,
        _: OrganisationKey,
        _: Option<&AccountsReceivableIdentifier>,
        _: Option<&RewardsParticipantIdentifier>,
    ) -> StoreResult<FoundOwners> {
        not_here()
    }

    async fn insert_token(&self, _: OrganisationKey, _: &AccessToken) -> StoreResult<()> {
        not_here()
    }

    async fn update_token(
        &self,
        _: OrganisationKey,
        _: &str,
        _: &Precondition,
        _: &TokenChanges,
        _: Option<&AuditStamp>,
    ) -> StoreResult<Option<FoundToken>> {
        not_here()
    }

    async fn take_numbers(&self, _: OrganisationKey, _: Sequence, _: u32) -> StoreResult<i64> {
        not_here()
    }

    fn drafts(&self) -> StoreResult<Box<dyn DraftStore>> {
        not_here()
    }

    async fn realign_sequence(&self, _: OrganisationKey, _: Sequence, _: &str) -> StoreResult<()> {
        not_here()
    }
}

/// Sessions begin no transaction.
pub(super) enum Never {}

impl Transaction for Never {
    async fn insert_token(&mut self, _: OrganisationKey, _: &AccessToken) -> StoreResult<()> {
        match *self {}
    }

    async fn count_tokens_exclusively(
        &mut self,
        _: OrganisationKey,
        _: OwnerKey<'_>,
        _: Option<&str>,
    ) -> StoreResult<u64> {
        match *self {}
    }

    async fn lock_directory(&mut self, _: OrganisationKey) -> StoreResult<Arc<Reference>> {
        match *self {}
    }

    async fn load_import(&mut self, _: OrganisationKey, _: &ImportKeys) -> StoreResult<ImportRows> {
        match *self {}
    }

    async fn login_states(&mut self, _: OrganisationKey, _: &[String], _: Timestamp) -> StoreResult<Vec<LoginState>> {
        match *self {}
    }

    async fn save_import(&mut self, _: OrganisationKey, _: &ImportChanges) -> StoreResult<()> {
        match *self {}
    }

    async fn commit(self) -> StoreResult<()> {
        match self {}
    }
}
