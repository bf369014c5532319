//! The settings of the organisation that is imported into.

use super::{Batch, Object, merge};
use crate::Reason;
use crate::model::directory::Organisation;
use crate::model::error::Violations;

impl Batch<'_> {
    /// Merges a record into the settings of the organisation. A record may repeat the id and the name of the
    /// organisation, but changes neither. The error for a record that names another organisation does not reveal
    /// whether that one exists.
    pub(super) fn upsert_organisation(
        &mut self,
        mut object: Object,
        path: &str,
        violations: &mut Violations,
    ) -> Option<(bool, String)> {
        object.retain(|_, value| !value.is_null());
        let before = violations.len();
        for (name, own) in [("id", &self.organisation.id), ("name", &self.organisation.name)] {
            if object.remove(name).is_some_and(|value| value.as_str() != Some(own)) {
                let text = format!("is not that of {}, into which the records are imported", self.organisation.name);
                violations.add(Reason::InvalidFieldValue, format!("{path}.{name}"), text);
            }
        }
        if violations.len() > before {
            return None;
        }
        let current = self.pending_organisation.as_ref().unwrap_or(&self.organisation);
        match merge::merge(current, object, path, self.time_zone) {
            Ok(organisation) => {
                self.guard_settings(&organisation, path, violations);
                if organisation.definition != self.organisation.definition {
                    let limit = self.max_guess_chance;
                    organisation.definition.check(limit, &format!("{path}.definition"), violations);
                }
                let prefix = &organisation.number_prefix;
                let fits = |c: char| c.is_alphabetic() || c.is_ascii_punctuation();
                let changed = *prefix != self.organisation.number_prefix;
                if changed && (prefix.chars().count() > 16 || !prefix.chars().all(fits)) {
                    let text = "must be at most 16 letters and punctuation marks";
                    violations.add(Reason::InvalidFieldValue, format!("{path}.number_prefix"), text);
                }
                if violations.len() > before {
                    return None;
                }
                let id = organisation.id.clone();
                self.pending_organisation = (organisation != self.organisation).then_some(organisation);
                Some((true, id))
            }
            Err(found) => {
                violations.extend(found);
                None
            }
        }
    }

    /// Requires an administrator for the settings that decide how hard secrets are to guess (policies), which numbers
    /// follow (prefixes), and what answers show (legacy compatibility).
    fn guard_settings(&self, after: &Organisation, path: &str, violations: &mut Violations) {
        let before = &self.organisation;
        for (name, changed) in [
            ("definition", after.definition != before.definition),
            ("number_prefix", after.number_prefix != before.number_prefix),
            ("legacy_compatibility", after.legacy_compatibility != before.legacy_compatibility),
        ] {
            if changed {
                self.require_admin(format!("{path}.{name}"), violations);
            }
        }
    }
}
