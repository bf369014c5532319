//! Organisations, logins, API keys and released sessions.

use std::future::Future;

use super::{LoginStore, StoreResult};
use crate::directory::Organisation;
use crate::secret::{CodeHash, PassCodeHash};
use crate::session::{OrganisationKey, Permissions};
use crate::time::Timestamp;

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
