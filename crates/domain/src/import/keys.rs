//! Finds the stored objects that a batch of records may change.

use std::borrow::Borrow;
use std::collections::HashSet;

use serde_json::Value;

use super::derived_id::derived_token_id;
use super::new_numbers::is_unnumbered;
use super::{Kind, Record, naming, reference};
use crate::model::reference::Reference;
use crate::ports::store::ImportKeys;

/// Returns the keys under which the objects of a batch may be stored.
pub fn keys(reference: &Reference, records: impl IntoIterator<Item: Borrow<Record>>) -> ImportKeys {
    let mut keys = ImportKeys::default();
    let mut usernames = HashSet::new();
    for record in records {
        let record: &Record = record.borrow();
        reference::visit(record.kind, &record.object, &mut |kind, object| {
            let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
            match kind {
                Kind::ContactInformation => keys.contacts.extend(text("id")),
                Kind::User => {
                    keys.credentials.extend(text("id"));
                    usernames.extend(text("username"));
                    keys.permissions |= object.contains_key("permissions");
                }
                Kind::AccountsReceivable => {
                    keys.account_ids.extend(text("id"));
                    keys.account_numbers.extend(text("number"));
                    if let Some(name) = naming::name_alone(object) {
                        keys.account_names.push(name.to_owned());
                        keys.account_ids.push(naming::named_account_id(&reference.organisation.id, name));
                    }
                }
                Kind::RewardsParticipant => {
                    keys.participant_ids.extend(text("id"));
                    keys.participant_numbers.extend(text("number"));
                }
                Kind::AccessToken => {
                    keys.token_ids.extend(text("id"));
                    keys.token_numbers.extend(text("number"));
                    keys.authentication_codes.extend(text("authentication_code"));
                    keys.identifiers.extend(text("identifier"));
                    let code = text("authentication_code").filter(|_| is_unnumbered(object));
                    let organisation = &reference.organisation.id;
                    keys.token_ids.extend(code.map(|code| derived_token_id(organisation, &code)));
                }
                _ => {}
            }
        });
    }
    // A record may name its user by the user name alone.
    let named =
        reference.users.values().filter(|user| user.username.as_ref().is_some_and(|name| usernames.contains(name)));
    keys.credentials.extend(named.filter(|_| !usernames.is_empty()).map(|user| user.id.clone()));
    keys
}
