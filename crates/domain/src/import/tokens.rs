//! The access tokens of a batch, found by each of their unique members.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::derived_id::derived_token_id;
use super::new_numbers::is_unnumbered;
use super::record::Object;
use crate::Reason;
use crate::model::access_token::AccessToken;
use crate::ports::store::ImportChanges;

/// A unique member of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum UniqueField {
    Number,
    AuthenticationCode,
    Identifier,
}

impl UniqueField {
    pub(super) const ALL: [Self; 3] = [Self::Number, Self::AuthenticationCode, Self::Identifier];

    pub(super) fn of(self, token: &AccessToken) -> Option<&str> {
        match self {
            Self::Number => Some(&token.number),
            Self::AuthenticationCode => Some(&token.authentication_code),
            Self::Identifier => token.identifier.as_deref(),
        }
    }

    /// Returns the unique members that a token has.
    pub(super) fn values(token: &AccessToken) -> impl Iterator<Item = UniqueFieldValue> {
        Self::ALL.into_iter().filter_map(|unique| Some((unique, unique.of(token)?.to_owned())))
    }

    pub(super) fn field_and_reason(self) -> (&'static str, Reason) {
        match self {
            Self::Number => ("number", Reason::NumberAlreadyExists),
            Self::AuthenticationCode => ("authentication_code", Reason::AuthenticationCodeAlreadyExists),
            Self::Identifier => ("identifier", Reason::IdentifierAlreadyExists),
        }
    }
}

/// Returns whether an error has this reason because another token has a value of the record.
pub(crate) fn is_taken(reason: Reason) -> bool {
    UniqueField::ALL.into_iter().any(|unique| unique.field_and_reason().1 == reason)
}

/// A unique member with its value.
pub(super) type UniqueFieldValue = (UniqueField, String);

/// The tokens of a batch, indexed by each of their unique members.
#[derive(Clone, Default)]
pub(super) struct Tokens {
    /// Id of the organisation, from which ids are derived.
    organisation: String,
    lookup_keys: LookupKeys,
    all: HashMap<String, Arc<AccessToken>>,
    owners: HashMap<UniqueFieldValue, String>,
    changed: BTreeMap<String, Arc<AccessToken>>,
    /// New ids of stored tokens, by their old ids.
    renamed: BTreeMap<String, String>,
    /// Ids of the tokens that were stored before the batch.
    pub(super) stored: HashSet<String>,
    /// Ids of the first tokens that released a value in this batch, by the value. Only this token can have the value in
    /// the database.
    released_by: HashMap<UniqueFieldValue, String>,
    pub(super) pending: Option<PendingToken>,
}

/// The token of the current record.
#[derive(Clone)]
pub(super) struct PendingToken {
    pub(super) token: AccessToken,
    /// Id under which the same token was stored before, if it was another.
    pub(super) replaces: Option<String>,
    /// Whether anything but secrets differs from the stored token.
    pub(super) differs: bool,
}

impl Tokens {
    pub(super) fn new(
        organisation: &str,
        lookup_keys: LookupKeys,
        stored: impl Iterator<Item = Arc<AccessToken>>,
    ) -> Self {
        let mut tokens = Self { organisation: organisation.to_owned(), lookup_keys, ..Self::default() };
        for token in stored {
            tokens.stored.insert(token.id.clone());
            tokens.put(token);
        }
        tokens
    }

    pub(super) fn get(&self, id: &str) -> Option<&AccessToken> {
        self.all.get(id).map(Arc::as_ref)
    }

    pub(super) fn find(&self, unique: UniqueField, value: &str) -> Option<&AccessToken> {
        self.owners.get(&(unique, value.to_owned())).and_then(|id| self.get(id))
    }

    fn put(&mut self, token: Arc<AccessToken>) {
        self.take(&token.id.clone());
        self.owners.extend(UniqueField::values(&token).map(|value| (value, token.id.clone())));
        self.all.insert(token.id.clone(), token);
    }

    fn take(&mut self, id: &str) {
        let Some(old) = self.all.remove(id) else { return };
        for value in UniqueField::values(&old) {
            // Another token may already have the value.
            if self.owners.get(&value).is_some_and(|owner| owner == id) {
                self.owners.remove(&value);
            }
        }
    }

    pub(super) fn has_number(&self, number: &str) -> bool {
        self.find(UniqueField::Number, number).is_some()
    }

