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
use sea_orm::{ActiveModelTrait, EntityTrait, Iterable, ModelTrait, TryIntoModel, Value};

use crate::convert;
use crate::entities::{access_token, accounts_receivable, contact_information, rewards_participant, user_credential};
use crate::error::{Failure, store_error};

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
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.hash.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.row.offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.row.length.to_le_bytes());
        bytes[20..].copy_from_slice(&self.previous.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; ENTRY_BYTES]) -> Self {
        let mut rest = &bytes[..];
        let mut word = |size: usize| {
            let (first, others) = rest.split_at(size);
            rest = others;
            first.iter().rev().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte))
        };
        let (hash, offset, length, previous) = (word(8), word(8), word(4) as u32, word(4) as u32);
        Self { hash, row: RowLocation { offset, length }, previous }
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
    fn add<'k, M: ModelTrait>(
        &mut self,
        batch: &mut Batch,
        row: &M,
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
        batch.entries.extend(entry.to_bytes());
        Ok(())
    }

    /// Reads an entry of the index by its number, from 1.
    fn entry(&self, number: u32) -> StoreResult<Entry> {
        let mut bytes = [0; ENTRY_BYTES];
        let offset = u64::from(number - 1) * ENTRY_BYTES as u64;
        self.index.read_exact_at(&mut bytes, offset).map_err(|error| fault(&error))?;
        Ok(Entry::from_bytes(bytes))
    }

    /// Returns the position of the last row that was written with this key.
    fn last(&self, key: Key, value: &str) -> StoreResult<Option<RowLocation>> {
        let hash = key.hash(value);
        let mut next = self.heads[chain(hash)];
        while next != 0 {
            let entry = self.entry(next)?;
            if entry.hash == hash {
                return Ok((entry.row.length > 0).then_some(entry.row));
            }
            next = entry.previous;
        }
        Ok(None)
    }

    fn read<E: EntityTrait>(&self, location: RowLocation) -> StoreResult<E::Model>
    where
        E::ActiveModel: TryIntoModel<E::Model>,
    {
        let mut bytes = vec![0; location.length as usize];
        self.rows.read_exact_at(&mut bytes, location.offset).map_err(|error| fault(&error))?;
        decode::<E>(&bytes)
    }

    /// Returns the rows with these ids and with these other keys, each once, in their last written form.
    fn find<E: EntityTrait>(
        &self,
        (id, ids): (Key, &[String]),
        others: &[(Key, &[String])],
        id_of: impl Fn(&E::Model) -> &String,
    ) -> StoreResult<Vec<E::Model>>
    where
        E::ActiveModel: TryIntoModel<E::Model>,
    {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        for value in ids {
            if let Some(location) = self.last(id, value)?
                && seen.insert(location.offset)
            {
                rows.push(self.read::<E>(location)?);
            }
        }
        for (key, value) in others.iter().flat_map(|(key, values)| values.iter().map(|value| (*key, value))) {
            let Some(location) = self.last(key, value)? else { continue };
            // The row may have been written again later, without this key.
            let found = self.read::<E>(location)?;
            if let Some(location) = self.last(id, id_of(&found))?
                && seen.insert(location.offset)
            {
                rows.push(self.read::<E>(location)?);
            }
        }
        Ok(rows)
    }
}

impl DraftFile {
    fn accounts(&self, keys: &ImportKeys) -> StoreResult<Vec<AccountsReceivable>> {
        use accounts_receivable::Entity;
        let mut ids = keys.account_ids.clone();
        for name in &keys.account_names {
            ids.extend(self.accounts_named(name)?);
        }
        let numbers = [(Key::AccountNumber, keys.account_numbers.as_slice())];
        let rows = self.find::<Entity>((Key::Account, &ids), &numbers, |row| &row.id)?;
        rows.into_iter().map(convert::accounts_receivable).collect()
    }

