//! The members of a user record that concern logging in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Batch, Object};
use crate::Reason;
use crate::model::secret::PassCodeHash;
use crate::model::session::Permissions;
use crate::ports::HashCost;
use crate::ports::store::Credential;

/// The members of a user record that concern logging in.
pub(super) struct CredentialPart {
    hash: Option<PassCodeHash>,
    password_hash: Option<Value>,
    default_unit: Option<Value>,
    permissions: Option<Value>,
}

impl CredentialPart {
    pub(super) fn take_from(object: &mut Object, hash: Option<PassCodeHash>) -> Self {
        Self {
            hash,
            password_hash: object.remove("password_hash"),
            default_unit: object.remove("default_unit"),
            permissions: object.remove("permissions"),
        }
    }

    /// Returns the given members that only an administrator may name.
    fn guarded(&self) -> Vec<&'static str> {
        let members = [
            ("password", self.hash.is_some()),
            ("password_hash", self.password_hash.is_some()),
            ("permissions", self.permissions.is_some()),
        ];
        members.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }
}

impl Batch<'_> {
    /// Returns the credential of a user after the batch so far.
    pub(super) fn credential_of(&self, user: &str) -> Option<&Credential> {
        self.pending_credentials.get(user).or_else(|| self.credentials.get(user))
    }

    /// Merges the members that concern logging in into the credential of a user. A default unit alone creates no
    /// credential.
    pub(super) fn upsert_credential(&mut self, user: &str, part: CredentialPart, path: &str) {
        let existing = self.credential_of(user).cloned();
        let guarded = part.guarded();
        if guarded.is_empty() && (part.default_unit.is_none() || existing.is_none()) {
            return;
        }
        let mut allowed = true;
        for name in &guarded {
            allowed &= self.require_control(existing.as_ref(), format!("{path}.{name}"));
        }
        if !allowed {
            return;
        }
        let mut credential = existing.clone().unwrap_or_else(|| Credential {
            user: user.to_owned(),
            password: None,
            permissions: Permissions::of_an_imported_user().intersection(self.rights()),
            default_unit: None,
        });
        let carries_secret = part.hash.is_some() || part.password_hash.as_ref().is_some_and(|hash| !hash.is_null());
        self.merge_credential(&mut credential, part, path);
        // A record with a secret is checked and written whether or not the secret is the stored one, so that the result
        // does not reveal which it is.
        if existing.as_ref() == Some(&credential) && !carries_secret {
            return;
        }
        // A caller that may not change the user must not learn its permissions.
        if guarded.is_empty() && !self.require_control(existing.as_ref(), format!("{path}.default_unit")) {
            return;
        }
        self.require_held(credential.permissions, format!("{path}.permissions"));
        self.require_administrator(&credential, path);
        self.pending_credentials.insert(user.to_owned(), credential);
    }

    /// Merges members into a credential.
    fn merge_credential(&mut self, credential: &mut Credential, part: CredentialPart, path: &str) {
        if part.hash.is_some() && part.password_hash.is_some() {
            self.violations.add(
                Reason::InvalidFieldValue,
                format!("{path}.password_hash"),
                "is given beside a password",
            );
        }
        // A null secret never clears a secret.
        if let Some(stored) = part.password_hash.filter(|hash| !hash.is_null()) {
            let hash = stored.as_str().map(PassCodeHash::from_stored).ok_or_else(|| "must be a string".to_owned());
            match hash.and_then(|hash| self.context.secrets.hash_cost(&hash).map(|cost| (hash, cost))) {
                Ok((hash, cost)) => {
                    self.pending_tally.weak_hashes += u64::from(cost == HashCost::Weak);
                    credential.password = Some(hash);
                }
                Err(what) => self.violations.add(Reason::InvalidFieldValue, format!("{path}.password_hash"), what),
            }
        }
        if part.hash.is_some() {
            credential.password = part.hash;
        }
        if let Some(unit) = part.default_unit {
            credential.default_unit = unit.as_str().map(str::to_owned);
        }
        if let Some(list) = part.permissions {
            let none = Vec::new();
            let names: Option<Vec<&str>> = list
                .as_array()
                .or(list.is_null().then_some(&none))
                .map(|items| items.iter().map(|item| item.as_str().unwrap_or("?")).collect());
            match names.ok_or_else(|| "?".to_owned()).and_then(|names| Permissions::parse(&names.join(","))) {
                Ok(permissions) => credential.permissions = permissions,
                Err(_) => {
                    let text = "must be an array of permissions, such as access_tokens.read";
                    self.violations.add(Reason::InvalidFieldValue, format!("{path}.permissions"), text);
                }
            }
        }
    }

    /// Adds a violation when no user could administrate the organisation after the current record.
    fn require_administrator(&mut self, credential: &Credential, path: &str) {
        let Some(administrators) = &self.administrators else { return };
        let mut changed: BTreeMap<_, _> =
            self.pending_credentials.iter().map(|(user, credential)| (user.clone(), credential)).collect();
        changed.insert(credential.user.clone(), credential);
        if administrators.loses_the_last(&credential.user, &changed) {
            let text = "is missing admin, and the user is the last enabled administrator of the organisation who can log in: \
                give another user the permission admin first";
            self.violations.add(Reason::LastAdmin, format!("{path}.permissions"), text);
        }
    }
}
