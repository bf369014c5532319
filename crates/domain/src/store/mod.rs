//! The ports to the database. Lookups return `Option`: the use case decides what is an error.

mod account;
mod administration;
mod import;
mod keys;
mod ledger;
mod login;

pub use account::{
    AccountStore, ApiKey, Credential, KeyTerms, NewSession, OrganisationRef, ReleasedAfter, ReleasedPage,
    ReleasedSession, SessionProof, UserAccount,
};
pub use administration::{AdministrationStore, Change, Disabled, KeyDetails, LoginState, Rotated, UserDetails};
pub use import::{DraftStore, ImportChanges, ImportKeys, ImportRows};
pub use keys::{KeySample, KeyStore, KeyUse, Position, Unused, Withdrawal, Withdrawn};
pub use ledger::{Entry, LedgerStore, Revision};
pub use login::{LoginStore, Unlocked};

use std::future::Future;
use std::sync::Arc;

use crate::access_token::{AccessToken, Guard, Stamp, TokenChanges};
use crate::directory::{AccountsReceivable, ContactInformation, RewardsParticipant};
use crate::identifier::{AccountsReceivableIdentifier, OwnerIdentifier, RewardsParticipantIdentifier, TokenKey};
use crate::life_cycle::LifeCycleState;
use crate::reference::Reference;
use crate::session::OrganisationKey;
use crate::strength::StoredStrength;
use crate::time::Timestamp;
use crate::{Error, Reason};

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique index refused the write.
    #[error("duplicate {0:?}")]
    Duplicate(Unique),
    /// The database is away, or did not answer in time. Nothing was written, unless a commit ended so: then nobody
    /// knows.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A deadlock or serialisation failure: the same call may succeed when it is made again.
    #[error("concurrent change")]
    Conflict(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    #[error("storage fault")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Which unique index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unique {
    /// A token's id.
    TokenId,
    /// A token's number.
    TokenNumber,
    /// A token's authentication code.
    AuthenticationCode,
    /// A token's identifier.
    Identifier,
    /// Another index, by its name.
    Other(String),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let taken = |reason, field| Error::field(reason, field, "is already used by another access token");
        match error {
            StoreError::Duplicate(Unique::AuthenticationCode) => {
                taken(Reason::AuthenticationCodeAlreadyExists, "authentication_code")
            }
            StoreError::Duplicate(Unique::Identifier) => taken(Reason::IdentifierAlreadyExists, "identifier"),
            StoreError::Duplicate(Unique::TokenId | Unique::TokenNumber) => {
                taken(Reason::NumberAlreadyExists, "number")
            }
            StoreError::Duplicate(Unique::Other(_)) => {
                Error::new(Reason::RecordAlreadyExists, "another record has the same key").caused_by(error)
            }
            StoreError::Unavailable(_) => Error::new(Reason::DatabaseUnavailable, "the database is not available")
                .retry_after(std::time::Duration::from_secs(1))
                .caused_by(error),
            StoreError::Conflict(_) => {
                Error::new(Reason::Conflict, "somebody else changed the same thing; try again").caused_by(error)
            }
            StoreError::Fault(_) => Error::internal(error),
        }
    }
}

/// The result of a store's method.
pub type StoreResult<T> = Result<T, StoreError>;

/// Which owners an answer needs. What is not asked for is not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The accounts receivable with its owner.
    pub accounts_receivable: bool,
    /// The rewards participant with its account.
    pub rewards_participant: bool,
}

impl Load {
    /// Both owners.
    pub const ALL: Self = Self { accounts_receivable: true, rewards_participant: true };
    /// Only the token itself.
    pub const NONE: Self = Self { accounts_receivable: false, rewards_participant: false };
}

/// A token, the owners that were asked for, and what they refer to, all of one moment.
#[derive(Debug, Clone)]
pub struct FoundToken {
    /// The token.
    pub token: AccessToken,
    /// Its owners.
    pub owners: Owners,
    /// Reference data, as old as the token or younger.
    pub reference: Arc<Reference>,
}

/// What a new token may refer to.
#[derive(Debug, Clone)]
pub struct FoundOwners {
    /// The accounts of an identifier: none, one, or two when a name matches several.
    pub accounts: Vec<Arc<Account>>,
    /// The participant of an identifier.
    pub participant: Option<Arc<Participant>>,
    /// Reference data, as old as these or younger.
    pub reference: Arc<Reference>,
}

/// What listing an owner's tokens came to.
#[derive(Debug, Clone)]
pub struct FoundPage {
    /// The ids of the owners whom the identifier names: none, one, or two when a name matches several.
    pub owners: Vec<String>,
    /// The tokens of the only one.
    pub tokens: Vec<FoundToken>,
}

