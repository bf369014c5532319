//! What lets a user log in.

use crate::model::secret::PassCodeHash;
use crate::model::session::Permissions;

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
