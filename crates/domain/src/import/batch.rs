//! A batch of records, processed in memory: the stored data, the changes of the batch so far, and the pending changes
//! of the current record. A record with an error changes nothing. The changes of the others are written in one
//! transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::administrators::Administrators;
use super::new_numbers::NewNumbers;
use super::options::{Existing, Options, Tally};
use super::overlay::{Overlay, Stored};
use super::record::Kind;
use super::tokens::{ChangedTokens, Tokens};
use crate::Reason;
use crate::model::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Industry, IndustrySector,
    Organisation, RewardsParticipant, Unit, User,
};
use crate::model::error::Violations;
use crate::model::policy::Policy;
use crate::model::reference::Reference;
use crate::model::session::Permissions;
use crate::model::time::{TimeZone, Timestamp};
use crate::policy::guess_budget;
use crate::ports::store::{Credential, ImportChanges};
use crate::ports::{Random, Secrets};

/// A batch of records while it is processed.
#[derive(Clone)]
pub struct Batch<'a> {
    pub(super) options: Options,
    /// Whether the current record lacks members of an access token.
    pub(super) incomplete: bool,
    /// Faults of the current record.
    pub(super) violations: Violations,
    pub(super) random: &'a dyn Random,
    pub(super) secrets: &'a dyn Secrets,
    pub(super) now: Timestamp,
    pub(super) by_user: Option<String>,
    pub(super) by_unit: Option<String>,
    pub(super) max_guess_chance: f64,
    pub(super) rights: Permissions,
    pub(super) time_zone: TimeZone,
    pub(super) organisation: Organisation,
    organisation_changed: bool,
    pub(super) pending_organisation: Option<Organisation>,
    pub(super) units: Overlay<'a, Unit>,
    pub(super) business_units: Overlay<'a, BusinessUnit>,
    pub(super) users: Overlay<'a, User>,
    pub(super) countries: Overlay<'a, Country>,
    pub(super) industries: Overlay<'a, Industry>,
    pub(super) industry_sectors: Overlay<'a, IndustrySector>,
    pub(super) classifications: Overlay<'a, Classification>,
    pub(super) contacts: Overlay<'a, ContactInformation>,
    pub(super) accounts: Overlay<'a, AccountsReceivable>,
    pub(super) participants: Overlay<'a, RewardsParticipant>,
    pub(super) administrators: Option<Administrators>,
    pub(super) credentials: HashMap<String, Credential>,
    pub(super) pending_credentials: BTreeMap<String, Credential>,
    changed_credentials: BTreeMap<String, Credential>,
    password_changes: BTreeSet<String>,
    first_passwords: BTreeSet<String>,
    pub(super) tokens: Tokens,
    pub(super) numbers: NewNumbers,
    pub(super) tally: Tally,
    pub(super) pending_tally: Tally,
    pub(super) seen: HashSet<(Kind, String)>,
}

impl<'a> Batch<'a> {
    /// Returns an empty batch over stored data.
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
            violations: Violations::default(),
            random,
            secrets,
            now,
            by_user: None,
            by_unit: None,
            max_guess_chance: guess_budget::DEFAULT_LIMIT,
            rights: Permissions::default(),
            time_zone: TimeZone::UTC,
            organisation: reference.organisation.clone(),
            organisation_changed: false,
            pending_organisation: None,
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
            pending_credentials: BTreeMap::new(),
            changed_credentials: BTreeMap::new(),
            password_changes: BTreeSet::new(),
            first_passwords: BTreeSet::new(),
            tokens: Tokens::new(&reference.organisation.id, stored.tokens.values().cloned()),
            numbers: NewNumbers::default(),
            tally: Tally::default(),
            pending_tally: Tally::default(),
            seen: HashSet::new(),
        }
    }

    /// Sets the author of the import, for the log information of tokens that have none.
    pub fn set_author(&mut self, user: Option<String>, unit: Option<String>) {
        self.by_user = user;
        self.by_unit = unit;
    }

    /// Sets the options of the import. The default is [`Options::default`].
    pub fn set_options(&mut self, options: impl Into<Options>) {
        self.options = options.into();
        self.tokens.lookup_keys.by_derived_id = self.options.existing != Existing::UpdateOnly;
    }

    /// Returns the counts of all records so far, without the refused ones.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Sets the maximum chance of an attacker that a policy may allow.
    pub fn set_max_guess_chance(&mut self, max_guess_chance: f64) {
        self.max_guess_chance = max_guess_chance;
    }

    /// Sets the time zone of dates without an offset. The default is UTC.
    pub fn set_time_zone(&mut self, time_zone: TimeZone) {
        self.time_zone = time_zone;
    }

    /// Returns the changes that the batch writes.
    pub fn into_changes(self) -> ImportChanges {
        let ChangedTokens { tokens, renamed: renamed_tokens, vacated: vacated_tokens } = self.tokens.into_changed();
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

    /// Adds a fault of the current record. Returns `None`, which is the result of a step that a fault ends.
    pub(super) fn refuse<T>(
        &mut self,
        reason: Reason,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Option<T> {
        self.violations.add(reason, field, description);
        None
    }

    /// Returns the policy that applies to a token: that of its classification, else the definition of the organisation.
    pub(super) fn policy(&self, classification: Option<&str>) -> &Policy {
        let classification = classification.and_then(|id| self.classifications.get(id));
        classification.and_then(|one| one.policy.as_ref()).unwrap_or(&self.organisation.definition)
    }

    /// Ends the current record: commits its pending changes, or rolls them back. Returns whether it changed anything
    /// but secrets.
    pub(super) fn end_record(&mut self, keep: bool) -> bool {
        let tally = std::mem::take(&mut self.pending_tally);
        if keep {
            self.tally.add(tally);
        }
        let mut touched = false;
        touched |= self.units.end_record(keep);
        touched |= self.business_units.end_record(keep);
        touched |= self.users.end_record(keep);
        touched |= self.countries.end_record(keep);
        touched |= self.industries.end_record(keep);
        touched |= self.industry_sectors.end_record(keep);
        touched |= self.classifications.end_record(keep);
        touched |= self.contacts.end_record(keep);
        touched |= self.accounts.end_record(keep);
        touched |= self.participants.end_record(keep);
        touched |= self.tokens.end_record(keep);
        for (user, credential) in std::mem::take(&mut self.pending_credentials) {
            // The password is not compared: see `Outcome::Unchanged`.
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
        if let Some(organisation) = self.pending_organisation.take() {
            touched = true;
            if keep {
                self.organisation = organisation;
                self.organisation_changed = true;
            }
        }
        touched
    }
}

impl Batch<'_> {
    /// Sets the administrators. Without this call the last administrator is not protected.
    pub fn set_administrators(&mut self, administrators: Administrators) {
        self.administrators = Some(administrators);
    }
}
