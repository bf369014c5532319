//! A batch of records, worked through in memory: what is stored, what the batch has changed so far, and what the record
//! at hand changes. A record that fails leaves nothing behind; what remains is written in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::credential::CredentialPart;
use super::entity::Entity;
use super::kept::is_of_the_stored;
use super::new_numbers::NewNumbers;
use super::overlay::{Overlay, Stored};
use super::{
    Administrators, Existing, Kind, Object, Options, Prepared, Record, Tally, Unknown, merge, reference, token,
};
use crate::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Industry, IndustrySector,
    Organisation, RewardsParticipant, Unit, User,
};
use crate::error::Violations;
use crate::guess_budget;
use crate::policy::Policy;
use crate::ports::{Random, Secrets};
use crate::reference::Reference;
use crate::secret::PassCodeHash;
use crate::session::{Permission, Permissions};
use crate::store::{Credential, ImportChanges};
use crate::time::{TimeZone, Timestamp};
use crate::{Reason, Result, code};

/// What became of a record that is all right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its object is new.
    Created,
    /// Its object, or one embedded in it, changed.
    Updated,
    /// Everything was as the record says. A secret that the record carries is written and does not count, whether or not it is
    /// the one that is stored: the outcome of a record says nothing about a secret (ADR 24).
    Unchanged,
    /// An access token was changed here after the record's date, or the record has no date: nothing of the record was written.
    Kept,
}

/// A batch at work.
#[derive(Clone)]
pub struct Batch<'a> {
    pub(super) options: Options,
    /// Whether the record at hand lacks members of an access token.
    pub(super) incomplete: bool,
    pub(super) random: &'a dyn Random,
    pub(super) secrets: &'a dyn Secrets,
    pub(super) now: Timestamp,
    pub(super) by_user: Option<String>,
    pub(super) by_unit: Option<String>,
    pub(super) guess_limit: f64,
    pub(super) rights: Permissions,
    pub(super) time_zone: TimeZone,
    pub(super) organisation: Organisation,
    organisation_changed: bool,
    pub(super) organisation_at_hand: Option<Organisation>,
    pub(super) units: Overlay<'a, Unit>,
    business_units: Overlay<'a, BusinessUnit>,
    pub(super) users: Overlay<'a, User>,
    countries: Overlay<'a, Country>,
    industries: Overlay<'a, Industry>,
    industry_sectors: Overlay<'a, IndustrySector>,
    pub(super) classifications: Overlay<'a, Classification>,
    contacts: Overlay<'a, ContactInformation>,
    pub(super) accounts: Overlay<'a, AccountsReceivable>,
    participants: Overlay<'a, RewardsParticipant>,
    pub(super) administrators: Option<Administrators>,
    pub(super) credentials: HashMap<String, Credential>,
    pub(super) credentials_at_hand: BTreeMap<String, Credential>,
    changed_credentials: BTreeMap<String, Credential>,
    password_changes: BTreeSet<String>,
    first_passwords: BTreeSet<String>,
    pub(super) tokens: token::Tokens,
    pub(super) numbers: NewNumbers,
    tally: Tally,
    pub(super) tally_at_hand: Tally,
    seen: HashSet<(Kind, String)>,
}

