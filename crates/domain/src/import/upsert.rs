//! Applies an object of a record: resolves its references, finds the stored object, and merges the members.

use serde_json::Value;

use super::credential::CredentialPart;
use super::derived_id::derived_id;
use super::entity::Entity;
use super::overlay::Overlay;
use super::{Batch, Existing, Kind, Object, Unknown, merge, reference, token};
use crate::Reason;
use crate::model::secret::PassCodeHash;
use crate::ports::code;

impl<'a> Batch<'a> {
    /// Upserts one object. Returns whether it existed, and its id. `None` after a violation.
    pub(super) fn upsert(
        &mut self,
        kind: Kind,
        mut object: Object,
        path: &str,
        hash: Option<PassCodeHash>,
    ) -> Option<(bool, String)> {
        self.resolve(kind, &mut object, path)?;
        match kind {
            Kind::Organisation => self.upsert_organisation(object, path),
            Kind::AccessToken => token::upsert(self, object, path, hash),
            Kind::User => {
                let credential = CredentialPart::take_from(&mut object, hash);
                let embedded = path != kind.name();
                self.guard_username(&mut object, embedded, path);
                self.guard_person(&mut object, embedded, path);
                let (existed, id) = self.merge_into(|b| &mut b.users, object, path)?;
                self.upsert_credential(&id, credential, path);
                Some((existed, id))
            }
            Kind::Country => {
                flatten_flag(&mut object);
                self.merge_into(|b| &mut b.countries, object, path)
            }
            Kind::Unit => self.merge_into(|b| &mut b.units, object, path),
            Kind::BusinessUnit => self.merge_into(|b| &mut b.business_units, object, path),
            Kind::Industry => self.merge_into(|b| &mut b.industries, object, path),
            Kind::IndustrySector => self.merge_into(|b| &mut b.industry_sectors, object, path),
            Kind::Classification => self.merge_into(|b| &mut b.classifications, object, path),
            Kind::ContactInformation => self.merge_into(|b| &mut b.contacts, object, path),
            Kind::AccountsReceivable => {
                // An account always has a state, so null does not clear it.
                object.retain(|key, value| key != "life_cycle_state" || !value.is_null());
                self.merge_into(|b| &mut b.accounts, object, path)
            }
            Kind::RewardsParticipant => self.merge_into(|b| &mut b.participants, object, path),
        }
    }

    /// Replaces referred and embedded objects by their ids. Embedded ones are upserted first.
    fn resolve(&mut self, kind: Kind, object: &mut Object, path: &str) -> Option<()> {
        let mut failed = false;
        for (member, target) in reference::members(kind) {
            let Some(value) = reference::at(object, member) else { continue };
            let field = format!("{path}.{}", member.join("."));
            let Value::Object(embedded) = value.take() else {
                self.violations.add(Reason::InvalidFieldValue, field, "must be an object");
                failed = true;
                continue;
            };
            match self.refer(*target, embedded, &field) {
                Some(id) => *value = Value::String(id),
                None => failed = true,
            }
        }
        (!failed).then_some(())
    }

    fn refer(&mut self, kind: Kind, mut embedded: Object, field: &str) -> Option<String> {
        self.find_by_name(kind, &mut embedded, field)?;
        match (embedded.len(), embedded.get("id")) {
            (1, Some(Value::String(id))) => {
                if self.exists(kind, id) {
                    return Some(id.clone());
                }
                let text = format!("refers to a {} that does not exist", kind.name());
                self.refuse(Reason::ReferenceNotFound, field, text)
            }
            _ => self.upsert(kind, embedded, field, None).map(|(_, id)| id),
        }
    }

    fn exists(&self, kind: Kind, id: &str) -> bool {
        match kind {
            Kind::Organisation => self.organisation.id == id,
            Kind::Unit => self.units.get(id).is_some(),
            Kind::BusinessUnit => self.business_units.get(id).is_some(),
            Kind::User => self.users.get(id).is_some(),
            Kind::Country => self.countries.get(id).is_some(),
            Kind::Industry => self.industries.get(id).is_some(),
            Kind::IndustrySector => self.industry_sectors.get(id).is_some(),
            Kind::ContactInformation => self.contacts.get(id).is_some(),
            Kind::AccountsReceivable => self.accounts.get(id).is_some(),
            Kind::RewardsParticipant => self.participants.get(id).is_some(),
            Kind::Classification => self.classifications.get(id).is_some(),
            Kind::AccessToken => self.tokens.get(id).is_some(),
        }
    }

