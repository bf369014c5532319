//! The ports to the database. Lookups return `Option`: the use case decides what is an error.

use std::future::Future;
use std::sync::Arc;

use crate::access_token::{AccessToken, Guard, Stamp, TokenChanges};
use crate::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Industry, IndustrySector,
    Organisation, RewardsParticipant, Unit, User,
};
use crate::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier, TokenKey};
use crate::life_cycle::LifeCycleState;
use crate::reference::Reference;
use crate::secret::{CodeHash, PassCodeHash};
use crate::session::{OrganisationKey, Permissions};
use crate::time::Timestamp;
use crate::{Error, Reason};

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique index refused the write.
    #[error("duplicate {0:?}")]
    Duplicate(Unique),
    /// The database is away, or did not answer in time. Nothing was written.
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

/// A token and the owners that were asked for.
#[derive(Debug, Clone)]
pub struct FoundToken {
    /// The token.
    pub token: AccessToken,
    /// Its owners.
    pub owners: Owners,
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
    pub owner: OwnerKey<'a>,
    /// Only of this classification.
    pub classification: Option<&'a str>,
    /// Only ids after this one.
    pub after: Option<&'a str>,
    /// Skip so many.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
}

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
pub trait Store: Send + Sync + 'static {
    /// A transaction.
    type Unit: UnitOfWork;

    /// Begins a unit of work. Dropped without commit, it leaves nothing behind.
    fn begin(&self) -> impl Future<Output = StoreResult<Self::Unit>> + Send;

    /// The organisation's current reference data; never older than what was committed before the call.
    fn reference(&self, organisation: OrganisationKey) -> impl Future<Output = StoreResult<Arc<Reference>>> + Send;

    /// The token of a key.
    fn find_token(
        &self,
        organisation: OrganisationKey,
        key: TokenKey<'_>,
        load: Load,
    ) -> impl Future<Output = StoreResult<Option<FoundToken>>> + Send;

    /// A page of an owner's tokens.
    fn list_tokens(
        &self,
        organisation: OrganisationKey,
        page: TokenPage<'_>,
        load: Load,
    ) -> impl Future<Output = StoreResult<Vec<FoundToken>>> + Send;

    /// Tokens without an existing owner, in ascending id. A terminated owner does not exist.
    fn not_associated(
        &self,
        organisation: OrganisationKey,
        state: Option<LifeCycleState>,
        limit: u32,
        load: Load,
    ) -> impl Future<Output = StoreResult<Vec<FoundToken>>> + Send;

    /// The accounts of an identifier: none, one, or two when a name matches several.
    fn find_accounts_receivable(
        &self,
        organisation: OrganisationKey,
        identifier: &AccountsReceivableIdentifier,
    ) -> impl Future<Output = StoreResult<Vec<Account>>> + Send;

    /// The participant of an identifier.
    fn find_rewards_participant(
        &self,
        organisation: OrganisationKey,
        identifier: &RewardsParticipantIdentifier,
    ) -> impl Future<Output = StoreResult<Option<Participant>>> + Send;

    /// Takes `count` numbers of a sequence and answers the first. Committed at once, whatever becomes of the caller.
    fn take_numbers(
        &self,
        organisation: OrganisationKey,
        sequence: Sequence,
        count: u32,
    ) -> impl Future<Output = StoreResult<i64>> + Send;
}

