//! Stored objects with the changes of a batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use super::entity::Entity;
use crate::model::access_token::AccessToken;
use crate::model::directory::{AccountsReceivable, ContactInformation, RewardsParticipant};
use crate::model::session::Permission;
use crate::ports::store::{Credential, ImportChanges, ImportRows};

/// Stored objects of one kind with the changes of a batch: those of earlier records, and the pending ones of the
/// current record.
#[derive(Clone)]
pub(super) struct Overlay<'a, T> {
    stored: &'a HashMap<String, T>,
    by_natural_key: OnceLock<HashMap<String, String>>,
    changed: BTreeMap<String, T>,
    pending: BTreeMap<String, T>,
}

impl<'a, T: Entity> Overlay<'a, T> {
    pub(super) fn new(stored: &'a HashMap<String, T>) -> Self {
        let (changed, pending) = (BTreeMap::new(), BTreeMap::new());
        Self { stored, by_natural_key: OnceLock::new(), changed, pending }
    }

    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.pending.get(id).or_else(|| self.changed.get(id)).or_else(|| self.stored.get(id))
    }

    pub(super) fn find(&self, natural_key: &str) -> Option<String> {
        let newer = self.pending.values().chain(self.changed.values());
        if let Some(entity) = newer.into_iter().find(|e| e.natural_key() == Some(natural_key)) {
            return Some(entity.id().to_owned());
        }
        let index = self.by_natural_key.get_or_init(|| {
            let mut index = HashMap::new();
            for entity in self.stored.values() {
                let Some(key) = entity.natural_key() else { continue };
                // If a key is not unique, the object with the smallest id is found. The order of the rows does not
                // matter.
                let id = index.entry(key.to_owned()).or_insert_with(|| entity.id().to_owned());
                if entity.id() < id.as_str() {
                    *id = entity.id().to_owned();
                }
            }
            index
        });
        // The batch may have changed the key of the object.
        index.get(natural_key).filter(|id| self.get(id).and_then(T::natural_key) == Some(natural_key)).cloned()
    }

    /// Returns the ids of the objects that match after the batch so far.
    pub(super) fn ids_where(&self, matches: impl Fn(&T) -> bool) -> Vec<String> {
        let pending = self.pending.values();
        let changed = self.changed.values().filter(|one| !self.pending.contains_key(one.id()));
        let is_newer = |id: &str| self.pending.contains_key(id) || self.changed.contains_key(id);
        let stored = self.stored.values().filter(|one| matches(one) && !is_newer(one.id()));
        let newer = pending.chain(changed).filter(|one| matches(one));
        newer.chain(stored).map(|one| one.id().to_owned()).collect()
    }

    pub(super) fn set(&mut self, entity: T) {
        self.pending.insert(entity.id().to_owned(), entity);
    }

    pub(super) fn end_record(&mut self, keep: bool) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        // A record may change an object and change it back. Only the result counts.
        pending.retain(|id, entity| self.get(id) != Some(entity));
        let touched = !pending.is_empty();
        if keep {
            self.changed.append(&mut pending);
        }
        touched
    }

    pub(super) fn into_changed(self) -> Vec<T> {
        self.changed.into_values().collect()
    }
}

/// Stored rows by id.
#[derive(Default)]
pub struct Stored {
    pub(super) contacts: HashMap<String, ContactInformation>,
    pub(super) accounts: HashMap<String, AccountsReceivable>,
    pub(super) participants: HashMap<String, RewardsParticipant>,
    pub(super) credentials: HashMap<String, Credential>,
    pub(super) tokens: HashMap<String, Arc<AccessToken>>,
}

impl From<ImportRows> for Stored {
    fn from(rows: ImportRows) -> Self {
        Self {
            contacts: rows.contacts.into_iter().map(|row| (row.id.clone(), row)).collect(),
            accounts: rows.accounts.into_iter().map(|row| (row.id.clone(), row)).collect(),
            participants: rows.participants.into_iter().map(|row| (row.id.clone(), row)).collect(),
            credentials: rows.credentials.into_iter().map(|row| (row.user.clone(), row)).collect(),
            tokens: rows.tokens.into_iter().map(|row| (row.id.clone(), Arc::new(row))).collect(),
        }
    }
}

impl Stored {
    /// Returns the rows that the changes would leave.
    pub fn of(changes: &ImportChanges) -> Self {
        Self::from(ImportRows {
            contacts: changes.contacts.clone(),
            credentials: changes.credentials.clone(),
            accounts: changes.accounts.clone(),
            participants: changes.participants.clone(),
            tokens: changes.tokens.clone(),
        })
    }

    /// Returns the ids of the users with credentials, if one of them is an administrator.
    pub fn users_with_administrator(&self) -> Option<Vec<String>> {
        let admin = |credential: &Credential| credential.permissions.contains(Permission::Admin);
        self.credentials.values().any(admin).then(|| self.credentials.keys().cloned().collect())
    }

    /// Replaces rows by newer ones.
    pub fn merge(&mut self, newer: Self) {
        self.contacts.extend(newer.contacts);
        self.accounts.extend(newer.accounts);
        self.participants.extend(newer.participants);
        self.credentials.extend(newer.credentials);
        self.tokens.extend(newer.tokens);
    }
}
