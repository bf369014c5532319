//! References without an id or a number: an account by its name, a classification by its alternative code. Neither is
//! unique, so a reference that matches several objects is refused.

use serde_json::Value;

use super::derived_id::derived_id;
use super::{Batch, Kind, Object};
use crate::Reason;

/// Returns the name of an account in an object that has neither the member `id` nor the member `number`. Saved answers
/// have both, at least as null, so that their accounts are never looked up by name.
pub(super) fn name_alone(account: &Object) -> Option<&str> {
    alone(account, "name", ["id", "number"])
}

fn alone<'o>(object: &'o Object, member: &str, keys: [&str; 2]) -> Option<&'o str> {
    let has_key = keys.into_iter().any(|key| object.contains_key(key));
    object.get(member).and_then(Value::as_str).filter(|text| !has_key && !text.is_empty())
}

/// Returns the id of an account that is created because a record refers to it by this name. The derivation contains a
/// control character, which no number does, so the id never equals one that is derived from a number.
pub(super) fn named_account_id(organisation: &str, name: &str) -> String {
    derived_id(organisation, Kind::AccountsReceivable, &format!("\u{1}{name}"))
}

impl Batch<'_> {
    /// Adds the id to an object that refers by a name or an alternative code alone. If no account has the name, the id
    /// is that under which the account is created. Returns `None` after a violation.
    pub(super) fn find_by_name(&mut self, kind: Kind, object: &mut Object, field: &str) -> Option<()> {
        let (member, mut found) = match kind {
            Kind::AccountsReceivable => {
                let Some(name) = name_alone(object) else { return Some(()) };
                let mut found = self.accounts.ids_where(|account| account.name.as_deref() == Some(name));
                if found.is_empty() {
                    let derived = named_account_id(&self.organisation.id, name);
                    if self.accounts.get(&derived).is_some() {
                        // The account was created by this name and renamed since. An old file must not rename it back.
                        object.remove("name");
                    }
                    found.push(derived);
                }
                ("name", found)
            }
            Kind::Classification => {
                let Some(code) = alone(object, "alternative_code", ["id", "name"]) else { return Some(()) };
                let found = self.classifications.ids_where(|one| one.alternative_code.as_deref() == Some(code));
                ("alternative_code", found)
            }
            _ => return Some(()),
        };
        let field = format!("{field}.{member}");
        match (found.pop(), found.is_empty()) {
            (Some(id), true) => {
                object.insert("id".to_owned(), Value::String(id));
                Some(())
            }
            (Some(_), false) => {
                let text = format!("is that of several {}: name the id or number of one", kind.name());
                self.refuse(Reason::AmbiguousName, field, text)
            }
            (None, _) => {
                let text = format!("is that of no {}, and none is created without a name", kind.name());
                self.refuse(Reason::ReferenceNotFound, field, text)
            }
        }
    }
}
