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
        if has_unusual_username(&record.object) {
            // A check may be about an organisation that does not exist yet.
            let reference = match organisation {
                OrganisationKey::NONE => None,
                organisation => Some(self.store.reference(organisation).await?),
            };
            let is_known = |name: &str| {
                let mut users = reference.iter().flat_map(|reference| reference.users.values());
                users.any(|user| user.username.as_deref() == Some(name))
            };
            normalise_usernames(&mut record.object, &is_known);
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

/// Returns whether a user name at any depth is not normalised.
fn has_unusual_username(object: &Object) -> bool {
    object.iter().any(|(key, value)| match value {
        Value::String(name) => key == "username" && matches!(text::nfc(name), Cow::Owned(_)),
        Value::Object(inner) => has_unusual_username(inner),
        Value::Array(items) => items.iter().filter_map(Value::as_object).any(has_unusual_username),
        _ => false,
    })
}

fn normalise_usernames(object: &mut Object, is_known: &impl Fn(&str) -> bool) {
    for (key, value) in object {
        match value {
            Value::String(name) if key == "username" && !is_known(name) => {
                if let Cow::Owned(normalised) = text::nfc(name) {
                    *name = normalised;
                }
            }
            Value::Object(inner) => normalise_usernames(inner, is_known),
            Value::Array(items) => {
                items
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|inner| normalise_usernames(inner, is_known));
            }
            _ => {}
        }
    }
}