impl<'a> Batch<'a> {
    /// A batch over what is stored.
    pub fn new(
        reference: &'a Reference,
        stored: &'a Stored,
        random: &'a dyn Random,
        secrets: &'a dyn Secrets,
        now: Timestamp,
    ) -> Self {
        Self {
            options: Options::default(),
            incomplete: false,
            random,
            secrets,
            now,
            by_user: None,
            by_unit: None,
            guess_limit: guess_budget::DEFAULT_LIMIT,
            rights: Permissions::default(),
            time_zone: TimeZone::UTC,
            organisation: reference.organisation.clone(),
            organisation_changed: false,
            organisation_at_hand: None,
            units: Overlay::new(&reference.units),
            business_units: Overlay::new(&reference.business_units),
            users: Overlay::new(&reference.users),
            countries: Overlay::new(&reference.countries),
            industries: Overlay::new(&reference.industries),
            industry_sectors: Overlay::new(&reference.industry_sectors),
            classifications: Overlay::new(&reference.classifications),
            contacts: Overlay::new(&stored.contacts),
            accounts: Overlay::new(&stored.accounts),
            participants: Overlay::new(&stored.participants),
            administrators: None,
            credentials: stored.credentials.clone(),
            credentials_at_hand: BTreeMap::new(),
            changed_credentials: BTreeMap::new(),
            password_changes: BTreeSet::new(),
            first_passwords: BTreeSet::new(),
            tokens: token::Tokens::new(&reference.organisation.id, stored.tokens.values().cloned()),
            numbers: NewNumbers::default(),
            tally: Tally::default(),
            tally_at_hand: Tally::default(),
            seen: HashSet::new(),
        }
    }

    /// Says who imports, for the log information of tokens that bring none.
    pub fn by(&mut self, user: Option<String>, unit: Option<String>) {
        self.by_user = user;
        self.by_unit = unit;
    }

    /// Says what the import may do. The default is [`Options::default`].
    pub fn options(&mut self, options: impl Into<Options>) {
        self.options = options.into();
        self.tokens.finding.by_derived_id = self.options.existing != Existing::UpdateOnly;
    }

    /// Returns the counts of all records so far that were not refused.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Sets the chance of an attacker above which a policy is refused.
    pub fn refuse_policies_above(&mut self, guess_limit: f64) {
        self.guess_limit = guess_limit;
    }

    /// Sets the time zone of dates without an offset. The default is UTC.
    pub fn dates_in(&mut self, time_zone: TimeZone) {
        self.time_zone = time_zone;
    }

    /// Takes a record in, with everything embedded in it, or leaves everything as it was.
    pub fn add(&mut self, prepared: Prepared) -> Result<(Outcome, String)> {
        let (Record { kind, object, incomplete, ignored_members }, hash) = prepared.into_parts();
        self.incomplete = incomplete;
        let brings_secret = hash.is_some() || brings_hash(&object);
        let mut violations = Violations::default();
        let mark = self.numbers.mark();
        let kept = if kind == Kind::AccessToken { self.kept(&object) } else { None };
        let existed_and_id = self.upsert(kind, object, kind.name(), hash, &mut violations);
        self.seen.clear();
        if let Some(id) = kept.filter(|_| is_of_the_stored(&violations)) {
            self.settle(false);
            self.tally.kept_secrets += u64::from(brings_secret);
            self.numbers.reset(mark);
            return Ok((Outcome::Kept, id));
        }
        let result = violations.into_result();
        self.tally_at_hand.ignored_members += ignored_members as u64;
        self.tally_at_hand.secrets += u64::from(brings_secret);
        let touched = self.settle(result.is_ok());
        if result.is_err() {
            self.numbers.reset(mark);
        }
        result?;
        let (existed, id) = existed_and_id.unwrap_or((true, String::new()));
        let outcome = match (existed, touched) {
            (false, _) => Outcome::Created,
            (true, true) => Outcome::Updated,
            (true, false) => Outcome::Unchanged,
        };
        Ok((outcome, id))
    }

    /// What the batch writes.
    pub fn into_changes(self) -> ImportChanges {
        let token::Changed { tokens, renamed: renamed_tokens, vacated: vacated_tokens } = self.tokens.into_changed();
        ImportChanges {
            organisation: self.organisation_changed.then_some(self.organisation),
            units: self.units.into_changed(),
            business_units: self.business_units.into_changed(),
            users: self.users.into_changed(),
            credentials: self.changed_credentials.into_values().collect(),
            password_changes: self.password_changes.into_iter().map(|user| (user, self.now)).collect(),
            first_passwords: self.first_passwords.into_iter().map(|user| (user, self.now)).collect(),
            countries: self.countries.into_changed(),
            industries: self.industries.into_changed(),
            industry_sectors: self.industry_sectors.into_changed(),
            classifications: self.classifications.into_changed(),
            contacts: self.contacts.into_changed(),
            accounts: self.accounts.into_changed(),
            participants: self.participants.into_changed(),
            renamed_tokens,
            vacated_tokens,
            tokens,
        }
    }

