//! API keys and users, as an administrator sees and changes them.

use super::account::KeyTerms;
use super::error::StoreFuture;
use crate::model::secret::CodeHash;
use crate::model::session::{OrganisationKey, Permissions};
use crate::model::time::Timestamp;

/// An API key as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDetails {
    /// Public part of the key.
    pub id: String,
    /// Id of the technical user.
    pub user: String,
    /// Name of the technical user, which is the label of the key.
    pub name: Option<String>,
    /// Permissions of a call with the key, regardless of expiry and revocation.
    pub permissions: Permissions,
    /// The key's own permissions, its unit and its end.
    pub terms: KeyTerms,
    /// Whether the user of the key is disabled. The key is refused then.
    pub user_disabled: bool,
    /// Time of the creation of the key.
    pub created: Timestamp,
    /// Id of the key that replaces this one.
    pub rotated_to: Option<String>,
    /// Time of the last use of the key, to the minute.
    pub last_used: Option<Timestamp>,
}

/// The result of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// The new key is stored. The old one ends at this time.
    Done(Timestamp),
    /// There is no such key in the organisation.
    Unknown,
    /// The old key is revoked or has expired, so it cannot be replaced.
    Ended,
    /// The old key was replaced before, by the key with this id. Its end is that of the overlap.
    Replaced(String),
}

/// A user that may log in, as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDetails {
    /// The id of the user.
    pub id: String,
    /// The user name.
    pub username: Option<String>,
    /// Permissions of the user.
    pub permissions: Permissions,
    /// Id of the unit of log-ins that name none.
    pub default_unit: Option<String>,
    /// Whether the user has a password. A disabled user keeps it.
    pub has_password: bool,
    /// Time at which the user was disabled.
    pub disabled: Option<Timestamp>,
}

/// The ways in which a user can log in, and whether the user may administrate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginState {
    /// The id of the user.
    pub user: String,
    /// Whether the user has the permission `admin`.
    pub admin: bool,
    /// Whether the user is enabled.
    pub enabled: bool,
    /// Whether the user has a password.
    pub password: bool,
    /// Whether the user has a valid API key that may administrate when the user may.
    pub key: bool,
}

/// The result of disabling a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disabled {
    /// The user is disabled now.
    Done,
    /// The user was disabled before.
    Already,
    /// No user with this name could log in.
    Unknown,
    /// The user is the last enabled one with the permission `admin`.
    LastAdmin,
}

/// The result of a change that may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The item has changed.
    Done,
    /// The item had this state before.
    Already,
    /// There is no such item.
    Unknown,
}

/// Administration of API keys and users. Each method is one transaction, and waits for imports into the same
/// organisation.
pub trait AdministrationStore: Send + Sync + 'static {
    /// Returns at most `limit` API keys of an organisation with an id above `after`, in the order of ids.
    fn api_keys(
        &self,
        organisation: OrganisationKey,
        after: Option<&str>,
        limit: u32,
    ) -> impl StoreFuture<Vec<KeyDetails>>;

    /// Returns at most `limit` users of an organisation with a credential and an id above `after`, in the order of ids.
    fn users(
        &self,
        organisation: OrganisationKey,
        after: Option<&str>,
        limit: u32,
    ) -> impl StoreFuture<Vec<UserDetails>>;

    /// Disables the user with a name, ends its sessions, and moves its password to a column that servers of the
    /// previous release do not read. A user that is disabled already keeps its date.
    ///
    /// Returns `LastAdmin` when the user has the permission `admin`, and no other enabled user with it has a password
    /// or a valid key with it.
    fn disable_user(&self, organisation: OrganisationKey, username: &str, now: Timestamp)
    -> impl StoreFuture<Disabled>;

    /// Enables the user with a name, with the password that it had.
    fn enable_user(&self, organisation: OrganisationKey, username: &str) -> impl StoreFuture<Change>;

    /// Revokes a key and replaces its hash by `no_key`, a hash that no key has, since servers of the previous release
    /// do not read the revocation. The sessions that the key opened end. A key that is revoked already keeps its date.
    fn revoke_api_key(
        &self,
        organisation: OrganisationKey,
        id: &str,
        no_key: &CodeHash,
        now: Timestamp,
    ) -> impl StoreFuture<Change>;

    /// Stores `new` with the user, the permissions, the unit and the expiry of the key `old`, which ends at `ends`, or
    /// earlier if it expires earlier.
    fn rotate_api_key(
        &self,
        organisation: OrganisationKey,
        old: &str,
        new: (&str, &CodeHash),
        now: Timestamp,
        ends: Timestamp,
    ) -> impl StoreFuture<Rotated>;
}
