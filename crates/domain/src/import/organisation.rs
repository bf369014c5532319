//! The settings of the organisation that is imported into.

use super::{Batch, Object, merge};
use crate::Reason;
use crate::model::directory::Organisation;

impl Batch<'_> {
    /// Merges a record into the settings of the organisation. A record may repeat the id and the name of the
    /// organisation, but changes neither. The error for a record that names another organisation does not reveal
    /// whether that one exists.
    pub(super) fn upsert_organisation(&mut self, mut object: Object, path: &str) -> Option<(bool, String)> {
        object.retain(|_, value| !value.is_null());
        for (name, own) in [("id", &self.organisation.id), ("name", &self.organisation.name)] {
            if object.remove(name).is_some_and(|value| value.as_str() != Some(own)) {
                let text = format!("is not that of {}, into which the records are imported", self.organisation.name);
                self.violations.add(Reason::InvalidFieldValue, format!("{path}.{name}"), text);
            }
        }
        if !self.violations.is_empty() {
            return None;
        }
        let current = self.pending_organisation.as_ref().unwrap_or(&self.organisation);
        let merged = merge::merge(current, object, path, self.context.time_zone);
        let organisation = merged.map_err(|found| self.violations.extend(found)).ok()?;
        self.guard_settings(&organisation, path);
        if organisation.definition != self.organisation.definition {
            let limit = self.context.max_guess_chance;
            organisation.definition.check(limit, &format!("{path}.definition"), &mut self.violations);
        }
        let prefix = &organisation.number_prefix;
        let fits = |c: char| c.is_alphabetic() || c.is_ascii_punctuation();
        let changed = *prefix != self.organisation.number_prefix;
        if changed && (prefix.chars().count() > 16 || !prefix.chars().all(fits)) {
            let text = "must be at most 16 letters and punctuation marks";
            self.violations.add(Reason::InvalidFieldValue, format!("{path}.number_prefix"), text);
        }
        if !self.violations.is_empty() {
            return None;
        }
        let id = organisation.id.clone();
        self.pending_organisation = (organisation != self.organisation).then_some(organisation);
        Some((true, id))
    }

    /// Requires an administrator for the settings that decide how hard secrets are to guess (policies), which numbers
    /// follow (prefixes), and what answers show (legacy compatibility).
    fn guard_settings(&mut self, after: &Organisation, path: &str) {
        let before = &self.organisation;
        for (name, changed) in [
            ("definition", after.definition != before.definition),
            ("number_prefix", after.number_prefix != before.number_prefix),
            ("legacy_compatibility", after.legacy_compatibility != before.legacy_compatibility),
        ] {
            if changed {
                self.require_admin(format!("{path}.{name}"));
            }
        }
    }
}