/// A transaction. Commit consumes it; a drop rolls back.
pub trait UnitOfWork: Send + 'static {
    /// Writes a new token.
    fn insert_token(
        &mut self,
        organisation: OrganisationKey,
        token: &AccessToken,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Writes changes where the guard still holds, in one statement. `None`: it did not hold, nothing was written.
    fn update_token(
        &mut self,
        organisation: OrganisationKey,
        id: &str,
        guard: &Guard,
        changes: &TokenChanges,
        updated: &Stamp,
    ) -> impl Future<Output = StoreResult<Option<AccessToken>>> + Send;

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

    /// Everything stored that a batch of records may touch.
    fn load_import(
        &mut self,
        organisation: OrganisationKey,
        keys: &ImportKeys,
    ) -> impl Future<Output = StoreResult<ImportRows>> + Send;

    /// Writes a batch, raises the version of the reference data if it changed, and raises the token number sequence
    /// above every number that has the organisation's prefix.
    fn save_import(
        &mut self,
        organisation: OrganisationKey,
        changes: &ImportChanges,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Makes it durable. Only then may the caller be told.
    fn commit(self) -> impl Future<Output = StoreResult<()>> + Send;
}

/// What a batch of records names.
#[derive(Debug, Clone, Default)]
pub struct ImportKeys {
    /// Contact information, by id.
    pub contacts: Vec<String>,
    /// Users whose credentials are needed, by id.
    pub credentials: Vec<String>,
    /// Accounts, by id.
    pub account_ids: Vec<String>,
    /// Accounts, by number.
    pub account_numbers: Vec<String>,
    /// Participants, by id.
    pub participant_ids: Vec<String>,
    /// Participants, by number.
    pub participant_numbers: Vec<String>,
    /// Tokens, by id.
    pub token_ids: Vec<String>,
    /// Tokens, by number.
    pub token_numbers: Vec<String>,
    /// Tokens, by authentication code.
    pub authentication_codes: Vec<String>,
    /// Tokens, by identifier.
    pub identifiers: Vec<String>,
}

impl ImportKeys {
    /// Drops what cannot be stored under any key, so that it never reaches a database.
    pub fn keep_storable(&mut self) {
        let lists = [
            &mut self.contacts,
            &mut self.credentials,
            &mut self.account_ids,
            &mut self.account_numbers,
            &mut self.participant_ids,
            &mut self.participant_numbers,
            &mut self.token_ids,
            &mut self.token_numbers,
            &mut self.authentication_codes,
            &mut self.identifiers,
        ];
        for list in lists {
            list.retain(|key| crate::text::code(key).is_ok());
            list.sort_unstable();
            list.dedup();
        }
    }
}

/// What is stored of it.
#[derive(Debug, Clone, Default)]
pub struct ImportRows {
    /// Contact information.
    pub contacts: Vec<ContactInformation>,
    /// Credentials.
    pub credentials: Vec<Credential>,
    /// Accounts.
    pub accounts: Vec<AccountsReceivable>,
    /// Participants.
    pub participants: Vec<RewardsParticipant>,
    /// Tokens, each once.
    pub tokens: Vec<AccessToken>,
}

/// What a batch writes: whole rows, inserted or replaced by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportChanges {
    /// The organisation's own settings (never its name's owner).
    pub organisation: Option<Organisation>,
    /// Units.
    pub units: Vec<Unit>,
    /// Business units.
    pub business_units: Vec<BusinessUnit>,
    /// Users.
    pub users: Vec<User>,
    /// Credentials.
    pub credentials: Vec<Credential>,
    /// Countries.
    pub countries: Vec<Country>,
    /// Industries.
    pub industries: Vec<Industry>,
    /// Industry sectors.
    pub industry_sectors: Vec<IndustrySector>,
    /// Classifications.
    pub classifications: Vec<Classification>,
    /// Contact information.
    pub contacts: Vec<ContactInformation>,
    /// Accounts.
    pub accounts: Vec<AccountsReceivable>,
    /// Participants.
    pub participants: Vec<RewardsParticipant>,
    /// Ids of tokens whose rows go because the same token comes again under its own id.
    pub removed_tokens: Vec<String>,
    /// Tokens.
    pub tokens: Vec<AccessToken>,
}

impl ImportChanges {
    /// Does it touch what is kept in memory as reference data?
    pub fn touches_reference(&self) -> bool {
        self.organisation.is_some()
            || !(self.units.is_empty()
                && self.business_units.is_empty()
                && self.users.is_empty()
                && self.countries.is_empty()
                && self.industries.is_empty()
                && self.industry_sectors.is_empty()
                && self.classifications.is_empty())
    }
}

/// What lets a user log in.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// The user's id.
    pub user: String,
    /// The hash of the password; without one the user cannot log in.
    pub password: Option<PassCodeHash>,
    /// What the user may do.
    pub permissions: Permissions,
    /// The unit of a login that names none, by id.
    pub default_unit: Option<String>,
}

/// A key with which a service calls. Its user carries the permissions.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The public part of the key.
    pub id: String,
    /// Whose.
    pub organisation: OrganisationKey,
    /// The technical user that the key stands for.
    pub user: String,
    /// The keyed hash of the secret part.
    pub hash: CodeHash,
}

/// An organisation as sessions and the command line name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganisationRef {
    /// Internal key.
    pub key: OrganisationKey,
    /// Public id.
    pub id: String,
    /// Name.
    pub name: String,
}

/// Organisations, logins, API keys and released sessions.
pub trait AccountStore: Send + Sync + 'static {
    /// The organisation of a name.
    fn organisation_by_name(&self, name: &str) -> impl Future<Output = StoreResult<Option<OrganisationRef>>> + Send;

    /// The organisation of a public id.
    fn organisation_by_id(&self, id: &str) -> impl Future<Output = StoreResult<Option<OrganisationRef>>> + Send;

    /// Creates an organisation unless its name exists; answers the one that has the name.
    fn ensure_organisation(
        &self,
        organisation: &Organisation,
    ) -> impl Future<Output = StoreResult<OrganisationRef>> + Send;

    /// The credential of a user name.
    fn credential_by_username(
        &self,
        organisation: OrganisationKey,
        username: &str,
    ) -> impl Future<Output = StoreResult<Option<Credential>>> + Send;

    /// The credential of a user id.
    fn credential(
        &self,
        organisation: OrganisationKey,
        user: &str,
    ) -> impl Future<Output = StoreResult<Option<Credential>>> + Send;

    /// The API key of a public part.
    fn api_key(&self, id: &str) -> impl Future<Output = StoreResult<Option<ApiKey>>> + Send;

    /// Keeps a new API key.
    fn add_api_key(&self, key: &ApiKey, created: Timestamp) -> impl Future<Output = StoreResult<()>> + Send;

    /// Ends a session. Ending it twice is no error.
    fn release_session(
        &self,
        session: &str,
        released_at: Timestamp,
        expires_at: Timestamp,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Sessions that were released and have not expired by `now`.
    fn released_sessions(&self, now: Timestamp) -> impl Future<Output = StoreResult<Vec<String>>> + Send;

    /// Forgets released sessions that have expired.
    fn forget_released_sessions(&self, now: Timestamp) -> impl Future<Output = StoreResult<()>> + Send;
}
