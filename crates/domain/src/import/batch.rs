//! A batch of records, processed in memory: the stored data, the changes of the batch so far, and the pending changes
//! of the current record. A record with an error changes nothing. The changes of the others are written in one
//! transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::administrators::Administrators;
use super::new_numbers::NewNumbers;
use super::options::{Existing, Options, Tally};
use super::overlay::{Overlay, Stored};
use super::record::Kind;
use super::tokens::{LookupKeys, Tokens};
use crate::Reason;
use crate::model::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Industry, IndustrySector,
    Organisation, RewardsParticipant, Unit, User,
};
use crate::model::error::Violations;
use crate::model::policy::Policy;
use crate::model::reference::Reference;
use crate::model::session::{Caller, Permission, Permissions};
use crate::model::time::{TimeZone, Timestamp};
use crate::ports::store::{Credential, ImportChanges};
use crate::ports::{Random, Secrets};

/// Sources, limits and author with which the records of a batch are processed.
#[derive(Clone, Copy)]
pub struct BatchContext<'a> {
    /// Source of ids and codes.
    pub random: &'a dyn Random,
    /// Keys of hashes and sealed codes.
    pub secrets: &'a dyn Secrets,
    /// Time of the import.
    pub now: Timestamp,
    /// Author of the import, for the log information of tokens that have none. An import gives no right that its caller
    /// does not hold.
    pub caller: &'a Caller,
    /// Options of the import.
    pub options: Options,
    /// Maximum chance of an attacker that a policy may allow.
    pub max_guess_chance: f64,
    /// Time zone of dates without an offset.
    pub time_zone: TimeZone,
}

/// A batch of records while it is processed.
#[derive(Clone)]
pub struct Batch<'a> {
    pub(super) context: BatchContext<'a>,
    /// Whether the current record lacks members of an access token.
    pub(super) incomplete: bool,
    /// Faults of the current record.
    pub(super) violations: Violations,
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
    pub fn new(reference: &'a Reference, stored: &'a Stored, context: BatchContext<'a>) -> Self {
        let lookup_keys = LookupKeys {
            by_derived_id: context.options.existing != Existing::UpdateOnly,
            by_identifier: context.caller.permissions.contains(Permission::AccessTokensLookup),
        };
        Self {
            context,
            incomplete: false,
            violations: Violations::default(),
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
            tokens: Tokens::new(&reference.organisation.id, lookup_keys, stored.tokens.values().cloned()),
            numbers: NewNumbers::default(),
            tally: Tally::default(),
            pending_tally: Tally::default(),
            seen: HashSet::new(),
        }
    }

    /// Returns the counts of all records so far, without the refused ones.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Sets the administrators. Without them the last administrator is not protected.
    pub fn set_administrators(&mut self, administrators: Option<Administrators>) {
        self.administrators = administrators;
    }

    /// Returns the permissions of the caller.
    pub(super) fn rights(&self) -> Permissions {
        self.context.caller.permissions
    }

    /// Returns the changes that the batch writes.
    pub fn into_changes(self) -> ImportChanges {
        ImportChanges {
            organisation: self.organisation_changed.then_some(self.organisation),
            units: self.units.into_changed(),
            business_units: self.business_units.into_changed(),
            users: self.users.into_changed(),
            credentials: self.changed_credentials.into_values().collect(),
            password_changes: self.password_changes.into_iter().map(|user| (user, self.context.now)).collect(),
            first_passwords: self.first_passwords.into_iter().map(|user| (user, self.context.now)).collect(),
            countries: self.countries.into_changed(),
            industries: self.industries.into_changed(),
            industry_sectors: self.industry_sectors.into_changed(),
            classifications: self.classifications.into_changed(),
            contacts: self.contacts.into_changed(),
            accounts: self.accounts.into_changed(),
            participants: self.participants.into_changed(),
            ..self.tokens.into_changes()
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
