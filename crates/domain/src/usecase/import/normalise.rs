//! The normalised form of codes, identifiers and user names in records.

use std::borrow::Cow;

use serde_json::Value;

use super::Importer;
use crate::Result;
use crate::import::{Kind, Object, Record};
use crate::model::identifier::TokenKey;
use crate::model::session::{Caller, OrganisationKey};
use crate::model::text;
use crate::ports::store::{AccountStore, OwnerJoins, ReadOptions, Store};

impl<S: Store + AccountStore> Importer<S> {
    /// Normalises codes, identifiers and user names of a record. A value that is stored in the presented form, from
    /// before texts were normalised, stays: the record is about that object, and importing a file again changes
    /// nothing.
    pub(super) async fn normalise(&self, caller: &Caller, record: &mut Record) -> Result<()> {
        let organisation = caller.organisation;
        if record.kind == Kind::AccessToken {
            for member in ["authentication_code", "identifier"] {
                let Some(Value::String(value)) = record.object.get_mut(member) else { continue };
                let Cow::Owned(normalised) = text::nfc(value) else { continue };
                if !self.is_token_of(organisation, member, value).await? {
                    *value = normalised;
                }
            }
        }
        let unusual = unusual_usernames(&mut record.object);
        if !unusual.is_empty() {
            // A check may be about an organisation that does not exist yet.
            let reference = match organisation {
                OrganisationKey::NONE => None,
                organisation => Some(self.store.reference(organisation).await?),
            };
            for (name, normalised) in unusual {
                let mut users = reference.iter().flat_map(|reference| reference.users.values());
                if !users.any(|user| user.username.as_ref() == Some(name)) {
                    *name = normalised;
                }
            }
        }
        Ok(())
    }

    /// Returns whether a token has the code or identifier in exactly this form.
    async fn is_token_of(&self, organisation: OrganisationKey, member: &str, value: &str) -> Result<bool> {
        if organisation == OrganisationKey::NONE || text::code(value).is_err() {
            return Ok(false);
        }
        let is_code = member == "authentication_code";
        let key = if is_code { TokenKey::AuthenticationCode(value) } else { TokenKey::Identifier(value) };
        let found = self.store.find_token(organisation, key, OwnerJoins::NONE, ReadOptions::STRONG).await?.found;
        Ok(found.is_some_and(|found| match is_code {
            true => found.token.authentication_code == value,
            false => found.token.identifier.as_deref() == Some(value),
        }))
    }
}

/// Returns the user names at any depth that are not normalised, with their normalised form.
fn unusual_usernames(object: &mut Object) -> Vec<(&mut String, String)> {
    let mut found = Vec::new();
    for (key, value) in object {
        match value {
            Value::String(name) if key == "username" => {
                if let Cow::Owned(normalised) = text::nfc(name) {
                    found.push((name, normalised));
                }
            }
            Value::Object(inner) => found.extend(unusual_usernames(inner)),
            Value::Array(items) => {
                found.extend(items.iter_mut().filter_map(Value::as_object_mut).flat_map(unusual_usernames));
            }
            _ => {}
        }
    }
    found
}
