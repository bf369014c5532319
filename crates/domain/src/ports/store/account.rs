//! Organisations, logins, API keys and released sessions.

use std::future::Future;

use chrono::TimeDelta;

use super::error::StoreResult;
use super::login::LoginStore;
use crate::model::credential::Credential;
use crate::model::directory::Organisation;
use crate::model::secret::{CodeHash, PassCodeHash};
use crate::model::session::{OrganisationKey, Permissions};
use crate::model::time::Timestamp;

/// An enabled user as calls are checked against it.
#[derive(Debug, Clone, PartialEq)]
pub struct UserAccount {
    /// What the user may do.
    pub credential: Credential,
    /// Sessions of the user that were issued before this moment have ended.
    pub sessions_not_before: Option<Timestamp>,
}

/// A session that is to be opened.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// The id of the session.
    pub id: &'a str,
    /// The organisation of the user.
    pub organisation: OrganisationKey,
    /// The id of the user.
    pub user: &'a str,
    /// The id of the unit that the session is logged in to.
    pub unit: Option<&'a str>,
    /// What the caller logged in with.
    pub proof: SessionProof<'a>,
    /// When the session is issued, in whole seconds.
    pub issued: Timestamp,
    /// How long the session lives.
    pub lifetime: TimeDelta,
    /// The address of the client, where it is known.
    pub address: Option<&'a str>,
}

/// What a caller logged in with. It must still count when the session is stored.
#[derive(Debug, Clone, Copy)]
pub enum SessionProof<'a> {
    /// A password: the hash that it was compared with.
    Password(&'a PassCodeHash),
    /// An API key, by its id.
    ApiKey(&'a str),
}

/// A place in the list of released sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleasedAfter {
    /// All sessions whose id comes after this one, in the order of their ids.
    Id(String),
    /// The sessions that were released after this moment of the database's clock, in microseconds since 1970, or at it with
    /// an id that comes after this one; in that order.
    Release(i64, String),
}

/// A page of the list of released sessions.
#[derive(Debug, Clone, Default)]
pub struct ReleasedPage {
    /// The time by the clock of the database, in microseconds since 1970, when the page was read.
    pub read_at: i64,
    /// The sessions.
    pub sessions: Vec<ReleasedSession>,
}

/// A session that was released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedSession {
    /// The id of the session.
    pub id: String,
    /// When it was released, by the clock of the database, in microseconds since 1970.
    pub released_at: i64,
    /// When the session would have expired.
    pub expires: Timestamp,
}

/// A key with which a service calls.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The public part of the key.
    pub id: String,
    /// The organisation of the key.
    pub organisation: OrganisationKey,
    /// The id of the technical user that the key stands for.
    pub user: String,
    /// The keyed hash of the secret part.
    pub hash: CodeHash,
    /// The permissions, the unit and the end of the key.
    pub terms: KeyTerms,
}

/// What a key grants, and until when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// The key's own list of permissions. `None`: those of its user. Keys of the previous release have no list.
    pub permissions: Option<Permissions>,
    /// The id of the unit that the key works for. `None`: the default unit of its user.
    pub unit: Option<String>,
    /// The first moment at which the key is refused. `None`: the key does not expire.
    pub expires: Option<Timestamp>,
    /// When the key was revoked.
    pub revoked: Option<Timestamp>,
}

impl KeyTerms {
    /// Does the key have an effect at `now`?
    pub fn are_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    /// What a caller with the key may do: the permissions that the user has and that are in the key's own list.
    pub fn granted(&self, user: Permissions) -> Permissions {
        self.permissions.map_or(user, |own| own.intersection(user))
    }
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
pub trait AccountStore: LoginStore {
    /// The organisation of a name.
    fn organisation_by_name(&self, name: &str) -> impl Future<Output = StoreResult<Option<OrganisationRef>>> + Send;

    /// The organisation of a public id.
    fn organisation_by_id(&self, id: &str) -> impl Future<Output = StoreResult<Option<OrganisationRef>>> + Send;

    /// Every organisation, in the order in which they came.
    fn organisations(&self) -> impl Future<Output = StoreResult<Vec<OrganisationRef>>> + Send;

    /// Creates an organisation unless its name exists; answers the one that has the name.
    fn ensure_organisation(
        &self,
        organisation: &Organisation,
    ) -> impl Future<Output = StoreResult<OrganisationRef>> + Send;

    /// Gives an organisation another name. A name that is taken is a duplicate.
    fn rename_organisation(
        &self,
        organisation: OrganisationKey,
        name: &str,
    ) -> impl Future<Output = StoreResult<()>> + Send;

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

    /// The enabled user of an id. `None`: there is no such user, it cannot log in, or it is disabled.
    fn account(
        &self,
        organisation: OrganisationKey,
        user: &str,
    ) -> impl Future<Output = StoreResult<Option<UserAccount>>> + Send;

    /// The same with one of the user's API keys, in one statement. `None` also when the user has no such key.
    fn account_with_key(
        &self,
        organisation: OrganisationKey,
        user: &str,
        key: &str,
    ) -> impl Future<Output = StoreResult<Option<(UserAccount, KeyTerms)>>> + Send;

    /// The API key of a public part.
    fn api_key(&self, id: &str) -> impl Future<Output = StoreResult<Option<ApiKey>>> + Send;

    /// Stores a new API key. When the key's own list has permissions that its user lacks, the user gets them; the
    /// permissions of the user's other keys stay as they are.
    fn add_api_key(&self, key: &ApiKey, created: Timestamp) -> impl Future<Output = StoreResult<()>> + Send;

    /// Replaces the hash of a key that is not revoked, if it is still `old`. Answers whether it was.
    fn replace_api_key_hash(
        &self,
        id: &str,
        old: &CodeHash,
        new: &CodeHash,
    ) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Records that a key was used, unless a use within the last minute is recorded. `address` is the client's.
    fn record_key_use(
        &self,
        id: &str,
        used: Timestamp,
        address: Option<&str>,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Stores a session in one statement, if the user is enabled and the proof still counts at that moment. Answers when it was
    /// issued, which is not before the user's sessions may begin, and when it expires: after its lifetime, or when its key
    /// does. `None`: nothing was stored.
    fn open_session(
        &self,
        session: &NewSession<'_>,
    ) -> impl Future<Output = StoreResult<Option<(Timestamp, Timestamp)>>> + Send;

    /// Ends a session. Ending it twice is no error.
    fn release_session(&self, session: &str, expires: Timestamp) -> impl Future<Output = StoreResult<()>> + Send;

    /// Deletes the rows of open sessions that were released.
    fn delete_sessions(&self, sessions: &[(OrganisationKey, String)]) -> impl Future<Output = StoreResult<()>> + Send;

    /// A page of the sessions that were released and have not expired by `now`.
    fn released_sessions(
        &self,
        after: &ReleasedAfter,
        now: Timestamp,
        limit: u32,
    ) -> impl Future<Output = StoreResult<ReleasedPage>> + Send;

    /// Deletes at most `limit` released sessions and `limit` open sessions that have expired. `true`: there may be more.
    fn forget_sessions(&self, now: Timestamp, limit: u32) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Returns whether servers of version 0.2.0 or before are connected to the database. They read ids where session tokens of
    /// later versions have names.
    fn has_former_servers(&self) -> impl Future<Output = StoreResult<bool>> + Send {
        std::future::ready(Ok(false))
    }
}
