//! The settings of the organisation that is imported into.

use serde_json::Value;

use super::{Batch, Object, merge};
use crate::Reason;
use crate::error::Violations;

impl Batch<'_> {
    /// Lays a record over the settings. It must be about this organisation, by id or by name.
    pub(super) fn upsert_organisation(
        &mut self,
        mut object: Object,
        path: &str,
        violations: &mut Violations,
    ) -> Option<(bool, String)> {
        let same_id = object.get("id").and_then(Value::as_str) == Some(&self.organisation.id);
        let same_name = object.get("name").is_none_or(|name| name.as_str() == Some(&self.organisation.name));
        if !same_id && !same_name {
            let text = format!("the records are imported into {}", self.organisation.name);
            violations.add(Reason::InvalidFieldValue, format!("{path}.name"), text);
            return None;
        }
        object.retain(|_, value| !value.is_null());
        match merge::merge(&self.organisation, object, path) {
            Ok(organisation) => {
                let before = violations.len();
                if organisation.definition != self.organisation.definition {
                    let limit = self.guess_limit;
                    organisation.definition.check(limit, &format!("{path}.definition"), violations);
                }
                violations.check(&format!("{path}.name"), crate::text::code(&organisation.name));
                let prefix = &organisation.number_prefix;
                if prefix.chars().count() > 16 || prefix.chars().any(|c| c.is_control() || c.is_ascii_digit()) {
                    let text = "must be at most 16 characters, none of them a digit";
                    violations.add(Reason::InvalidFieldValue, format!("{path}.number_prefix"), text);
                }
                if violations.len() > before {
                    return None;
                }
                let id = organisation.id.clone();
                self.organisation_at_hand = (organisation != self.organisation).then_some(organisation);
                Some((true, id))
            }
            Err(found) => {
                violations.extend(found);
                None
            }
        }
    }
}
