//! The store of access tokens: reads, single writes and transactions.

use std::future::Future;
use std::sync::Arc;

use super::administration::LoginState;
use super::error::StoreResult;
use super::found::{FoundOwners, FoundPage, FoundToken, Lookup, OwnerJoins, OwnerKey, TokenPage};
use super::import::{DraftStore, ImportChanges, ImportKeys, ImportRows};
use super::ledger::LedgerStore;
use super::read::{ReadConsistency, ReadOptions};
use super::sequence::Sequence;
use crate::model::access_token::{AccessToken, AuditStamp, Precondition, TokenChanges};
use crate::model::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier, TokenKey};
use crate::model::life_cycle::LifeCycleState;
use crate::model::reference::Reference;
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;
use crate::policy::strength::StoredStrength;

/// Reads, each of which sees one committed state, and the beginning of writes.
pub trait Store: LedgerStore {
    /// A transaction.
    type Transaction: Transaction;

    /// Begins a unit of work. Dropped without commit, it leaves nothing behind. Its holder calls nothing else
    /// that writes, such as [`Self::take_numbers`]: where there is one writer, it would wait for itself.
    fn begin(&self) -> impl Future<Output = StoreResult<Self::Transaction>> + Send;

    /// The organisation's current reference data; never older than what was committed before the call, since decisions depend on it.
    fn reference(&self, organisation: OrganisationKey) -> impl Future<Output = StoreResult<Arc<Reference>>> + Send;

    /// The token of a key: as it is presented, else in its normalised form ([`crate::model::text::nfc`]).
    fn find_token(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        joins: OwnerJoins,
        read: ReadOptions<'_>,
    ) -> impl Future<Output = StoreResult<Lookup>> + Send;

    /// A page of an owner's tokens, of one moment with the owner itself.
    fn list_tokens(
        &self,
        organisation: OrganisationKey,
        page: TokenPage<'_>,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> impl Future<Output = StoreResult<FoundPage>> + Send;

    /// Tokens without an existing owner, in ascending id. A terminated owner does not exist.
    fn not_associated(
        &self,
        organisation: OrganisationKey,
        state: Option<LifeCycleState>,
        limit: u32,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> impl Future<Output = StoreResult<Vec<FoundToken>>> + Send;

    /// What a new token refers to, all of one moment where the database can say that in one statement.
    fn find_owners(
        &self,
        organisation: OrganisationKey,
        account: Option<&AccountsReceivableIdentifier>,
        participant: Option<&RewardsParticipantIdentifier>,
    ) -> impl Future<Output = StoreResult<FoundOwners>> + Send;

    /// Writes changes where the precondition still holds, in one statement, and commits at once. `None`: it did not hold,
    /// nothing was written. Without a stamp `log_information` stays as it is.
    fn update_token(
        &self,
        organisation: OrganisationKey,
        id: &str,
        precondition: &Precondition,
        changes: &TokenChanges,
        updated: Option<&AuditStamp>,
    ) -> impl Future<Output = StoreResult<Option<FoundToken>>> + Send;

    /// Writes a new token, in a transaction of its own.
    fn insert_token(
        &self,
        organisation: OrganisationKey,
        token: &AccessToken,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Returns how strong the pass codes are whose hashes note it, and the verification codes that wait to be used.
    /// Reads all tokens of the organisation.
    fn stored_strengths(
        &self,
        organisation: OrganisationKey,
    ) -> impl Future<Output = StoreResult<Vec<StoredStrength>>> + Send;

    /// Takes `count` numbers of a sequence and answers the first. Committed at once, whatever becomes of the caller.
    fn take_numbers(
        &self,
        organisation: OrganisationKey,
        sequence: Sequence,
        count: u32,
    ) -> impl Future<Output = StoreResult<i64>> + Send;

    /// An empty store of its own for what a check would write. It is in a temporary file, so that it takes little memory whatever
    /// is written to it, and gone when it is dropped.
    fn drafts(&self) -> StoreResult<Box<dyn DraftStore>>;

    /// Sets a sequence above the highest stored number that is this prefix and ten digits, and back there where it is past
    /// [`LAST_NUMBER`](super::LAST_NUMBER). Committed at once. For a sequence that has met a number which came in past it.
    fn realign_sequence(
        &self,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> impl Future<Output = StoreResult<()>> + Send;
}

/// A transaction. Commit consumes it; a drop rolls back.
pub trait Transaction: Send + 'static {
    /// Writes a new token.
    fn insert_token(
        &mut self,
        organisation: OrganisationKey,
        token: &AccessToken,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Counts an owner's tokens (of one classification, if given) and keeps others from adding to them until commit.
    fn count_tokens_exclusively(
        &mut self,
        organisation: OrganisationKey,
        owner: OwnerKey<'_>,
        classification: Option<&str>,
    ) -> impl Future<Output = StoreResult<u64>> + Send;

    /// Keeps other imports of the organisation out until commit, and answers its reference data.
    fn lock_directory(
        &mut self,
        organisation: OrganisationKey,
    ) -> impl Future<Output = StoreResult<Arc<Reference>>> + Send;

    /// Everything stored that a batch of records may touch. No other caller changes these tokens and credentials until commit.
    fn load_import(
        &mut self,
        organisation: OrganisationKey,
        keys: &ImportKeys,
    ) -> impl Future<Output = StoreResult<ImportRows>> + Send;

    /// How the users with the permission `admin`, and the users with these ids, can log in at a moment.
    fn login_states(
        &mut self,
        organisation: OrganisationKey,
        users: &[String],
        now: Timestamp,
    ) -> impl Future<Output = StoreResult<Vec<LoginState>>> + Send;

    /// Writes a batch, raises the version of the reference data if it changed, and raises every sequence above what came in, and
    /// above what is stored where a prefix or a policy changes. Numbers from 9,900,000,000 raise none. Replaces only tokens and
    /// credentials that [`Self::load_import`] has answered.
    fn save_import(
        &mut self,
        organisation: OrganisationKey,
        changes: &ImportChanges,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Makes it durable. Only then may the caller be told.
    fn commit(self) -> impl Future<Output = StoreResult<()>> + Send;
}