    /// Returns the code and the identifier that this record changes for its token.
    pub(super) fn released(&self, record: &Object) -> Vec<UniqueFieldValue> {
        let Some(token) = self.of_record(record) else { return Vec::new() };
        let gone = [UniqueField::AuthenticationCode, UniqueField::Identifier].into_iter().filter_map(|unique| {
            let (field, _) = unique.field_and_reason();
            let (old, new) = (unique.of(token)?, record.get(field)?);
            // A code of null is no change, an identifier of null is one.
            let changes = new.as_str() != Some(old) && (unique == UniqueField::Identifier || new.is_string());
            changes.then(|| (unique, old.to_owned()))
        });
        gone.collect()
    }

    /// Returns the codes of this record that another token has.
    pub(super) fn taken_by_others(&self, record: &Object) -> Vec<UniqueFieldValue> {
        let own = self.of_record(record).map(|token| &token.id);
        named(record).filter(|value| self.owners.get(value).is_some_and(|owner| Some(owner) != own)).collect()
    }

    /// Removes the index entries of the values that this record changes, so that other tokens may have them.
    pub(super) fn release(&mut self, record: &Object) {
        for value in self.released(record) {
            self.owners.remove(&value);
        }
    }

    pub(super) fn end_record(&mut self, keep: bool) -> bool {
        let Some(PendingToken { token, replaces, differs }) = self.pending.take() else { return false };
        if keep {
            if let Some(old) = replaces {
                self.take(&old);
                self.changed.remove(&old);
                // A token may be renamed more than once in a batch.
                match self.renamed.values_mut().find(|now| **now == old) {
                    Some(now) => now.clone_from(&token.id),
                    None if self.stored.contains(&old) => drop(self.renamed.insert(old, token.id.clone())),
                    None => {}
                }
            }
            self.record_released(&token);
            let token = Arc::new(token);
            self.changed.insert(token.id.clone(), Arc::clone(&token));
            self.put(token);
        }
        differs
    }

    /// Records the values that a token no longer has.
    fn record_released(&mut self, new: &AccessToken) {
        let Some(old) = self.all.get(&new.id) else { return };
        for value in UniqueField::values(old).filter(|(unique, value)| unique.of(new) != Some(value)) {
            self.released_by.entry(value).or_insert_with(|| old.id.clone());
        }
    }

    /// Returns the changes of tokens that the batch writes.
    pub(super) fn into_changes(self) -> ImportChanges {
        let mut vacated_tokens = Vec::new();
        if !self.released_by.is_empty() {
            for token in self.changed.values() {
                let before = UniqueField::values(token).filter_map(|value| self.released_by.get(&value));
                vacated_tokens.extend(before.filter(|id| **id != token.id && self.changed.contains_key(*id)).cloned());
            }
            vacated_tokens.sort_unstable();
            vacated_tokens.dedup();
        }
        // The index holds the only other references to the changed tokens.
        drop(self.all);
        let tokens = self.changed.into_values().map(Arc::unwrap_or_clone).collect();
        let renamed_tokens = self.renamed.into_iter().collect();
        ImportChanges { tokens, renamed_tokens, vacated_tokens, ..ImportChanges::default() }
    }
}

/// Returns the code and the identifier that a record names.
pub(super) fn named(record: &Object) -> impl Iterator<Item = UniqueFieldValue> {
    [UniqueField::AuthenticationCode, UniqueField::Identifier].into_iter().filter_map(move |unique| {
        let (field, _) = unique.field_and_reason();
        Some((unique, record.get(field)?.as_str()?.to_owned()))
    })
}

/// The keys by which a record with neither id nor number finds its token, besides the authentication code.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LookupKeys {
    /// The id that was derived for a record with this code. The code of the token may be another one since.
    pub(super) by_derived_id: bool,
    /// The identifier.
    pub(super) by_identifier: bool,
}

impl Tokens {
    /// Returns the token of a record: by its id, else by its number. A record without both names it by its
    /// authentication code, else by its identifier. A token that such a record created is found by the code of that
    /// record even after its code was changed. So an old file neither creates a second token nor brings back the code
    /// of a replaced card.
    pub(super) fn of_record(&self, record: &Object) -> Option<&AccessToken> {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        if !is_unnumbered(record) {
            let by_id = text("id").and_then(|id| self.get(id));
            return by_id.or_else(|| text("number").and_then(|number| self.find(UniqueField::Number, number)));
        }
        let code = text("authentication_code");
        let by_code = code.and_then(|code| self.find(UniqueField::AuthenticationCode, code));
        let by_derived_id = || {
            let code = code.filter(|_| self.lookup_keys.by_derived_id)?;
            self.get(&derived_token_id(&self.organisation, code))
        };
        let by_identifier = || {
            let identifier = text("identifier").filter(|_| self.lookup_keys.by_identifier)?;
            self.find(UniqueField::Identifier, identifier)
        };
        by_code.or_else(by_derived_id).or_else(by_identifier)
    }
}
