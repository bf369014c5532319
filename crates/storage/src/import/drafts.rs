//! Rows that a check would have written, in temporary files.
//!
//! Rows are appended to one file and never changed: a row that is written again is appended again. The other file is an
//! index, a hash table with chains: each entry belongs to one key of one row and points to the previous entry of the
//! same chain. Only the heads of the chains are in memory. Most keys of an import occur once, so that most lookups read
//! at most one entry.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;

use access_tokens_domain::directory::AccountsReceivable;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{DraftStore, ImportChanges, ImportKeys, ImportRows, StoreResult};
use rusqlite::types::{Value, ValueRef};

use crate::convert;
use crate::entities::accounts_receivable;
use crate::error::Failure;
use crate::sql::row_reader::{RowReader, TableRow};
use crate::sqlite::writer::borrowed_value;

/// Number of chains of the index. Their heads take 8 MiB.
const CHAINS: usize = 1 << 21;

/// Size of an index entry in bytes.
const ENTRY_BYTES: usize = 24;

/// Kind of key by which a row is found.
#[derive(Debug, Clone, Copy, Hash)]
enum Key {
    Contact,
    Credential,
    Account,
    AccountNumber,
    AccountName,
    Participant,
    ParticipantNumber,
    Token,
    TokenNumber,
    AuthenticationCode,
    Identifier,
}

impl Key {
    fn hash(self, value: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self, value).hash(&mut hasher);
        hasher.finish()
    }
}

/// Position of a row in its file. Length 0: the row with this id was removed.
#[derive(Debug, Clone, Copy)]
struct RowLocation {
    offset: u64,
    length: u32,
}

/// An entry of the index.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    row: RowLocation,
    /// Number of the previous entry of the same chain, from 1. 0: none.
    previous: u32,
}

impl Entry {
    fn append_to(self, out: &mut Vec<u8>) {
        out.extend(self.hash.to_le_bytes());
        out.extend(self.row.offset.to_le_bytes());
        out.extend(self.row.length.to_le_bytes());
        out.extend(self.previous.to_le_bytes());
    }

    fn read(rest: &mut &[u8]) -> io::Result<Self> {
        let hash = u64::from_le_bytes(bytes(rest)?);
        let row = RowLocation { offset: u64::from_le_bytes(bytes(rest)?), length: u32::from_le_bytes(bytes(rest)?) };
        Ok(Self { hash, row, previous: u32::from_le_bytes(bytes(rest)?) })
    }
}

/// Rows of one check. The files have no names, so that they disappear with the process.
pub(crate) struct DraftFile {
    rows: File,
    /// Number of bytes written to the file of rows.
    written: u64,
    index: File,
    /// Number of entries written to the index.
    entries: u32,
    /// Number of the last entry of each chain, from 1. 0: none.
    heads: Vec<u32>,
}

/// Bytes that one batch appends.
#[derive(Default)]
struct Batch {
    rows: Vec<u8>,
    entries: Vec<u8>,
}

impl DraftFile {
    /// Creates empty files in the directory for temporary files.
    pub(crate) fn new() -> StoreResult<Self> {
        let file = || tempfile::tempfile().map_err(|error| fault(&error));
        Ok(Self { rows: file()?, written: 0, index: file()?, entries: 0, heads: vec![0; CHAINS] })
    }

    /// Adds a row to a batch, with the keys by which it is found.
    fn add<'k>(
        &mut self,
        batch: &mut Batch,
        row: impl TableRow,
        keys: impl IntoIterator<Item = (Key, Option<&'k str>)>,
    ) -> StoreResult<()> {
        let start = batch.rows.len();
        encode(row, &mut batch.rows)?;
        let length = u32::try_from(batch.rows.len() - start).map_err(|error| fault(&error))?;
        let row = RowLocation { offset: self.written + start as u64, length };
        for (key, value) in keys {
            if let Some(value) = value {
                self.add_index_entry(batch, key.hash(value), row)?;
            }
        }
        Ok(())
    }

    fn add_index_entry(&mut self, batch: &mut Batch, hash: u64, row: RowLocation) -> StoreResult<()> {
        let head = &mut self.heads[chain(hash)];
        let entry = Entry { hash, row, previous: *head };
        self.entries = self.entries.checked_add(1).ok_or_else(|| Failure::fault("too many drafts of a check"))?;
        *head = self.entries;
        entry.append_to(&mut batch.entries);
        Ok(())
    }

