//! Drafts: the changes that the batches of a check would have written so far. Later batches read them as if they were
//! stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Stored;
use crate::Result;
use crate::ports::store::{DraftStore, ImportChanges, ImportKeys, ImportRows};

/// The changes that a check would have written so far.
#[derive(Default)]
pub struct Drafts {
    place: Place,
    /// Ids of stored tokens that would have been deleted, because they got an id of their own.
    removed: HashSet<String>,
}

enum Place {
    /// For a check of few records.
    Memory(Box<Memory>),
    /// For a check of any length.
    File(Box<dyn DraftStore>),
}

impl Default for Place {
    fn default() -> Self {
        Self::Memory(Box::default())
    }
}

/// Rows by id, and indexes of the ids by other keys.
#[derive(Default)]
struct Memory {
    rows: Stored,
    tokens: HashMap<(Key, String), String>,
    accounts: HashMap<String, String>,
    /// Ids of the accounts that have, or had, a name.
    named_accounts: HashMap<String, HashSet<String>>,
    participants: HashMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Number,
    AuthenticationCode,
    Identifier,
}

impl Drafts {
    /// Returns drafts that are kept in a store of their own.
    pub fn in_file(store: Box<dyn DraftStore>) -> Self {
        Self { place: Place::File(store), removed: HashSet::new() }
    }

    /// Returns the stored rows, with the drafts of these keys and of the stored rows merged into them.
    pub fn over(&self, mut keys: ImportKeys, rows: ImportRows) -> Result<Stored> {
        // A draft may have given a stored row other keys than those by which the row was found.
        keys.token_ids.extend(rows.tokens.iter().map(|token| token.id.clone()));
        keys.account_ids.extend(rows.accounts.iter().map(|account| account.id.clone()));
        keys.participant_ids.extend(rows.participants.iter().map(|participant| participant.id.clone()));
        keys.keep_storable();
        let drafts = match &self.place {
            Place::Memory(memory) => memory.rows(&keys),
            Place::File(store) => store.load(&keys)?,
        };
        let mut stored = Stored::from(rows);
        stored.tokens.retain(|id, _| !self.removed.contains(id));
        stored.merge(Stored::from(drafts));
        Ok(stored)
    }

    /// Adds the changes of a batch, except for reference data.
    pub fn write(&mut self, changes: ImportChanges) -> Result<()> {
        self.removed.extend(changes.renamed_tokens.iter().map(|(old, _)| old.clone()));
        match &mut self.place {
            Place::Memory(memory) => memory.write(changes),
            Place::File(store) => store.save(&changes)?,
        }
        Ok(())
    }
}

impl Memory {
    fn rows(&self, keys: &ImportKeys) -> ImportRows {
        fn pick<'k, T: Clone>(rows: &HashMap<String, T>, ids: impl Iterator<Item = &'k String>) -> Vec<T> {
            let ids: HashSet<_> = ids.collect();
            ids.into_iter().filter_map(|id| rows.get(id)).cloned().collect()
        }
        let by = |key: Key, values: &[String]| {
            let ids = values.iter().filter_map(|value| self.tokens.get(&(key, value.clone())));
            ids.cloned().collect::<Vec<_>>()
        };
        let tokens = [
            by(Key::Number, &keys.token_numbers),
            by(Key::AuthenticationCode, &keys.authentication_codes),
            by(Key::Identifier, &keys.identifiers),
        ];
        let accounts = keys.account_numbers.iter().filter_map(|number| self.accounts.get(number));
        let named = keys.account_names.iter().filter_map(|name| self.named_accounts.get(name)).flatten();
        let participants = keys.participant_numbers.iter().filter_map(|number| self.participants.get(number));
        ImportRows {
            contacts: pick(&self.rows.contacts, keys.contacts.iter()),
            credentials: pick(&self.rows.credentials, keys.credentials.iter()),
            accounts: pick(&self.rows.accounts, keys.account_ids.iter().chain(accounts).chain(named)),
            participants: pick(&self.rows.participants, keys.participant_ids.iter().chain(participants)),
            tokens: pick(&self.rows.tokens, keys.token_ids.iter().chain(tokens.iter().flatten()))
                .into_iter()
                .map(Arc::unwrap_or_clone)
                .collect(),
        }
    }

    fn write(&mut self, changes: ImportChanges) {
        for (id, _) in &changes.renamed_tokens {
            self.rows.tokens.remove(id);
        }
        // An index may lead to a token that no longer has the key. This does no harm, since the batch reads the keys of
        // the rows.
        for token in &changes.tokens {
            let mut index = |key: Key, value: &str| self.tokens.insert((key, value.to_owned()), token.id.clone());
            index(Key::Number, &token.number);
            index(Key::AuthenticationCode, &token.authentication_code);
            if let Some(identifier) = &token.identifier {
                index(Key::Identifier, identifier);
            }
        }
        let numbered =
            changes.accounts.iter().filter_map(|account| Some((account.number.clone()?, account.id.clone())));
        self.accounts.extend(numbered);
        for account in &changes.accounts {
            if let Some(name) = &account.name {
                self.named_accounts.entry(name.clone()).or_default().insert(account.id.clone());
            }
        }
        let members =
            changes.participants.iter().filter_map(|member| Some((member.number.clone()?, member.id.clone())));
        self.participants.extend(members);
        self.rows.merge(Stored::from(ImportRows {
            contacts: changes.contacts,
            credentials: changes.credentials,
            accounts: changes.accounts,
            participants: changes.participants,
            tokens: changes.tokens,
        }));
    }
}
