//! Codes that change hands within one import.
//!
//! A record may give a token a code that another token still has, because the record of the other one comes later. Records are
//! worked through in their order. Those that want a value of another token wait. In the end all that wait let go of the values
//! that they change, and are worked through once more: chains and swaps work out, and a value that its owner keeps is refused.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::tokens::{self, UniqueFieldValue};
use super::{Batch, Kind, Outcome, Prepared, Record};
use crate::model::error::Error;
use crate::{Reason, Result};

/// Rounds in which records that fail drop out of a group that exchanges codes. Those that are left then fail too.
const MAX_ROUNDS: usize = 16;

/// What became of a record of a batch.
#[derive(Debug)]
pub enum Verdict {
    /// It is decided.
    Decided(Result<(Outcome, String)>),
    /// It wants a number, code or identifier of another token, which a later record may change.
    Waiting {
        /// What the record gets if no other record changes the value.
        error: Error,
        /// What connects the record with others that wait.
        links: Links,
    },
}

/// Hashes of codes and identifiers. A token gives a value up to the token that wants it. Two values with the same hash do no harm: their
/// records are worked through together then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// What the token of the record has and the record changes.
    pub released: Vec<u64>,
    /// What the record names.
    pub requested: Vec<u64>,
    /// What the record names and another token has, as far as is known.
    pub taken: Vec<u64>,
}

impl Links {
    /// The links of a record whose token is not known.
    pub fn of(record: &Record) -> Self {
        let requested: Vec<_> = tokens::named(&record.object).map(|value| hash(&value)).collect();
        Self { released: Vec::new(), taken: requested.clone(), requested }
    }
}

fn hash(value: &UniqueFieldValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// By what a record names its token: a later record of the same token must not overtake one that waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RecordKey {
    /// Its id.
    Id(String),
    /// Its number.
    Number(String),
}

impl RecordKey {
    /// The keys of a record of an access token.
    pub fn of(record: &Record) -> impl Iterator<Item = Self> {
        let text = |name: &str| match record.kind {
            Kind::AccessToken => record.object.get(name).and_then(|value| value.as_str()).map(str::to_owned),
            _ => None,
        };
        text("id").map(Self::Id).into_iter().chain(text("number").map(Self::Number))
    }
}

impl Batch<'_> {
    /// Takes records in, in their order. A record that wants a value of another token may get it from a record that comes later.
    pub fn add_all<'r>(&mut self, records: impl IntoIterator<Item = &'r Prepared>) -> Vec<Verdict> {
        let (mut verdicts, mut waiting, mut keys) = (Vec::new(), Vec::new(), HashSet::new());
        let records: Vec<_> = records.into_iter().collect();
        self.reserve_named_numbers(&records);
        for prepared in records {
            let follows = !keys.is_empty() && RecordKey::of(&prepared.record()).any(|key| keys.contains(&key));
            let result = if follows { Err(conflict()) } else { self.add(prepared.clone()) };
            if result.as_ref().is_err_and(|error| follows || fails_for_taken_value(error)) {
                keys.extend(RecordKey::of(&prepared.record()));
                waiting.push((verdicts.len(), prepared));
            }
            verdicts.push(result);
        }
        let mut undecided: HashMap<_, _> = waiting.iter().copied().collect();
        for (place, result) in self.exchange(waiting) {
            if !result.as_ref().is_err_and(fails_for_taken_value) {
                undecided.remove(&place);
            }
            verdicts[place] = result;
        }
        let verdicts = verdicts.into_iter().enumerate().map(|(place, result)| match (result, undecided.get(&place)) {
            (Err(error), Some(prepared)) => Verdict::Waiting { error, links: self.links(&prepared.record()) },
            (result, _) => Verdict::Decided(result),
        });
        verdicts.collect()
    }

    fn links(&self, record: &Record) -> Links {
        let [released, taken] = [self.tokens.released(&record.object), self.tokens.taken_by_others(&record.object)]
            .map(|values| values.iter().map(hash).collect());
        Links { released, taken, ..Links::of(record) }
    }

    /// Works the records that wait through once more, while none of them holds the values that it changes. Answers the results of
    /// those that have one.
    fn exchange(&mut self, mut group: Vec<(usize, &Prepared)>) -> HashMap<usize, Result<(Outcome, String)>> {
        let mut decided = HashMap::new();
        self.retain_possible(&mut group);
        for _ in 0..MAX_ROUNDS {
            if group.is_empty() {
                break;
            }
            let before = self.clone();
            for (_, prepared) in &group {
                let record = prepared.record();
                if self.protected_token(&record.object).is_none() {
                    self.tokens.release(&record.object);
                }
            }
            let results: Vec<_> = group.iter().map(|(place, one)| (*place, self.add((*one).clone()))).collect();
            if results.iter().all(|(_, result)| result.is_ok()) {
                decided.extend(results);
                break;
            }
            // A token whose record fails keeps its values, so the others are worked through without it.
            *self = before;
            let failed: HashSet<_> =
                results.iter().filter(|(_, result)| result.is_err()).map(|(place, _)| *place).collect();
            decided.extend(results.into_iter().filter(|(_, result)| result.is_err()));
            group.retain(|(place, _)| !failed.contains(place));
        }
        decided
    }

    /// Leaves the records out that want a value which its owner keeps, and those that want a value of the token of such a record.
    fn retain_possible(&self, group: &mut Vec<(usize, &Prepared)>) {
        let mut releasers = HashMap::new();
        for (index, (_, prepared)) in group.iter().enumerate() {
            let record = prepared.record();
            if self.protected_token(&record.object).is_none() {
                releasers.extend(self.tokens.released(&record.object).into_iter().map(|value| (value, index)));
            }
        }
        let (mut takers, mut impossible) = (vec![Vec::new(); group.len()], Vec::new());
        for (index, one) in group.iter().enumerate() {
            for value in self.tokens.taken_by_others(&one.1.record().object) {
                match releasers.get(&value) {
                    Some(giver) => takers[*giver].push(index),
                    None => impossible.push(index),
                }
            }
        }
        let mut dropped = vec![false; group.len()];
        while let Some(index) = impossible.pop() {
            if !std::mem::replace(&mut dropped[index], true) {
                impossible.append(&mut takers[index]);
            }
        }
        let mut dropped = dropped.into_iter();
        group.retain(|_| !dropped.next().unwrap_or(false));
    }
}

/// Whether a record fails for a value that another token has, perhaps besides others. In the end it may turn out to be free, and the
/// record is refused for its own faults only.
fn fails_for_taken_value(error: &Error) -> bool {
    let taken = |reason| {
        matches!(
            reason,
            Reason::NumberAlreadyExists | Reason::AuthenticationCodeAlreadyExists | Reason::IdentifierAlreadyExists
        )
    };
    taken(error.reason()) || error.violations().iter().any(|violation| taken(violation.reason))
}

fn conflict() -> Error {
    Error::field(Reason::Conflict, "access_token", "an earlier record of the same access token was refused")
}