    /// Reads an entry of the index by its number, from 1.
    fn entry(&self, number: u32) -> io::Result<Entry> {
        let mut bytes = [0; ENTRY_BYTES];
        self.index.read_exact_at(&mut bytes, u64::from(number - 1) * ENTRY_BYTES as u64)?;
        Entry::read(&mut bytes.as_slice())
    }

    /// Returns the positions of the rows that were written with this key, the last one first.
    fn written(&self, key: Key, value: &str) -> impl Iterator<Item = StoreResult<RowLocation>> {
        let hash = key.hash(value);
        let mut next = self.heads[chain(hash)];
        let entries = std::iter::from_fn(move || {
            let entry = (next != 0).then(|| self.entry(next).map_err(|error| fault(&error)))?;
            next = entry.as_ref().map_or(0, |entry| entry.previous);
            Some(entry)
        });
        let entries = entries.filter(move |entry| entry.as_ref().map_or(true, |entry| entry.hash == hash));
        entries.map(|entry| Ok(entry?.row))
    }

    /// Returns the position of the last row that was written with this key.
    fn last(&self, key: Key, value: &str) -> StoreResult<Option<RowLocation>> {
        let last = self.written(key, value).next().transpose()?;
        Ok(last.filter(|row| row.length > 0))
    }

    fn read<M: TableRow>(&self, location: RowLocation) -> StoreResult<M> {
        let mut bytes = vec![0; location.length as usize];
        self.rows.read_exact_at(&mut bytes, location.offset).map_err(|error| fault(&error))?;
        decode(&bytes)
    }

    /// Returns the rows with these ids and with these other keys, each once, in their last written form.
    fn find<M: TableRow, T>(
        &self,
        (id, ids): (Key, &[String]),
        others: &[(Key, &[String])],
        id_of: fn(&M) -> &String,
        convert: fn(M) -> StoreResult<T>,
    ) -> StoreResult<Vec<T>> {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        for value in ids {
            if let Some(location) = self.last(id, value)?
                && seen.insert(location.offset)
            {
                rows.push(convert(self.read(location)?)?);
            }
        }
        for (key, value) in others.iter().flat_map(|(key, values)| values.iter().map(|value| (*key, value))) {
            let Some(location) = self.last(key, value)? else { continue };
            // The row may have been written again later, without this key.
            let found = self.read(location)?;
            if let Some(location) = self.last(id, id_of(&found))?
                && seen.insert(location.offset)
            {
                rows.push(convert(self.read(location)?)?);
            }
        }
        Ok(rows)
    }

    fn accounts(&self, keys: &ImportKeys) -> StoreResult<Vec<AccountsReceivable>> {
        let mut ids = keys.account_ids.clone();
        for name in &keys.account_names {
            ids.extend(self.accounts_named(name)?);
        }
        let numbers = [(Key::AccountNumber, keys.account_numbers.as_slice())];
        self.find((Key::Account, &ids), &numbers, |row| &row.id, convert::accounts_receivable)
    }

    /// Returns the ids of accounts with this name, at most two: two are enough to know that the name is ambiguous.
    fn accounts_named(&self, name: &str) -> StoreResult<Vec<String>> {
        use accounts_receivable::Model;
        let mut ids = Vec::new();
        for row in self.written(Key::AccountName, name) {
            let id = self.read::<Model>(row?)?.id;
            // The row may have been written again later, with another name.
            let now = self.last(Key::Account, &id)?.map(|location| self.read::<Model>(location)).transpose()?;
            if now.is_some_and(|now| now.name.as_deref() == Some(name)) && !ids.contains(&id) {
                ids.push(id);
            }
            if ids.len() == 2 {
                break;
            }
        }
        Ok(ids)
    }
}

impl DraftStore for DraftFile {
    fn load(&self, keys: &ImportKeys) -> StoreResult<ImportRows> {
        let participant_numbers = [(Key::ParticipantNumber, keys.participant_numbers.as_slice())];
        let token_keys = [
            (Key::TokenNumber, keys.token_numbers.as_slice()),
            (Key::AuthenticationCode, &keys.authentication_codes),
            (Key::Identifier, &keys.identifiers),
        ];
        let credentials = (Key::Credential, keys.credentials.as_slice());
        let participants = (Key::Participant, keys.participant_ids.as_slice());
        Ok(ImportRows {
            contacts: self.find((Key::Contact, &keys.contacts), &[], |row| &row.id, convert::contact)?,
            credentials: self.find(credentials, &[], |row| &row.user_id, convert::credential)?,
            accounts: self.accounts(keys)?,
            participants: self.find(participants, &participant_numbers, |row| &row.id, convert::rewards_participant)?,
            tokens: self.find((Key::Token, &keys.token_ids), &token_keys, |row| &row.id, convert::token)?,
        })
    }

