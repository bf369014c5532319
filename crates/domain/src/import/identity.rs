//! Finds the id of the access token of a record.

use serde_json::Value;

use super::batch::Batch;
use super::derived_id::derived_id;
use super::options::Existing;
use super::record::{Kind, Object};
use crate::Reason;
use crate::model::access_token::AccessToken;
use crate::model::session::Permission;

/// Returns the id of the token of a record: that of the found token, else that of the new token.
pub(super) fn id_of(batch: &mut Batch<'_>, object: &Object, found: Option<&AccessToken>, path: &str) -> Option<String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    batch.string(object, "id", path)?;
    let organisation = &batch.organisation.id;
    let derived =
        text("number").or(text("authentication_code")).map(|key| derived_id(organisation, Kind::AccessToken, key));
    match (text("id"), found) {
        (Some(id), Some(found)) if found.id != id && derived.as_ref() != Some(&found.id) => {
            let field = format!("{path}.number");
            return batch.refuse(Reason::NumberAlreadyExists, field, "belongs to an access token with another id");
        }
        (Some(id), Some(found)) => {
            let needed = Permission::AccessTokensSecrets;
            // The counts of attempts move with the token. A guess that is compared at the same moment may be counted
            // for the old id, so the caller needs the permission that also allows to reset the counts.
            if found.id != id && !batch.rights().contains(needed) {
                let text = format!("needs the permission {} to give the access token another id", needed.name());
                return batch.refuse(Reason::PermissionDenied, format!("{path}.id"), text);
            }
            return Some(id.to_owned());
        }
        (None, Some(found)) => return Some(found.id.clone()),
        (_, None) => {}
    }
    let names = ["id", "number", "authentication_code", "identifier"];
    let Some(name) = names.into_iter().find(|name| text(name).is_some()) else {
        let field = format!("{path}.id, number, authentication_code or identifier");
        return batch.refuse(Reason::RequiredFieldMissing, field, "is required");
    };
    if batch.context.options.existing == Existing::UpdateOnly {
        let text = "no access token has it, and this import creates none";
        return batch.refuse(Reason::AccessTokenNotFound, format!("{path}.{name}"), text);
    }
    if name == "identifier" {
        let text = "no access token has it, and a record without an authentication code creates none";
        return batch.refuse(Reason::AccessTokenNotFound, format!("{path}.{name}"), text);
    }
    text("id").map(str::to_owned).or(derived)
}
