//! Ports that count round trips to the store and comparisons of secrets. Two cases that a caller must not be able to distinguish
//! need equal numbers of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access_tokens_domain::Result;
use access_tokens_domain::access_token::{AccessToken, AuditStamp, Precondition, TokenChanges};
use access_tokens_domain::attempts::{Attempts, SecretKind};
use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier, TokenKey};
use access_tokens_domain::issues::Issues;
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::ports::{BoxFuture, HashCost, HashWork, Purpose, Secrets, Verdict};
use access_tokens_domain::reference::Reference;
use access_tokens_domain::secret::{CodeHash, PassCodeHash, SealedCode, Secret};
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{
    DraftStore, Entry, FoundOwners, FoundPage, FoundToken, LedgerStore, Lookup, OwnerJoins, ReadConsistency,
    ReadOptions, Sequence, Store, StoreResult, TokenPage,
};
use access_tokens_domain::strength::StoredStrength;
use access_tokens_domain::time::Timestamp;

/// A store that counts its calls, each of which is one round trip, and delays each of them.
pub struct CountingStore<S> {
    inner: Arc<S>,
    calls: AtomicU64,
    delay: Duration,
}

impl<S> CountingStore<S> {
    /// Wraps a store.
    pub fn new(inner: Arc<S>, delay: Duration) -> Self {
        Self { inner, calls: AtomicU64::new(0), delay }
    }

    /// Returns the number of calls since the last call of this function.
    pub fn take_calls(&self) -> u64 {
        self.calls.swap(0, Ordering::SeqCst)
    }

    async fn call(&self) -> &S {
        self.calls.fetch_add(1, Ordering::SeqCst);
        // A sleep of zero may take a millisecond.
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        &self.inner
    }
}

impl<S: Store> Store for CountingStore<S> {
    type Transaction = S::Transaction;

    async fn begin(&self) -> StoreResult<S::Transaction> {
        self.call().await.begin().await
    }

    async fn reference(&self, organisation: OrganisationKey) -> StoreResult<Arc<Reference>> {
        self.call().await.reference(organisation).await
    }

    async fn find_token(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        joins: OwnerJoins,
        read: ReadOptions<'_>,
    ) -> StoreResult<Lookup> {
        self.call().await.find_token(organisation, key, joins, read).await
    }

    async fn list_tokens(
        &self,
        organisation: OrganisationKey,
        page: TokenPage<'_>,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> StoreResult<FoundPage> {
        self.call().await.list_tokens(organisation, page, joins, consistency).await
    }

    async fn not_associated(
        &self,
        organisation: OrganisationKey,
        state: Option<LifeCycleState>,
        limit: u32,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> StoreResult<Vec<FoundToken>> {
        self.call().await.not_associated(organisation, state, limit, joins, consistency).await
    }

    async fn find_owners(
        &self,
        organisation: OrganisationKey,
        account: Option<&AccountsReceivableIdentifier>,
        participant: Option<&RewardsParticipantIdentifier>,
    ) -> StoreResult<FoundOwners> {
        self.call().await.find_owners(organisation, account, participant).await
    }

    async fn insert_token(&self, organisation: OrganisationKey, token: &AccessToken) -> StoreResult<()> {
        self.call().await.insert_token(organisation, token).await
    }

    async fn update_token(
        &self,
        organisation: OrganisationKey,
        id: &str,
        precondition: &Precondition,
        changes: &TokenChanges,
        updated: Option<&AuditStamp>,
    ) -> StoreResult<Option<FoundToken>> {
        self.call().await.update_token(organisation, id, precondition, changes, updated).await
    }

    async fn stored_strengths(&self, organisation: OrganisationKey) -> StoreResult<Vec<StoredStrength>> {
        self.call().await.stored_strengths(organisation).await
    }

    async fn take_numbers(&self, organisation: OrganisationKey, sequence: Sequence, count: u32) -> StoreResult<i64> {
        self.call().await.take_numbers(organisation, sequence, count).await
    }

    fn drafts(&self) -> StoreResult<Box<dyn DraftStore>> {
        self.inner.drafts()
    }

    async fn realign_sequence(
        &self,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> StoreResult<()> {
        self.call().await.realign_sequence(organisation, sequence, prefix).await
    }
}

impl<S: Store> LedgerStore for CountingStore<S> {
    async fn attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
    ) -> StoreResult<Entry<Attempts>> {
        self.call().await.attempts(organisation, subject, kind).await
    }

    async fn all_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
    ) -> StoreResult<Vec<(SecretKind, Entry<Attempts>)>> {
        self.call().await.all_attempts(organisation, subject).await
    }

