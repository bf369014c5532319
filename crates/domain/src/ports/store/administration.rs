//! API keys and users as an administrator sees and changes them.

use std::future::Future;

use super::account::KeyTerms;
use super::error::StoreResult;
use crate::model::secret::CodeHash;
use crate::model::session::{OrganisationKey, Permissions};
use crate::model::time::Timestamp;

/// An API key as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDetails {
    /// The public part of the key.
    pub id: String,
    /// The id of the technical user.
    pub user: String,
    /// The name of the technical user, which is the label of the key.
    pub name: Option<String>,
    /// What a call with the key may do, before expiry and revocation are looked at.
    pub permissions: Permissions,
    /// The key's own permissions, its unit and its end.
    pub terms: KeyTerms,
    /// Is the user of the key disabled? Then the key is refused.
    pub user_disabled: bool,
    /// When the key was made.
    pub created: Timestamp,
    /// The key that replaces this one.
    pub rotated_to: Option<String>,
    /// When the key was used last, to the minute.
    pub last_used: Option<Timestamp>,
}

/// What became of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// The new key is stored. The old one ends at this moment.
    Done(Timestamp),
    /// There is no such key in the organisation.
    Unknown,
    /// The old key is revoked or has expired, so it cannot be replaced.
    Ended,
    /// The old key was replaced before, by the key of this id. Its own end is that of the overlap.
    Replaced(String),
}

/// A user that may log in, as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDetails {
    /// The id of the user.
    pub id: String,
    /// The user name.
    pub username: Option<String>,
    /// What the user may do.
    pub permissions: Permissions,
    /// The id of the unit of log-ins that name none.
    pub default_unit: Option<String>,
    /// Does the user have a password? A disabled user keeps it.
    pub has_password: bool,
    /// When the user was disabled.
    pub disabled: Option<Timestamp>,
}

/// How a user can log in, and whether it may administrate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginState {
    /// The id of the user.
    pub user: String,
    /// Does the user have the permission `admin`?
    pub admin: bool,
    /// Is the user enabled?
    pub enabled: bool,
    /// Does the user have a password?
    pub password: bool,
    /// Does the user have a valid API key that may administrate if the user may?
    pub key: bool,
}

/// What became of disabling a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disabled {
    /// The user is disabled now.
    Done,
    /// The user was disabled before.
    Already,
    /// There is no user of this name that could log in.
    Unknown,
    /// The user is the last enabled one with the permission `admin`.
    LastAdmin,
}

/// The result of a change that may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The item has changed.
    Done,
    /// The item was in this state before.
    Already,
    /// There is no such item.
    Unknown,
}

/// Administration of API keys and users. Each method is one transaction, and waits for imports into the same organisation.
pub trait AdministrationStore: Send + Sync + 'static {
    /// The keys of an organisation in the order of their ids, after the id `after`, at most `limit`.
    fn api_keys(
        &self,
        organisation: OrganisationKey,
        after: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = StoreResult<Vec<KeyDetails>>> + Send;

    /// The users of an organisation that have a credential, in the order of their ids, after the id `after`, at most
    /// `limit`.
    fn users(
        &self,
        organisation: OrganisationKey,
        after: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = StoreResult<Vec<UserDetails>>> + Send;

    /// Disables the user of a name, ends its sessions, and moves its password to where servers of the previous release do not
    /// read it. A user that is disabled keeps its date.
    ///
    /// LastAdmin: the user has the permission `admin`, and no other enabled user with it has a password or a valid key with it.
    fn disable_user(
        &self,
        organisation: OrganisationKey,
        username: &str,
        now: Timestamp,
    ) -> impl Future<Output = StoreResult<Disabled>> + Send;

    /// Enables the user of a name, with the password that it had.
    fn enable_user(
        &self,
        organisation: OrganisationKey,
        username: &str,
    ) -> impl Future<Output = StoreResult<Change>> + Send;

    /// Revokes a key and replaces its hash by `no_key`, a hash that no key has: servers of the previous release do not read
    /// the revocation.
    /// The sessions that the key opened end. A key that is revoked keeps its date.
    fn revoke_api_key(
        &self,
        organisation: OrganisationKey,
        id: &str,
        no_key: &CodeHash,
        now: Timestamp,
    ) -> impl Future<Output = StoreResult<Change>> + Send;

    /// Stores `new` with the user, the permissions, the unit and the expiry of the key `old`, which ends at `ends`, or
    /// earlier if it expires earlier.
    fn rotate_api_key(
        &self,
        organisation: OrganisationKey,
        old: &str,
        new: (&str, &CodeHash),
        now: Timestamp,
        ends: Timestamp,
    ) -> impl Future<Output = StoreResult<Rotated>> + Send;
}
