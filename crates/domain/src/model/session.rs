//! Callers: organisation, user, unit and permissions.

use crate::model::access_token::AuditStamp;
use crate::model::named::named;
use crate::model::reference::Reference;
use crate::model::time::Timestamp;
use crate::{Error, Reason, Result};

/// The internal key of an organisation. Every stored row belongs to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganisationKey(pub i32);

impl OrganisationKey {
    /// A key that no organisation has. A lookup with it finds nothing.
    pub const NONE: Self = Self(i32::MIN);
}

named! {
    /// A permission of a user or an API key. An action that no permission allows is denied. The names stand in the contract, in the
    /// database and on the command line.
    Permission {
        /// Show and list access tokens and classifications, explain access tokens, and check pass codes.
        AccessTokensRead = "access_tokens.read",
        /// Create and change access tokens, and consume their secrets.
        AccessTokensWrite = "access_tokens.write",
        /// Name a token by its identifier without the pass code.
        AccessTokensLookup = "access_tokens.lookup",
        /// Receive verification codes, pass codes and one-time passwords, and learn of locks.
        AccessTokensSecrets = "access_tokens.secrets",
        /// Import into the directory.
        DirectoryWrite = "directory.write",
        /// Administrate.
        Admin = "admin",
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    /// Returns the permissions of an imported user that names none: all of `access_tokens.*`, as every user of the
    /// original API had.
    pub fn of_an_imported_user() -> Self {
        [
            Permission::AccessTokensRead,
            Permission::AccessTokensWrite,
            Permission::AccessTokensLookup,
            Permission::AccessTokensSecrets,
        ]
        .into_iter()
        .collect()
    }

    /// Returns all permissions.
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// Returns whether the permission is in the set.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// Returns whether the set contains all permissions of `others`.
    pub fn contains_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Returns the permissions that are in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the members, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |p| self.contains(*p))
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members that are not in the other set.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Reads a stored list. Unknown names are left out: a newer release may have stored them, and this release cannot
    /// allow what it does not know.
    pub fn from_stored(list: &str) -> Self {
        list.split(',').filter_map(|name| Permission::from_name(name.trim())).collect()
    }

    /// Reads a comma-separated list that a caller gives. The error is the first unknown name.
    pub fn parse(list: &str) -> Result<Self, String> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(|name| Permission::from_name(name).ok_or_else(|| name.to_owned())).collect()
    }
}

impl std::fmt::Display for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.iter().map(Permission::name).collect();
        f.write_str(&names.join(","))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, p| set | 1 << p as u8))
    }
}

/// The caller of a use case. It comes from a valid session, a client certificate or the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Organisation of the session. Nothing of another organisation is ever visible.
    pub organisation: OrganisationKey,
    /// User, if the caller is one. The command line is no user.
    pub user: Option<String>,
    /// Unit that the session is logged in to.
    pub unit: Option<String>,
    /// Permissions of the caller.
    pub permissions: Permissions,
}

impl Caller {
    /// Refuses a caller without the permission.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.permissions.contains(permission) {
            return Ok(());
        }
        let message = format!("this call needs the permission {}", permission.name());
        Err(Error::new(Reason::PermissionDenied, message).with("permission", permission.name()))
    }

    /// Returns the audit stamp of a write by this caller, which `log_information` shows.
    pub fn stamp(&self, reference: &Reference, date: Timestamp) -> AuditStamp {
        let unit = self.unit.as_ref().and_then(|id| reference.units.get(id));
        AuditStamp {
            date,
            user: self.user.clone(),
            unit: self.unit.clone(),
            business_unit: unit.and_then(|unit| unit.business_unit.clone()),
        }
    }
}

/// The contents of a signed session token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Id of the session.
    pub id: String,
    /// Public id of the organisation.
    pub organisation: String,
    /// Id of the user.
    pub user: String,
    /// Id of the unit.
    pub unit: Option<String>,
    /// Time at which the session began.
    pub issued_at: Timestamp,
    /// Time from which the session is no longer valid.
    pub expires_at: Timestamp,
    /// Id of the API key that opened the session. The session has the permissions of the key and ends with it.
    pub api_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_round_trip_through_their_names() {
        let set = Permissions::parse("access_tokens.read, directory.write").expect("known names");
        assert_eq!(set.to_string(), "access_tokens.read,directory.write");
        assert_eq!(Permissions::parse("read").expect_err("unknown"), "read");
        assert_eq!(Permissions::parse("").expect("none"), Permissions::default());
        assert_eq!(Permissions::parse(&Permissions::all().to_string()), Ok(Permissions::all()));
    }

    #[test]
    fn stored_lists_of_a_newer_release_are_read() {
        for (stored, known) in [
            ("access_tokens.read,history.read,admin", "access_tokens.read,admin"),
            ("privacy.erase", ""),
            ("", ""),
            (",, directory.write ,ADMIN,admin.", "directory.write"),
        ] {
            assert_eq!(Permissions::from_stored(stored).to_string(), known, "{stored}");
        }
    }

    #[test]
    fn sets_are_compared_member_by_member() {
        let set = |list| Permissions::parse(list).expect("known");
        let (a, b) = (set("access_tokens.read,admin"), set("admin,directory.write"));
        assert_eq!(
            (a.intersection(b), a.without(b), b.without(a)),
            (set("admin"), set("access_tokens.read"), set("directory.write"))
        );
        assert!(a.without(a).is_empty() && !a.is_empty());
    }

    #[test]
    fn deny_by_default() {
        let caller =
            Caller { organisation: OrganisationKey(1), user: None, unit: None, permissions: Permissions::default() };
        for permission in Permission::ALL {
            let error = caller.require(permission).expect_err("denied");
            assert_eq!(error.metadata()["permission"], permission.name());
        }
    }
}