    /// Upserts one object. Answers whether it existed, and its id; `None` after a violation.
    fn upsert(
        &mut self,
        kind: Kind,
        mut object: Object,
        path: &str,
        hash: Option<PassCodeHash>,
        violations: &mut Violations,
    ) -> Option<(bool, String)> {
        self.resolve(kind, &mut object, path, violations)?;
        match kind {
            Kind::Organisation => self.upsert_organisation(object, path, violations),
            Kind::AccessToken => token::upsert(self, object, path, hash, violations),
            Kind::User => {
                let credential = CredentialPart::take_from(&mut object, hash);
                let embedded = path != kind.name();
                self.guard_username(&mut object, embedded, path, violations);
                self.guard_person(&mut object, embedded, path, violations);
                let (existed, id) = self.merge_into(|b| &mut b.users, object, path, violations)?;
                self.upsert_credential(&id, credential, path, violations);
                Some((existed, id))
            }
            Kind::Country => {
                flatten_flag(&mut object);
                self.merge_into(|b| &mut b.countries, object, path, violations)
            }
            Kind::Unit => self.merge_into(|b| &mut b.units, object, path, violations),
            Kind::BusinessUnit => self.merge_into(|b| &mut b.business_units, object, path, violations),
            Kind::Industry => self.merge_into(|b| &mut b.industries, object, path, violations),
            Kind::IndustrySector => self.merge_into(|b| &mut b.industry_sectors, object, path, violations),
            Kind::Classification => self.merge_into(|b| &mut b.classifications, object, path, violations),
            Kind::ContactInformation => self.merge_into(|b| &mut b.contacts, object, path, violations),
            Kind::AccountsReceivable => {
                // An account always has a state.
                object.retain(|key, value| key != "life_cycle_state" || !value.is_null());
                self.merge_into(|b| &mut b.accounts, object, path, violations)
            }
            Kind::RewardsParticipant => self.merge_into(|b| &mut b.participants, object, path, violations),
        }
    }

    /// Puts ids in place of referred and embedded objects; embedded ones are upserted first.
    fn resolve(&mut self, kind: Kind, object: &mut Object, path: &str, violations: &mut Violations) -> Option<()> {
        let mut failed = false;
        for (member, target) in reference::members(kind) {
            let Some(value) = reference::at(object, member) else { continue };
            let field = format!("{path}.{}", member.join("."));
            let Value::Object(embedded) = value.take() else {
                violations.add(Reason::InvalidFieldValue, field, "must be an object");
                failed = true;
                continue;
            };
            match self.refer(*target, embedded, &field, violations) {
                Some(id) => *value = Value::String(id),
                None => failed = true,
            }
        }
        (!failed).then_some(())
    }

