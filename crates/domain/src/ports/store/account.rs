//! Organisations, logins, API keys and released sessions.

use chrono::TimeDelta;

use super::error::StoreFuture;
use super::login::LoginStore;
use crate::model::credential::Credential;
use crate::model::directory::Organisation;
use crate::model::secret::{CodeHash, PassCodeHash};
use crate::model::session::{OrganisationKey, Permissions};
use crate::model::time::Timestamp;

/// An enabled user, as authentication needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct UserAccount {
    /// Credential of the user.
    pub credential: Credential,
    /// Time before which all sessions of the user have ended.
    pub sessions_not_before: Option<Timestamp>,
}

/// A session that is to be opened.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Id of the session.
    pub id: &'a str,
    /// Organisation of the user.
    pub organisation: OrganisationKey,
    /// Id of the user.
    pub user: &'a str,
    /// Id of the unit that the session is logged in to.
    pub unit: Option<&'a str>,
    /// Proof of the log-in.
    pub proof: SessionProof<'a>,
    /// Time of the issue, in whole seconds.
    pub issued: Timestamp,
    /// Lifetime of the session.
    pub lifetime: TimeDelta,
    /// Address of the client, where it is known.
    pub address: Option<&'a str>,
}

/// The proof with which a caller logged in. It must still be valid when the session is stored.
#[derive(Debug, Clone, Copy)]
pub enum SessionProof<'a> {
    /// A password, by the hash that it was compared with.
    Password(&'a PassCodeHash),
    /// An API key, by its id.
    ApiKey(&'a str),
}

/// A position in the list of released sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleasedAfter {
    /// After the session with this id. The list is in the order of ids.
    Id(String),
    /// After the session that was released at this time of the database's clock (microseconds since 1970) and has this id. The list is
    /// in the order of times, then of ids.
    Release(i64, String),
}

/// A page of the list of released sessions.
#[derive(Debug, Clone, Default)]
pub struct ReleasedPage {
    /// Time of the read by the clock of the database, in microseconds since 1970.
    pub read_at: i64,
    /// Sessions of the page.
    pub sessions: Vec<ReleasedSession>,
}

/// A session that was released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedSession {
    /// Id of the session.
    pub id: String,
    /// Time of the release by the clock of the database, in microseconds since 1970.
    pub released_at: i64,
    /// Time at which the session would have expired.
    pub expires: Timestamp,
}

/// An API key, with which a service calls.
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

/// The rights of an API key and their end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// The key's own list of permissions. `None`: the permissions of its user. Keys of the previous release have no
    /// list.
    pub permissions: Option<Permissions>,
    /// Id of the unit that the key works for. `None`: the default unit of its user.
    pub unit: Option<String>,
    /// Time from which the key is refused. `None`: the key does not expire.
    pub expires: Option<Timestamp>,
    /// Time at which the key was revoked.
    pub revoked: Option<Timestamp>,
}

impl KeyTerms {
    /// Returns whether the key is valid at `now`.
    pub fn are_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    /// Returns the permissions of a caller with the key: those that both the user has and the key lists.
    pub fn granted(&self, user: Permissions) -> Permissions {
        self.permissions.map_or(user, |own| own.intersection(user))
    }
}

/// The identity of an organisation, as sessions and the command line need it.
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
    /// Returns the organisation with a name.
    fn organisation_by_name(&self, name: &str) -> impl StoreFuture<Option<OrganisationRef>>;

    /// Returns the organisation with a public id.
    fn organisation_by_id(&self, id: &str) -> impl StoreFuture<Option<OrganisationRef>>;

    /// Returns all organisations, in the order of their creation.
    fn organisations(&self) -> impl StoreFuture<Vec<OrganisationRef>>;

    /// Creates an organisation unless its name exists, and returns the organisation with the name.
    fn ensure_organisation(&self, organisation: &Organisation) -> impl StoreFuture<OrganisationRef>;

    /// Renames an organisation. A name that is in use is a duplicate.
    fn rename_organisation(&self, organisation: OrganisationKey, name: &str) -> impl StoreFuture<()>;

    /// Returns the credential of the user with a user name.
    fn credential_by_username(
        &self,
        organisation: OrganisationKey,
        username: &str,
    ) -> impl StoreFuture<Option<Credential>>;

    /// Returns the credential of the user with an id.
    fn credential(&self, organisation: OrganisationKey, user: &str) -> impl StoreFuture<Option<Credential>>;

    /// Returns the enabled user with an id. `None`: there is no such user, it cannot log in, or it is disabled.
    fn account(&self, organisation: OrganisationKey, user: &str) -> impl StoreFuture<Option<UserAccount>>;

    /// Returns the enabled user together with one of its API keys, in one statement. `None` also when the user has no
    /// such key.
    fn account_with_key(
        &self,
        organisation: OrganisationKey,
        user: &str,
        key: &str,
    ) -> impl StoreFuture<Option<(UserAccount, KeyTerms)>>;

    /// Returns the API key with a public part.
    fn api_key(&self, id: &str) -> impl StoreFuture<Option<ApiKey>>;

    /// Stores a new API key. When the key's own list has permissions that its user lacks, the user gets them. The
    /// permissions of the user's other keys stay as they are.
    fn add_api_key(&self, key: &ApiKey, created: Timestamp) -> impl StoreFuture<()>;

    /// Replaces the hash of a key that is not revoked, if it is still `old`. Returns whether it was.
    fn replace_api_key_hash(&self, id: &str, old: &CodeHash, new: &CodeHash) -> impl StoreFuture<bool>;

    /// Records the use of a key, unless a use within the last minute is recorded. `address` is that of the client.
    fn record_key_use(&self, id: &str, used: Timestamp, address: Option<&str>) -> impl StoreFuture<()>;

    /// Stores a session in one statement, if the user is enabled and the proof is still valid at that time. Returns
    /// when it was issued, which is not before the user's sessions may begin, and when it expires: after its lifetime,
    /// or together with its key. `None`: nothing was stored.
    fn open_session(&self, session: &NewSession<'_>) -> impl StoreFuture<Option<(Timestamp, Timestamp)>>;

    /// Ends a session. It is no error to end it twice.
    fn release_session(&self, session: &str, expires: Timestamp) -> impl StoreFuture<()>;

    /// Deletes the rows of released sessions from the table of open sessions.
    fn delete_sessions(&self, sessions: &[(OrganisationKey, String)]) -> impl StoreFuture<()>;

    /// Returns a page of the sessions that were released and have not expired at `now`.
    fn released_sessions(&self, after: &ReleasedAfter, now: Timestamp, limit: u32) -> impl StoreFuture<ReleasedPage>;

    /// Deletes at most `limit` released sessions and `limit` open sessions that have expired. Returns whether there may
    /// be more.
    fn forget_sessions(&self, now: Timestamp, limit: u32) -> impl StoreFuture<bool>;

    /// Returns whether servers of version 0.2.0 or earlier are connected to the database. They read an id where session
    /// tokens of later versions have a name.
    fn has_former_servers(&self) -> impl StoreFuture<bool> {
        std::future::ready(Ok(false))
    }
}
