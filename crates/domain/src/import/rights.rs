//! Permissions of an import: an import gives no right that its caller does not hold.

use serde_json::Value;

use super::new_numbers::is_unnumbered;
use super::{Batch, Kind, Object, Record};
use crate::model::directory::User;
use crate::model::session::{Caller, Permission, Permissions};
use crate::ports::store::Credential;
use crate::{Error, Reason, Result};

/// Members of a user that only an administrator may name, with any value. A password and its hash are secrets, so the
/// outcome for other callers must not depend on them.
pub(super) const ADMIN_MEMBERS: [&str; 3] = ["password", "password_hash", "permissions"];

/// Refuses a record for which the caller lacks a permission: `admin` for a user record with a password or permissions,
/// `access_tokens.lookup` for a record that names an access token by its identifier alone. Called before anything is
/// looked up, and before the secret of the record is hashed.
pub(crate) fn check_record(caller: &Caller, record: &Record) -> Result<()> {
    let lookup = Permission::AccessTokensLookup;
    if names_by_identifier(record) && !caller.permissions.contains(lookup) {
        let text = format!("needs the permission {} when nothing else names the access token", lookup.name());
        let error = Error::field(Reason::PermissionDenied, "access_token.identifier", text);
        return Err(error.with("permission", lookup.name()));
    }
    if record.kind != Kind::User || caller.permissions.contains(Permission::Admin) {
        return Ok(());
    }
    match ADMIN_MEMBERS.into_iter().find(|name| record.object.contains_key(*name)) {
        None => Ok(()),
        Some(name) => {
            let error = Error::field(Reason::PermissionDenied, format!("user.{name}"), needs_admin());
            Err(error.with("permission", Permission::Admin.name()))
        }
    }
}

/// Returns whether only the identifier names the access token of a record.
fn names_by_identifier(record: &Record) -> bool {
    let names = |name: &str| record.object.get(name).is_some_and(Value::is_string);
    record.kind == Kind::AccessToken
        && is_unnumbered(&record.object)
        && !names("authentication_code")
        && names("identifier")
}

fn needs_admin() -> String {
    format!("needs the permission {}", Permission::Admin.name())
}

impl Batch<'_> {
    /// Adds a violation when the caller is not an administrator. Returns whether the caller is one.
    pub(super) fn require_admin(&mut self, field: String) -> bool {
        let admin = self.rights().contains(Permission::Admin);
        if !admin {
            self.violations.add(Reason::PermissionDenied, field, needs_admin());
        }
        admin
    }

    /// Adds a violation when the caller may not change the credential of this user. The caller must be an administrator
    /// and hold every permission that the user has, because it could set the password and log in as the user.
    pub(super) fn require_control(&mut self, before: Option<&Credential>, field: String) -> bool {
        let has = before.map(|credential| credential.permissions).unwrap_or_default();
        self.require_admin(field.clone()) && self.require_permissions(has, field, "the user has")
    }

    /// Adds a violation when the caller gives permissions that it does not hold.
    pub(super) fn require_held(&mut self, given: Permissions, field: String) {
        self.require_permissions(given, field, "gives");
    }

    /// Adds a violation when the caller does not hold all of these permissions. Returns whether it does.
    fn require_permissions(&mut self, permissions: Permissions, field: String, what: &str) -> bool {
        let beyond = permissions.without(self.rights());
        if !beyond.is_empty() {
            let text = format!("{what} permissions that the caller does not hold: {beyond}");
            self.violations.add(Reason::PermissionDenied, field, text);
        }
        beyond.is_empty()
    }

    /// Checks the name and the email address of a user record. Only administrators change those of an administrator. A
    /// saved answer that embeds the user may contain older ones, which are ignored.
    pub(super) fn guard_person(&mut self, object: &mut Object, embedded: bool, path: &str) {
        if self.rights().contains(Permission::Admin) {
            return;
        }
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let id = text("id").map(str::to_owned).or_else(|| text("username").and_then(|name| self.users.find(name)));
        let Some(id) = id else { return };
        if !self.credential_of(&id).is_some_and(|credential| credential.permissions.contains(Permission::Admin)) {
            return;
        }
        let User { person_name, email, .. } = self.users.get(&id).cloned().unwrap_or_default();
        for (name, known) in [("person_name", person_name), ("email", email)] {
            if embedded {
                object.remove(name);
            } else if object.get(name).is_some_and(|value| value.as_str() != known.as_deref()) {
                self.require_admin(format!("{path}.{name}"));
            }
        }
    }

    /// Checks the user name of a user record whose id is known. The name of a user who can log in is changed by an
    /// administrator only, and never by an embedded user, since saved answers embed users with the names that they had
    /// at that time.
    pub(super) fn guard_username(&mut self, object: &mut Object, embedded: bool, path: &str) {
        let Some(id) = object.get("id").and_then(Value::as_str) else { return };
        let Some(credential) = self.credential_of(id).cloned() else { return };
        if embedded {
            object.remove("username");
            return;
        }
        let Some(name) = object.get("username") else { return };
        let known = self.users.get(id).and_then(|user| user.username.clone());
        if name.is_null() && known.is_some() && credential.password.is_some() {
            let text = "cannot be removed from a user that logs in with a password";
            self.violations.add(Reason::InvalidFieldValue, format!("{path}.username"), text);
        }
        if known.as_deref() != name.as_str() {
            self.require_control(Some(&credential), format!("{path}.username"));
        }
    }
}
