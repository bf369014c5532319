//! Credentials of users.

use crate::model::secret::PassCodeHash;
use crate::model::session::Permissions;

/// The password and the rights with which a user logs in.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// Id of the user.
    pub user: String,
    /// Hash of the password. A user without one cannot log in with a password.
    pub password: Option<PassCodeHash>,
    /// Permissions of the user.
    pub permissions: Permissions,
    /// Id of the unit of a login that names no unit.
    pub default_unit: Option<String>,
}
