//! Drafts: the changes that the batches of a check would have written so far. Later batches read them as if they were
//! stored.

use std::collections::HashSet;

use super::Stored;
use crate::Result;
use crate::ports::store::{DraftStore, ImportChanges, ImportKeys, ImportRows, StoreResult};

/// The changes that a check would have written so far.
pub struct Drafts {
    store: Box<dyn DraftStore>,
    /// Ids of stored tokens that would have been deleted, because they got an id of their own.
    removed: HashSet<String>,
}

impl Drafts {
    /// Returns drafts that are kept in memory, for a check of few records.
    pub fn in_memory() -> Self {
        Self::in_store(Box::new(Stored::default()))
    }

    /// Returns drafts that are kept in a store of their own, for a check of any length.
    pub fn in_store(store: Box<dyn DraftStore>) -> Self {
        Self { store, removed: HashSet::new() }
    }

    /// Returns the stored rows, with the drafts of these keys and of the stored rows merged into them.
    pub fn over(&self, mut keys: ImportKeys, rows: ImportRows) -> Result<Stored> {
        // A draft may have given a stored row other keys than those by which the row was found.
        keys.token_ids.extend(rows.tokens.iter().map(|token| token.id.clone()));
        keys.account_ids.extend(rows.accounts.iter().map(|account| account.id.clone()));
        keys.participant_ids.extend(rows.participants.iter().map(|participant| participant.id.clone()));
        keys.keep_storable();
        let mut stored = Stored::from(rows);
        stored.tokens.retain(|id, _| !self.removed.contains(id));
        stored.merge(Stored::from(self.store.load(&keys)?));
        Ok(stored)
    }

    /// Adds the changes of a batch, except for reference data.
    pub fn write(&mut self, changes: &ImportChanges) -> Result<()> {
        self.removed.extend(changes.renamed_tokens.iter().map(|(old, _)| old.clone()));
        Ok(self.store.save(changes)?)
    }
}

/// The drafts of a check of few records. A load looks at all of them.
impl DraftStore for Stored {
    fn load(&self, keys: &ImportKeys) -> StoreResult<ImportRows> {
        // The keys are sorted: see `ImportKeys::keep_storable`.
        let has = |keys: &[String], key: &str| keys.binary_search_by(|one| one.as_str().cmp(key)).is_ok();
        let may_have = |keys: &[String], key: &Option<String>| key.as_ref().is_some_and(|key| has(keys, key));
        let contacts = self.contacts.values().filter(|row| has(&keys.contacts, &row.id));
        let credentials = self.credentials.values().filter(|row| has(&keys.credentials, &row.user));
        let accounts = self.accounts.values().filter(|row| {
            has(&keys.account_ids, &row.id)
                || may_have(&keys.account_numbers, &row.number)
                || may_have(&keys.account_names, &row.name)
        });
        let participants = self
            .participants
            .values()
            .filter(|row| has(&keys.participant_ids, &row.id) || may_have(&keys.participant_numbers, &row.number));
        let tokens = self.tokens.values().filter(|row| {
            has(&keys.token_ids, &row.id)
                || has(&keys.token_numbers, &row.number)
                || has(&keys.authentication_codes, &row.authentication_code)
                || may_have(&keys.identifiers, &row.identifier)
        });
        Ok(ImportRows {
            contacts: contacts.cloned().collect(),
            credentials: credentials.cloned().collect(),
            accounts: accounts.cloned().collect(),
            participants: participants.cloned().collect(),
            tokens: tokens.map(|token| token.as_ref().clone()).collect(),
        })
    }

    fn save(&mut self, changes: &ImportChanges) -> StoreResult<()> {
        for (id, _) in &changes.renamed_tokens {
            self.tokens.remove(id);
        }
        self.merge(Self::of(changes));
        Ok(())
    }
}