    fn save(&mut self, changes: &ImportChanges) -> StoreResult<()> {
        let (mut batch, none) = (Batch::default(), OrganisationKey::NONE);
        for (id, _) in &changes.renamed_tokens {
            let removed = RowLocation { offset: self.written, length: 0 };
            self.add_index_entry(&mut batch, Key::Token.hash(id), removed)?;
        }
        for one in &changes.contacts {
            let row = convert::contact_row(none, one)?;
            self.add(&mut batch, row, [(Key::Contact, Some(one.id.as_str()))])?;
        }
        for one in &changes.credentials {
            let row = convert::credential_row(none, one);
            self.add(&mut batch, row, [(Key::Credential, Some(one.user.as_str()))])?;
        }
        for one in &changes.accounts {
            let row = convert::accounts_receivable_row(none, one)?;
            let keys = [
                (Key::Account, Some(one.id.as_str())),
                (Key::AccountNumber, one.number.as_deref()),
                (Key::AccountName, one.name.as_deref()),
            ];
            self.add(&mut batch, row, keys)?;
        }
        for one in &changes.participants {
            let row = convert::rewards_participant_row(none, one)?;
            let keys = [(Key::Participant, Some(one.id.as_str())), (Key::ParticipantNumber, one.number.as_deref())];
            self.add(&mut batch, row, keys)?;
        }
        for one in &changes.tokens {
            let keys = [
                (Key::Token, Some(one.id.as_str())),
                (Key::TokenNumber, Some(one.number.as_str())),
                (Key::AuthenticationCode, Some(one.authentication_code.as_str())),
                (Key::Identifier, one.identifier.as_deref()),
            ];
            self.add(&mut batch, convert::token_row(none, one), keys)?;
        }
        let index_end = u64::from(self.entries) * ENTRY_BYTES as u64 - batch.entries.len() as u64;
        self.rows.write_all_at(&batch.rows, self.written).map_err(|error| fault(&error))?;
        self.index.write_all_at(&batch.entries, index_end).map_err(|error| fault(&error))?;
        self.written += batch.rows.len() as u64;
        Ok(())
    }
}

fn chain(hash: u64) -> usize {
    // The remainder is below the number of chains.
    (hash % CHAINS as u64) as usize
}

fn fault(error: &dyn std::error::Error) -> Failure {
    Failure::fault(format!("the drafts of a check: {error}"))
}

/// Appends a row: a byte for the type of each value, and the value if it is not NULL.
fn encode(row: impl TableRow, out: &mut Vec<u8>) -> StoreResult<()> {
    for value in row.into_values() {
        match borrowed_value(&value)? {
            ValueRef::Null => out.push(0),
            ValueRef::Integer(number) => {
                out.push(1);
                out.extend(number.to_le_bytes());
            }
            ValueRef::Real(number) => {
                out.push(2);
                out.extend(number.to_le_bytes());
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                out.push(3);
                out.extend(u32::try_from(bytes.len()).map_err(|error| fault(&error))?.to_le_bytes());
                out.extend(bytes);
            }
        }
    }
    Ok(())
}

fn decode<M: TableRow>(mut rest: &[u8]) -> StoreResult<M> {
    let mut values = Vec::with_capacity(1 + M::COLUMNS.len());
    while !rest.is_empty() {
        values.push(value(&mut rest).map_err(|error| fault(&error))?);
    }
    let mut row_reader = RowReader::from_sqlite(&values);
    let organisation_key = row_reader.read()?;
    M::read(&mut row_reader, organisation_key)
}

fn value(rest: &mut &[u8]) -> io::Result<Value> {
    let [kind] = bytes(rest)?;
    Ok(match kind {
        0 => Value::Null,
        1 => Value::Integer(i64::from_le_bytes(bytes(rest)?)),
        2 => Value::Real(f64::from_le_bytes(bytes(rest)?)),
        3 => {
            let length = u32::from_le_bytes(bytes(rest)?) as usize;
            let (text, others) = rest.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
            *rest = others;
            Value::Text(str::from_utf8(text).map_err(io::Error::other)?.to_owned())
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}

fn bytes<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (first, others) = rest.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    *rest = others;
    Ok(*first)
}