    /// Returns the ids of accounts with this name, at most two: two are enough to know that the name is ambiguous.
    fn accounts_named(&self, name: &str) -> StoreResult<Vec<String>> {
        use accounts_receivable::Entity;
        let mut ids = Vec::new();
        let hash = Key::AccountName.hash(name);
        let mut next = self.heads[chain(hash)];
        while next != 0 && ids.len() < 2 {
            let entry = self.entry(next)?;
            next = entry.previous;
            if entry.hash != hash {
                continue;
            }
            let id = self.read::<Entity>(entry.row)?.id;
            // The row may have been written again later, with another name.
            let now = self.last(Key::Account, &id)?.map(|location| self.read::<Entity>(location)).transpose()?;
            if now.is_some_and(|now| now.name.as_deref() == Some(name)) && !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

impl DraftStore for DraftFile {
    fn load(&self, keys: &ImportKeys) -> StoreResult<ImportRows> {
        macro_rules! rows {
            ($module:ident, $convert:path, $id:ident, $first:ident in $ids:expr $(, $key:ident in $values:expr)*) => {{
                let (ids, others) = ((Key::$first, $ids.as_slice()), [$((Key::$key, $values.as_slice())),*]);
                let rows = self.find::<$module::Entity>(ids, &others, |row: &$module::Model| &row.$id)?;
                rows.into_iter().map($convert).collect::<StoreResult<Vec<_>>>()?
            }};
        }
        Ok(ImportRows {
            contacts: rows!(contact_information, convert::contact, id, Contact in keys.contacts),
            credentials: rows!(user_credential, convert::credential, user_id, Credential in keys.credentials),
            accounts: self.accounts(keys)?,
            participants: rows!(
                rewards_participant, convert::rewards_participant, id, Participant in keys.participant_ids,
                ParticipantNumber in keys.participant_numbers
            ),
            tokens: rows!(
                access_token, convert::token, id, Token in keys.token_ids, TokenNumber in keys.token_numbers,
                AuthenticationCode in keys.authentication_codes, Identifier in keys.identifiers
            ),
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
            self.add(&mut batch, &row, [(Key::Contact, Some(one.id.as_str()))])?;
        }
        for one in &changes.credentials {
            let row = convert::credential_row(none, one)?;
            self.add(&mut batch, &row, [(Key::Credential, Some(one.user.as_str()))])?;
        }
        for one in &changes.accounts {
            let row = convert::accounts_receivable_row(none, one)?;
            let keys = [
                (Key::Account, Some(one.id.as_str())),
                (Key::AccountNumber, one.number.as_deref()),
                (Key::AccountName, one.name.as_deref()),
            ];
            self.add(&mut batch, &row, keys)?;
        }
        for one in &changes.participants {
            let row = convert::rewards_participant_row(none, one)?;
            let keys = [(Key::Participant, Some(one.id.as_str())), (Key::ParticipantNumber, one.number.as_deref())];
            self.add(&mut batch, &row, keys)?;
        }
        for one in &changes.tokens {
            let keys = [
                (Key::Token, Some(one.id.as_str())),
                (Key::TokenNumber, Some(one.number.as_str())),
                (Key::AuthenticationCode, Some(one.authentication_code.as_str())),
                (Key::Identifier, one.identifier.as_deref()),
            ];
            self.add(&mut batch, &convert::token_row(none, one), keys)?;
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

/// Appends a row: a byte for the type of each column, and the value if the column is not NULL.
fn encode<M: ModelTrait>(row: &M, out: &mut Vec<u8>) -> StoreResult<()> {
    for column in <M::Entity as EntityTrait>::Column::iter() {
        match row.get(column) {
            Value::String(None) => out.push(0),
            Value::Int(None) => out.push(1),
            Value::BigInt(None) => out.push(2),
            Value::Double(None) => out.push(3),
            Value::String(Some(text)) => {
                out.push(4);
                out.extend(u32::try_from(text.len()).map_err(|error| fault(&error))?.to_le_bytes());
                out.extend(text.as_bytes());
            }
            Value::Int(Some(number)) => {
                out.push(5);
                out.extend(number.to_le_bytes());
            }
            Value::BigInt(Some(number)) => {
                out.push(6);
                out.extend(number.to_le_bytes());
            }
            Value::Double(Some(number)) => {
                out.push(7);
                out.extend(number.to_le_bytes());
            }
            _ => return Err(Failure::fault("a column is of a type that no draft has").into()),
        }
    }
    Ok(())
}

fn decode<E: EntityTrait>(bytes: &[u8]) -> StoreResult<E::Model>
where
    E::ActiveModel: TryIntoModel<E::Model>,
{
    let (mut rest, mut row) = (bytes, <E::ActiveModel as ActiveModelTrait>::default());
    for column in E::Column::iter() {
        let value = value(&mut rest).map_err(|error| fault(&error))?;
        row.try_set(column, value).map_err(store_error)?;
    }
    row.try_into_model().map_err(store_error)
}

fn value(rest: &mut &[u8]) -> io::Result<Value> {
    let [kind] = bytes(rest)?;
    Ok(match kind {
        0 => Value::String(None),
        1 => Value::Int(None),
        2 => Value::BigInt(None),
        3 => Value::Double(None),
        4 => {
            let length = u32::from_le_bytes(bytes(rest)?) as usize;
            let (text, others) = rest.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
            *rest = others;
            Value::from(str::from_utf8(text).map_err(io::Error::other)?)
        }
        5 => Value::Int(Some(i32::from_le_bytes(bytes(rest)?))),
        6 => Value::BigInt(Some(i64::from_le_bytes(bytes(rest)?))),
        7 => Value::Double(Some(f64::from_le_bytes(bytes(rest)?))),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}

fn bytes<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (first, others) = rest.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    *rest = others;
    Ok(*first)
}
