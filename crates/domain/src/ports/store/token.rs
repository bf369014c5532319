//! The store of access tokens: reads, single writes and transactions.

use std::sync::Arc;

use super::administration::LoginState;
use super::error::{StoreFuture, StoreResult};
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

/// Reads of tokens, each of which sees one committed state, single writes, and the beginning of transactions.
pub trait Store: LedgerStore {
    /// A transaction.
    type Transaction: Transaction;

    /// Begins a transaction. If it is dropped without a commit, it is rolled back. Its holder must not call other
    /// methods that write, such as [`Self::take_numbers`]: a store with one writer would wait for itself.
    fn begin(&self) -> impl StoreFuture<Self::Transaction>;

    /// Returns the current reference data of the organisation. It is never older than what was committed before the
    /// call, since decisions depend on it.
    fn reference(&self, organisation: OrganisationKey) -> impl StoreFuture<Arc<Reference>>;

    /// Returns the token with a key: as it is presented, else in its normalised form ([`crate::model::text::nfc`]).
    fn find_token(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        joins: OwnerJoins,
        read: ReadOptions<'_>,
    ) -> impl StoreFuture<Lookup>;

    /// Returns a page of the tokens of an owner, of the same point in time as the owner.
    fn list_tokens(
        &self,
        organisation: OrganisationKey,
        page: TokenPage<'_>,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> impl StoreFuture<FoundPage>;

    /// Returns tokens without an existing owner, in ascending id. A terminated owner does not count as existing.
    fn not_associated(
        &self,
        organisation: OrganisationKey,
        state: Option<LifeCycleState>,
        limit: u32,
        joins: OwnerJoins,
        consistency: ReadConsistency,
    ) -> impl StoreFuture<Vec<FoundToken>>;

    /// Returns the objects that a new token refers to. All of them have the state of one point in time, if the database
    /// can read them in one statement.
    fn find_owners(
        &self,
        organisation: OrganisationKey,
        account: Option<&AccountsReceivableIdentifier>,
        participant: Option<&RewardsParticipantIdentifier>,
    ) -> impl StoreFuture<FoundOwners>;

    /// Writes changes if the precondition still holds, in one statement that is committed. `None`: it did not hold, and
    /// nothing was written. Without a stamp `log_information` stays as it is.
    fn update_token(
        &self,
        organisation: OrganisationKey,
        id: &str,
        precondition: &Precondition,
        changes: &TokenChanges,
        updated: Option<&AuditStamp>,
    ) -> impl StoreFuture<Option<FoundToken>>;

    /// Writes a new token, in a transaction of its own.
    fn insert_token(&self, organisation: OrganisationKey, token: &AccessToken) -> impl StoreFuture<()>;

    /// Returns the strengths of pass codes whose hashes have a note, and of unused verification codes. Reads all tokens
    /// of the organisation.
    fn stored_strengths(&self, organisation: OrganisationKey) -> impl StoreFuture<Vec<StoredStrength>>;

    /// Takes `count` numbers of a sequence and returns the first. The change is committed before the method returns,
    /// even if the caller stops waiting.
    fn take_numbers(&self, organisation: OrganisationKey, sequence: Sequence, count: u32) -> impl StoreFuture<i64>;

    /// Returns an empty store for the rows that a check would write. The store is a temporary file, so that its memory
    /// does not grow with the number of rows. Dropping it deletes the file.
    fn drafts(&self) -> StoreResult<Box<dyn DraftStore>>;

    /// Sets a sequence above the highest stored number that has this prefix and ten digits. This also moves a sequence
    /// back that is above [`LAST_NUMBER`](super::LAST_NUMBER). The change is committed before the method returns.
    /// Called when a number of the sequence is in use, or when an import has raised the sequence above its last number.
    fn realign_sequence(&self, organisation: OrganisationKey, sequence: Sequence, prefix: &str)
    -> impl StoreFuture<()>;
}

/// A transaction. A commit consumes it, and a drop rolls it back.
pub trait Transaction: Send + 'static {
    /// Writes a new token.
    fn insert_token(&mut self, organisation: OrganisationKey, token: &AccessToken) -> impl StoreFuture<()>;

    /// Counts the tokens of an owner (of one classification, if given) and prevents others from adding to them until
    /// the commit.
    fn count_tokens_exclusively(
        &mut self,
        organisation: OrganisationKey,
        owner: OwnerKey<'_>,
        classification: Option<&str>,
    ) -> impl StoreFuture<u64>;

    /// Prevents other imports of the organisation until the commit, and returns its reference data.
    fn lock_directory(&mut self, organisation: OrganisationKey) -> impl StoreFuture<Arc<Reference>>;

    /// Returns all stored rows that a batch of records may change. No other caller changes these tokens and credentials
    /// until the commit.
    fn load_import(&mut self, organisation: OrganisationKey, keys: &ImportKeys) -> impl StoreFuture<ImportRows>;

    /// Returns the ways in which the users with the permission `admin`, and the users with these ids, can log in at
    /// `now`.
    fn login_states(
        &mut self,
        organisation: OrganisationKey,
        users: &[String],
        now: Timestamp,
    ) -> impl StoreFuture<Vec<LoginState>>;

    /// Writes a batch. Raises the version of the reference data if it changed. Raises every sequence above the imported
    /// numbers, and above the stored numbers if a prefix or a policy changes; numbers from 9,900,000,000 raise none.
    /// Replaces only tokens and credentials that [`Self::load_import`] has returned.
    fn save_import(&mut self, organisation: OrganisationKey, changes: &ImportChanges) -> impl StoreFuture<()>;

    /// Commits the transaction. Only then may the caller get an answer.
    fn commit(self) -> impl StoreFuture<()>;
}