    fn refer(&mut self, kind: Kind, mut embedded: Object, field: &str, violations: &mut Violations) -> Option<String> {
        self.find_by_name(kind, &mut embedded, field, violations)?;
        match (embedded.len(), embedded.get("id")) {
            (1, Some(Value::String(id))) => {
                if self.exists(kind, id) {
                    return Some(id.clone());
                }
                let text = format!("refers to a {} that does not exist", kind.name());
                violations.add(Reason::ReferenceNotFound, field, text);
                None
            }
            _ => self.upsert(kind, embedded, field, None, violations).map(|(_, id)| id),
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
        violations: &mut Violations,
    ) -> Option<(bool, String)> {
        let id =
            self.id_of(|batch, key| overlay(batch).find(key), T::KIND, T::NATURAL_KEY, &object, path, violations)?;
        // An object that a record shows twice keeps what it had the first time where the second shows null.
        if !self.seen.insert((T::KIND, id.clone())) {
            merge::drop_nulls(&mut object);
        }
        object.insert("id".to_owned(), Value::String(id.clone()));
        let (guess_limit, time_zone) = (self.guess_limit, self.time_zone);
        let admin = self.rights.contains(Permission::Admin);
        let existing = overlay(self).get(&id).cloned();
        if existing.is_none() && !self.may_create(T::KIND, path) {
            let text = format!("is a {} that does not exist, and this import creates none", T::KIND.name());
            violations.add(Reason::ReferenceNotFound, path, text);
            return None;
        }
        let overlay = overlay(self);
        let before = existing.clone().unwrap_or_else(|| T::new(&id));
        let entity = match merge::merge(&before, object, path, time_zone) {
            Ok(entity) => entity,
            Err(found) => {
                violations.extend(found);
                return None;
            }
        };
        if existing.as_ref() != Some(&entity) {
            if let Some(field) = entity.guarded_change(&before).filter(|_| !admin) {
                violations.add(Reason::PermissionDenied, format!("{path}.{field}"), "needs the permission admin");
            }
            entity.check(guess_limit, path, violations);
        }
        let natural_key = entity.natural_key().filter(|_| T::UNIQUE);
        if let Some(other) = natural_key.and_then(|key| overlay.find(key)).filter(|other| *other != id) {
            let field = format!("{path}.{}", T::NATURAL_KEY.unwrap_or("id"));
            violations.add(Reason::RecordAlreadyExists, field, format!("is the one of {} {other}", T::KIND.name()));
            return None;
        }
        overlay.stage(entity);
        if existing.is_none() && path != T::KIND.name() {
            self.count_created(T::KIND);
        }
        Some((existing.is_some(), id))
    }

    /// Whether the import may create an object of this kind that a record is about, or refers to at this path.
    fn may_create(&self, kind: Kind, path: &str) -> bool {
        let unknown = match kind {
            _ if path == kind.name() => Unknown::Create,
            Kind::AccountsReceivable | Kind::RewardsParticipant => self.options.owners,
            Kind::Classification => self.options.classifications,
            _ => Unknown::Create,
        };
        self.options.existing != Existing::UpdateOnly && unknown == Unknown::Create
    }

    /// The policy that applies to a token: its classification's, else the organisation's definition.
    pub(super) fn policy(&self, classification: Option<&str>) -> &Policy {
        let classification = classification.and_then(|id| self.classifications.get(id));
        classification.and_then(|one| one.policy.as_ref()).unwrap_or(&self.organisation.definition)
    }

    fn count_created(&mut self, kind: Kind) {
        let tally = &mut self.tally_at_hand;
        match kind {
            Kind::AccountsReceivable => tally.accounts_receivable += 1,
            Kind::RewardsParticipant => tally.rewards_participants += 1,
            Kind::Classification => tally.classifications += 1,
            _ => {}
        }
    }

    /// The id of a record: its own, else that of the object with its natural key, else one derived from that key, so
    /// that the same record finds its object again.
    fn id_of(
        &mut self,
        find: impl FnOnce(&mut Self, &str) -> Option<String>,
        kind: Kind,
        natural_key: Option<&str>,
        object: &Object,
        path: &str,
        violations: &mut Violations,
    ) -> Option<String> {
        match object.get("id") {
            Some(Value::String(id)) => {
                let before = violations.len();
                violations.check(&format!("{path}.id"), crate::text::code(id));
                return (violations.len() == before).then(|| id.clone());
            }
            None | Some(Value::Null) => {}
            Some(_) => {
                violations.add(Reason::InvalidFieldValue, format!("{path}.id"), "must be a string");
                return None;
            }
        }
        if let Some(name) = natural_key
            && object.get(name).is_some_and(|value| !value.is_null() && !value.is_string())
        {
            violations.add(Reason::InvalidFieldValue, format!("{path}.{name}"), "must be a string");
            return None;
        }
        let keys = format!("{path}.{}", natural_key.map_or_else(|| "id".to_owned(), |key| format!("id or {key}")));
        let Some(key) = natural_key.and_then(|name| object.get(name)).and_then(Value::as_str) else {
            violations.add(Reason::RequiredFieldMissing, keys, "is required");
            return None;
        };
        if let Some(id) = find(self, key) {
            return Some(id);
        }
        let derived = derived_id(&self.organisation.id, kind, key);
        if kind != Kind::User || self.users.get(&derived).is_none() {
            return Some(derived);
        }
        // A user of another name has the id, because it was renamed: a new user must not come by what that user may do.
        match code::hex_id(self.random) {
            Ok(id) => Some(id),
            Err(_) => {
                violations.add(Reason::Internal, format!("{path}.id"), "cannot be created");
                None
            }
        }
    }

    /// Keeps or forgets what the record at hand changed. Answers whether it changed anything but secrets.
    fn settle(&mut self, keep: bool) -> bool {
        let tally = std::mem::take(&mut self.tally_at_hand);
        if keep {
            self.tally.add(tally);
        }
        let mut touched = false;
        touched |= self.units.settle(keep);
        touched |= self.business_units.settle(keep);
        touched |= self.users.settle(keep);
        touched |= self.countries.settle(keep);
        touched |= self.industries.settle(keep);
        touched |= self.industry_sectors.settle(keep);
        touched |= self.classifications.settle(keep);
        touched |= self.contacts.settle(keep);
        touched |= self.accounts.settle(keep);
        touched |= self.participants.settle(keep);
        touched |= self.tokens.settle(keep);
        for (user, credential) in std::mem::take(&mut self.credentials_at_hand) {
            // The password does not count: see `Outcome::Unchanged`.
            let public = |one: &Credential| (one.permissions, one.default_unit.clone());
            touched |= self.credentials.get(&user).map(public) != Some(public(&credential));
            if keep {
                let before = self.credentials.get(&user).and_then(|before| before.password.as_ref());
                match (before, credential.password.as_ref()) {
                    (None, Some(_)) => {
                        self.first_passwords.insert(user.clone());
                    }
                    (Some(before), after) if after != Some(before) => {
                        self.password_changes.insert(user.clone());
                    }
                    _ => {}
                }
                if let Some(administrators) = &mut self.administrators {
                    administrators.set(&credential);
                }
                self.credentials.insert(user.clone(), credential.clone());
                self.changed_credentials.insert(user, credential);
            }
        }
        if let Some(organisation) = self.organisation_at_hand.take() {
            touched = true;
            if keep {
                self.organisation = organisation;
                self.organisation_changed = true;
            }
        }
        touched
    }
}

/// Whether a record carries the hash of a pass code or of a password.
fn brings_hash(object: &Object) -> bool {
    ["pass_code_hash", "password_hash"].into_iter().any(|name| object.get(name).is_some_and(|value| !value.is_null()))
}

/// The documented flag is an object in an object; it is kept flat.
fn flatten_flag(object: &mut Object) {
    let Some(Value::Object(flag)) = object.get_mut("country_flag") else { return };
    if let Some(Value::Object(file)) = flag.remove("file") {
        flag.extend(file);
    }
}

/// The id of an access token whose record brings a code, but neither id nor number.
pub(crate) fn derived_token_id(organisation: &str, authentication_code: &str) -> String {
    derived_id(organisation, Kind::AccessToken, authentication_code)
}

/// An id for a record that has none, the same whenever the record comes again.
pub(super) fn derived_id(organisation: &str, kind: Kind, natural_key: &str) -> String {
    let digest = Sha256::digest(format!("{organisation}/{}/{natural_key}", kind.name()));
    digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}
