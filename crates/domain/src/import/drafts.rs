//! What the batches of a check would have written so far: later batches see it as if it were stored.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Stored;
use crate::Result;
use crate::session::OrganisationKey;
use crate::store::{ImportChanges, ImportKeys, ImportRows, UnitOfWork};

/// What a check would have written so far.
pub struct Drafts<U> {
    place: Place<U>,
    /// Ids of stored tokens that would have gone, because they came again under ids of their own.
    removed: HashSet<String>,
}

enum Place<U> {
    /// For a check of few records.
    Memory(Box<Memory>),
    /// In a file, for a check of any length.
    File(U, OrganisationKey, Seen),
}

/// Bits of a [`Seen`]: 4 MiB.
const SEEN_BITS: u64 = 32 * 1024 * 1024;

/// Keys that were written, as a Bloom filter: most keys of a file come once, and are not looked for in the file of drafts.
struct Seen(Vec<u64>);

impl Seen {
    fn new() -> Self {
        Self(vec![0; usize::try_from(SEEN_BITS / 64).unwrap_or(1)])
    }

    /// Two bits of a key of one list of [`ImportKeys`]: the word, and the bit in it.
    fn places(list: &str, key: &str) -> [(usize, u64); 2] {
        let mut hasher = DefaultHasher::new();
        (list, key).hash(&mut hasher);
        let hash = hasher.finish();
        [hash, hash >> 32].map(|half| {
            let bit = half % SEEN_BITS;
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    fn add<'k>(&mut self, list: &str, keys: impl Iterator<Item = &'k str>) {
        for (word, bit) in keys.flat_map(|key| Self::places(list, key)) {
            self.0[word] |= bit;
        }
    }

    /// Leaves out of a list what was certainly not written.
    fn retain(&self, list: &str, keys: &mut Vec<String>) {
        keys.retain(|key| Self::places(list, key).into_iter().all(|(word, bit)| self.0[word] & bit != 0));
    }

    fn retain_all(&self, keys: &mut ImportKeys) {
        self.retain("contacts", &mut keys.contacts);
        self.retain("credentials", &mut keys.credentials);
        self.retain("account_ids", &mut keys.account_ids);
        self.retain("account_numbers", &mut keys.account_numbers);
        self.retain("participant_ids", &mut keys.participant_ids);
        self.retain("participant_numbers", &mut keys.participant_numbers);
        self.retain("token_ids", &mut keys.token_ids);
        self.retain("token_numbers", &mut keys.token_numbers);
        self.retain("authentication_codes", &mut keys.authentication_codes);
        self.retain("identifiers", &mut keys.identifiers);
    }

    fn add_all(&mut self, changes: &ImportChanges) {
        self.add("contacts", changes.contacts.iter().map(|one| one.id.as_str()));
        self.add("credentials", changes.credentials.iter().map(|one| one.user.as_str()));
        self.add("account_ids", changes.accounts.iter().map(|one| one.id.as_str()));
        self.add("account_numbers", changes.accounts.iter().filter_map(|one| one.number.as_deref()));
        self.add("participant_ids", changes.participants.iter().map(|one| one.id.as_str()));
        self.add("participant_numbers", changes.participants.iter().filter_map(|one| one.number.as_deref()));
        self.add("token_ids", changes.tokens.iter().map(|one| one.id.as_str()));
        self.add("token_numbers", changes.tokens.iter().map(|one| one.number.as_str()));
        self.add("authentication_codes", changes.tokens.iter().map(|one| one.authentication_code.as_str()));
        self.add("identifiers", changes.tokens.iter().filter_map(|one| one.identifier.as_deref()));
    }
}

/// Rows by id, and the ids by what else they are found by.
#[derive(Default)]
struct Memory {
    rows: Stored,
    tokens: HashMap<(Key, String), String>,
    accounts: HashMap<String, String>,
    participants: HashMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Number,
    AuthenticationCode,
    Identifier,
}

impl<U> Default for Drafts<U> {
    fn default() -> Self {
        Self { place: Place::Memory(Box::default()), removed: HashSet::new() }
    }
}

impl<U: UnitOfWork> Drafts<U> {
    /// Drafts in a store of their own.
    pub fn in_file(unit: U, organisation: OrganisationKey) -> Self {
        Self { place: Place::File(unit, organisation, Seen::new()), removed: HashSet::new() }
    }

    /// Lays the drafts that belong to these keys, or to the stored rows, over the stored rows.
    pub async fn over(&mut self, mut keys: ImportKeys, rows: ImportRows) -> Result<Stored> {
        // A draft may have given a stored token other keys than those by which it was found.
        keys.token_ids.extend(rows.tokens.iter().map(|token| token.id.clone()));
        keys.account_ids.extend(rows.accounts.iter().map(|account| account.id.clone()));
        keys.participant_ids.extend(rows.participants.iter().map(|participant| participant.id.clone()));
        keys.keep_storable();
        let drafts = match &mut self.place {
            Place::Memory(memory) => memory.rows(&keys),
            Place::File(unit, organisation, seen) => {
                seen.retain_all(&mut keys);
                unit.load_import(*organisation, &keys).await?
            }
        };
        let mut stored = Stored::from(rows);
        stored.tokens.retain(|id, _| !self.removed.contains(id));
        stored.lay_over(Stored::from(drafts));
        Ok(stored)
    }

    /// Writes what a batch would have written, but for reference data.
    pub async fn write(&mut self, changes: ImportChanges) -> Result<()> {
        self.removed.extend(changes.removed_tokens.iter().cloned());
        match &mut self.place {
            Place::Memory(memory) => memory.write(changes),
            Place::File(unit, organisation, seen) => {
                seen.add_all(&changes);
                unit.save_import(*organisation, &changes).await?;
            }
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
        let participants = keys.participant_numbers.iter().filter_map(|number| self.participants.get(number));
        ImportRows {
            contacts: pick(&self.rows.contacts, keys.contacts.iter()),
            credentials: pick(&self.rows.credentials, keys.credentials.iter()),
            accounts: pick(&self.rows.accounts, keys.account_ids.iter().chain(accounts)),
            participants: pick(&self.rows.participants, keys.participant_ids.iter().chain(participants)),
            tokens: pick(&self.rows.tokens, keys.token_ids.iter().chain(tokens.iter().flatten())),
        }
    }

    fn write(&mut self, changes: ImportChanges) {
        for id in &changes.removed_tokens {
            self.rows.tokens.remove(id);
        }
        // A key may lead to a token that has it no longer. The batch looks at the rows, so that does no harm.
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
        let members =
            changes.participants.iter().filter_map(|member| Some((member.number.clone()?, member.id.clone())));
        self.participants.extend(members);
        self.rows.lay_over(Stored::from(ImportRows {
            contacts: changes.contacts,
            credentials: changes.credentials,
            accounts: changes.accounts,
            participants: changes.participants,
            tokens: changes.tokens,
        }));
    }
}
