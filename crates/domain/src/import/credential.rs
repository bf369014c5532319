//! What a user record says about logging in.

use serde_json::Value;

use super::{Batch, Object};
use crate::Reason;
use crate::error::Violations;
use crate::secret::PassCodeHash;
use crate::session::Permissions;
use crate::store::Credential;

/// What a user record says about logging in.
#[derive(Default, PartialEq)]
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
}

impl Batch<'_> {
    pub(super) fn upsert_credential(
        &mut self,
        user: &str,
        part: CredentialPart,
        path: &str,
        violations: &mut Violations,
    ) {
        if part == CredentialPart::default() {
            return;
        }
        let existing = self.credentials.get(user);
        let mut credential = existing.cloned().unwrap_or_else(|| Credential {
            user: user.to_owned(),
            password: None,
            permissions: Permissions::of_an_imported_user(),
            default_unit: None,
        });
        if part.hash.is_some() && part.password_hash.is_some() {
            violations.add(Reason::InvalidFieldValue, format!("{path}.password_hash"), "is given beside a password");
        }
        if let Some(stored) = part.password_hash {
            let stored = stored.as_str().map(PassCodeHash::from_stored).filter(|hash| self.secrets.accepts(hash));
            if stored.is_none() {
                let text = "must be a hash by Argon2, scrypt, PBKDF2 (PHC strings) or bcrypt, within the limits of memory and time";
                violations.add(Reason::InvalidFieldValue, format!("{path}.password_hash"), text);
            }
            credential.password = stored;
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
                    violations.add(Reason::InvalidFieldValue, format!("{path}.permissions"), text);
                }
            }
        }
        if existing != Some(&credential) {
            self.credential_at_hand = Some(credential);
        }
    }
}