    async fn save_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        attempts: &Entry<Attempts>,
    ) -> StoreResult<bool> {
        self.call().await.save_attempts(organisation, subject, kind, attempts).await
    }

    async fn count_refused(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        at: Timestamp,
    ) -> StoreResult<()> {
        self.call().await.count_refused(organisation, subject, kind, at).await
    }

    async fn issues(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
    ) -> StoreResult<Entry<Issues>> {
        self.call().await.issues(organisation, subject, kind).await
    }

    async fn save_issues(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        issues: &Entry<Issues>,
    ) -> StoreResult<bool> {
        self.call().await.save_issues(organisation, subject, kind, issues).await
    }
}

/// Numbers of comparisons and hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Comparisons {
    /// Comparisons with a stored hash: these could have authenticated the caller.
    pub real: u64,
    /// Comparisons with a dummy hash.
    pub idle: u64,
    /// New slow hashes.
    pub hashes: u64,
}

impl Comparisons {
    /// Returns the number of slow operations.
    pub fn work(self) -> u64 {
        self.real + self.idle
    }
}

/// Secrets that count comparisons.
pub struct CountingSecrets {
    inner: Arc<dyn Secrets>,
    real: AtomicU64,
    idle: AtomicU64,
    hashes: AtomicU64,
}

impl CountingSecrets {
    /// Wraps other secrets.
    pub fn new(inner: Arc<dyn Secrets>) -> Self {
        Self { inner, real: AtomicU64::new(0), idle: AtomicU64::new(0), hashes: AtomicU64::new(0) }
    }

    /// Returns the numbers since the last call of this function.
    pub fn take(&self) -> Comparisons {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
        Comparisons { real: take(&self.real), idle: take(&self.idle), hashes: take(&self.hashes) }
    }

    fn compared(&self, stored: bool) {
        let counter = if stored { &self.real } else { &self.idle };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

impl Secrets for CountingSecrets {
    fn check_queue(&self, work: HashWork) -> Result<()> {
        self.inner.check_queue(work)
    }

    fn hash(&self, work: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        self.hashes.fetch_add(1, Ordering::SeqCst);
        self.inner.hash(work, secret)
    }

    fn hash_unchecked(&self, work: HashWork, secret: Secret) -> BoxFuture<'_, Result<PassCodeHash>> {
        self.hashes.fetch_add(1, Ordering::SeqCst);
        self.inner.hash_unchecked(work, secret)
    }

    fn verify(&self, work: HashWork, secret: Secret, stored: Option<PassCodeHash>) -> BoxFuture<'_, Result<Verdict>> {
        self.compared(stored.is_some());
        self.inner.verify(work, secret, stored)
    }

    fn accepts(&self, stored: &PassCodeHash) -> bool {
        self.inner.accepts(stored)
    }

    fn hash_cost(&self, stored: &PassCodeHash) -> std::result::Result<HashCost, String> {
        self.inner.hash_cost(stored)
    }

    fn code_hash(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<CodeHash> {
        self.inner.code_hash(purpose, subject, code)
    }

    fn code_is_current(&self, purpose: Purpose, stored: &CodeHash) -> bool {
        self.inner.code_is_current(purpose, stored)
    }

    fn code_matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: Option<&CodeHash>) -> bool {
        self.compared(stored.is_some());
        self.inner.code_matches(purpose, subject, code, stored)
    }

    fn seal(&self, purpose: Purpose, subject: &str, code: &Secret) -> Result<SealedCode> {
        self.inner.seal(purpose, subject, code)
    }

    fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret> {
        self.inner.open(purpose, subject, sealed)
    }
}