/// What looking for one token came to. It takes the same work whether or not there is one.
#[derive(Debug)]
pub struct Lookup {
    /// The token.
    pub found: Option<FoundToken>,
    /// Reference data of that moment or younger.
    pub reference: Arc<Reference>,
}

/// The owners of a token, shared where several tokens have the same.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// The account, when there is one and it was asked for.
    pub accounts_receivable: Option<Arc<Account>>,
    /// The member, when there is one and it was asked for.
    pub rewards_participant: Option<Arc<Participant>>,
}

/// An accounts receivable with its owner.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account.
    pub record: AccountsReceivable,
    /// The contact information of [`AccountsReceivable::account_owner`].
    pub account_owner: Option<ContactInformation>,
}

/// A rewards participant with its account.
#[derive(Debug, Clone)]
pub struct Participant {
    /// The participant.
    pub record: RewardsParticipant,
    /// The account of [`RewardsParticipant::accounts_receivable`].
    pub accounts_receivable: Option<Arc<Account>>,
}

/// One owner, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKey<'a> {
    /// An accounts receivable.
    AccountsReceivable(&'a str),
    /// A rewards participant.
    RewardsParticipant(&'a str),
}

/// A page of an owner's tokens, in ascending id (byte order).
#[derive(Debug, Clone)]
pub struct TokenPage<'a> {
    /// Whose.
    pub owner: &'a OwnerIdentifier,
    /// Only of this classification.
    pub classification: Option<&'a str>,
    /// Only ids after this one.
    pub after: Option<&'a str>,
    /// Skip so many.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
}

/// The last number of a sequence: numbers have ten digits.
pub const LAST_NUMBER: i64 = 9_999_999_999;

/// The numbers that an organisation hands out. Gaps are allowed, duplicates never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sequence {
    /// Numbers of tokens.
    TokenNumber,
    /// Authentication codes under AUTO_NUMBER.
    AuthenticationCode,
    /// Identifiers under AUTO_NUMBER.
    Identifier,
}

impl Sequence {
    /// The name under which it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenNumber => "token_number",
            Self::AuthenticationCode => "authentication_code",
            Self::Identifier => "identifier",
        }
    }
}

/// Reads, each of which sees one committed state, and the beginning of writes.
pub trait Store: LedgerStore {
    /// A transaction.
    type Unit: UnitOfWork;

    /// Begins a unit of work. Dropped without commit, it leaves nothing behind. Whoever holds one calls nothing else
    /// that writes, such as [`Self::take_numbers`]: where there is one writer, it would wait for itself.
    fn begin(&self) -> impl Future<Output = StoreResult<Self::Unit>> + Send;

    /// The organisation's current reference data; never older than what was committed before the call.
    fn reference(&self, organisation: OrganisationKey) -> impl Future<Output = StoreResult<Arc<Reference>>> + Send;

    /// The token of a key: as it is presented, else in its normalised form ([`crate::text::nfc`]).
    fn find_token(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        load: Load,
    ) -> impl Future<Output = StoreResult<Lookup>> + Send;

    /// A page of an owner's tokens, of one moment with the owner itself.
    fn list_tokens(
        &self,
        organisation: OrganisationKey,
        page: TokenPage<'_>,
        load: Load,
    ) -> impl Future<Output = StoreResult<FoundPage>> + Send;

    /// Tokens without an existing owner, in ascending id. A terminated owner does not exist.
    fn not_associated(
        &self,
        organisation: OrganisationKey,
        state: Option<LifeCycleState>,
        limit: u32,
        load: Load,
    ) -> impl Future<Output = StoreResult<Vec<FoundToken>>> + Send;

    /// What a new token refers to, all of one moment where the database can say that in one statement.
    fn find_owners(
        &self,
        organisation: OrganisationKey,
        account: Option<&AccountsReceivableIdentifier>,
        participant: Option<&RewardsParticipantIdentifier>,
    ) -> impl Future<Output = StoreResult<FoundOwners>> + Send;

    /// Writes changes where the guard still holds, in one statement, and commits at once. `None`: it did not hold,
    /// nothing was written. Without a stamp `log_information` stays as it is.
    fn update_token(
        &self,
        organisation: OrganisationKey,
        id: &str,
        guard: &Guard,
        changes: &TokenChanges,
        updated: Option<&Stamp>,
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
    /// [`LAST_NUMBER`]. Committed at once. For a sequence that has met a number which came in past it.
    fn realign_sequence(
        &self,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> impl Future<Output = StoreResult<()>> + Send;
}

/// A transaction. Commit consumes it; a drop rolls back.
pub trait UnitOfWork: Send + 'static {
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