    fn merge_into<T: Entity + 'a>(
        &mut self,
        overlay: impl Fn(&mut Self) -> &mut Overlay<'a, T>,
        mut object: Object,
        path: &str,
    ) -> Option<(bool, String)> {
        let id = self.id_of(&overlay, &object, path)?;
        // When a record contains an object twice, null in the second copy does not clear a member of the first.
        if !self.seen.insert((T::KIND, id.clone())) {
            merge::drop_nulls(&mut object);
        }
        object.insert("id".to_owned(), Value::String(id.clone()));
        let existing = overlay(self).get(&id).cloned();
        if existing.is_none() && !self.may_create(T::KIND, path) {
            let text = format!("is a {} that does not exist, and this import creates none", T::KIND.name());
            return self.refuse(Reason::ReferenceNotFound, path, text);
        }
        let before = existing.clone().unwrap_or_else(|| T::new(&id));
        let merged = merge::merge(&before, object, path, self.context.time_zone);
        let entity = merged.map_err(|found| self.violations.extend(found)).ok()?;
        if existing.as_ref() != Some(&entity) {
            if let Some(field) = entity.guarded_change(&before) {
                self.require_admin(format!("{path}.{field}"));
            }
            entity.check(self.context.max_guess_chance, path, &mut self.violations);
        }
        let natural_key = entity.natural_key().filter(|_| T::UNIQUE);
        if let Some(other) = natural_key.and_then(|key| overlay(self).find(key)).filter(|other| *other != id) {
            let field = format!("{path}.{}", T::NATURAL_KEY.unwrap_or("id"));
            let text = format!("is the one of {} {other}", T::KIND.name());
            return self.refuse(Reason::RecordAlreadyExists, field, text);
        }
        overlay(self).set(entity);
        if existing.is_none() && path != T::KIND.name() {
            self.count_created(T::KIND);
        }
        Some((existing.is_some(), id))
    }

    /// Returns whether the import may create an object of this kind at this path of a record.
    fn may_create(&self, kind: Kind, path: &str) -> bool {
        let unknown = match kind {
            _ if path == kind.name() => Unknown::Create,
            Kind::AccountsReceivable | Kind::RewardsParticipant => self.context.options.owners,
            Kind::Classification => self.context.options.classifications,
            _ => Unknown::Create,
        };
        self.context.options.existing != Existing::UpdateOnly && unknown == Unknown::Create
    }

    fn count_created(&mut self, kind: Kind) {
        let tally = &mut self.pending_tally;
        match kind {
            Kind::AccountsReceivable => tally.accounts_receivable += 1,
            Kind::RewardsParticipant => tally.rewards_participants += 1,
            Kind::Classification => tally.classifications += 1,
            _ => {}
        }
    }

    /// Returns the id of the object of a record: its own, else that of the object with its natural key, else one that
    /// is derived from this key, so that the same record finds its object again.
    fn id_of<T: Entity + 'a>(
        &mut self,
        overlay: impl Fn(&mut Self) -> &mut Overlay<'a, T>,
        object: &Object,
        path: &str,
    ) -> Option<String> {
        if let Some(id) = self.string(object, "id", path)? {
            let is_code = self.violations.check(&format!("{path}.id"), crate::model::text::code(id));
            return is_code.then(|| id.to_owned());
        }
        let Some(name) = T::NATURAL_KEY else {
            return self.refuse(Reason::RequiredFieldMissing, format!("{path}.id"), "is required");
        };
        let Some(key) = self.string(object, name, path)? else {
            return self.refuse(Reason::RequiredFieldMissing, format!("{path}.id or {name}"), "is required");
        };
        if let Some(id) = overlay(self).find(key) {
            return Some(id);
        }
        let derived = derived_id(&self.organisation.id, T::KIND, key);
        if T::KIND != Kind::User || self.users.get(&derived).is_none() {
            return Some(derived);
        }
        // The derived id belongs to a user that was renamed. The new user must not get the permissions of that user.
        match code::hex_id(self.context.random) {
            Ok(id) => Some(id),
            Err(_) => self.refuse(Reason::Internal, format!("{path}.id"), "cannot be created"),
        }
    }

    /// Returns the text of a member, if the record has the member and it is not null. The outer `None` is that of a
    /// value that is no string.
    pub(super) fn string<'o>(&mut self, object: &'o Object, name: &str, path: &str) -> Option<Option<&'o str>> {
        match object.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text)),
            Some(_) => self.refuse(Reason::InvalidFieldValue, format!("{path}.{name}"), "must be a string"),
        }
    }
}

/// Flattens the documented flag, which is an object within an object.
fn flatten_flag(object: &mut Object) {
    let Some(Value::Object(flag)) = object.get_mut("country_flag") else { return };
    if let Some(Value::Object(file)) = flag.remove("file") {
        flag.extend(file);
    }
}
