//! Exchange of codes between tokens within one import.
//!
//! A record may give a token a code that another token still has, because the record of the other token comes later.
//! Records are processed in their order. A record that requests a value of another token waits. At the end, all waiting
//! tokens release the values that their records change, and the records are processed again. So chains and exchanges
//! succeed, and a record that requests a value which its owner keeps is refused.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::tokens::{self, UniqueFieldValue, is_taken};
use super::{Batch, Kind, Outcome, Prepared, Record};
use crate::model::error::Error;
use crate::{Reason, Result};

/// Maximum number of rounds in which failed records leave a group. Records that are left after that fail too.
const MAX_ROUNDS: usize = 16;

/// The result of a record of a batch.
#[derive(Debug)]
pub enum Decision {
    /// The record has a result.
    Decided(Result<(Outcome, String)>),
    /// The record requests a number, code or identifier of another token, which a later record may release.
    Waiting {
        /// Error of the record if no other record releases the value.
        error: Error,
        /// Values that connect the record with other waiting records.
        links: Links,
    },
}

/// Hashes of the codes and identifiers of a record. Two values with the same hash do no harm: their records are only
/// imported together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Values that the token has and the record changes.
    pub released: Vec<u64>,
    /// Values that the record names.
    pub requested: Vec<u64>,
    /// Values that the record names and another token has, as far as is known.
    pub taken: Vec<u64>,
}

impl Links {
    /// Returns the links of a record whose token is not known.
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

/// A key by which a record names its token. A later record of the same token must not overtake one that waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RecordKey {
    /// The id.
    Id(String),
    /// The number.
    Number(String),
}

impl RecordKey {
    /// Returns the keys of a record of an access token.
    pub fn of(record: &Record) -> impl Iterator<Item = Self> {
        let text = |name: &str| match record.kind {
            Kind::AccessToken => record.object.get(name).and_then(|value| value.as_str()).map(str::to_owned),
            _ => None,
        };
        text("id").map(Self::Id).into_iter().chain(text("number").map(Self::Number))
    }
}

impl Batch<'_> {
    /// Applies records in their order. A record that requests a value of another token may get it from a later record.
    pub fn add_all<'r>(&mut self, records: impl IntoIterator<Item = &'r Prepared>) -> Vec<Decision> {
        let (mut decisions, mut waiting, mut keys) = (Vec::new(), Vec::new(), HashSet::new());
        let records: Vec<_> = records.into_iter().collect();
        self.reserve_named_numbers(&records);
        for prepared in records {
            let follows = !keys.is_empty() && RecordKey::of(&prepared.record()).any(|key| keys.contains(&key));
            let result = if follows { Err(conflict()) } else { self.add(prepared.clone()) };
            if result.as_ref().is_err_and(|error| follows || fails_for_taken_value(error)) {
                keys.extend(RecordKey::of(&prepared.record()));
                waiting.push((decisions.len(), prepared));
            }
            decisions.push(result);
        }
        let mut undecided: HashMap<_, _> = waiting.iter().copied().collect();
        for (place, result) in self.exchange(waiting) {
            if !result.as_ref().is_err_and(fails_for_taken_value) {
                undecided.remove(&place);
            }
            decisions[place] = result;
        }
        let decisions =
            decisions.into_iter().enumerate().map(|(place, result)| match (result, undecided.get(&place)) {
                (Err(error), Some(prepared)) => Decision::Waiting { error, links: self.links(&prepared.record()) },
                (result, _) => Decision::Decided(result),
            });
        decisions.collect()
    }

    fn links(&self, record: &Record) -> Links {
        let [released, taken] = [self.tokens.released(&record.object), self.tokens.taken_by_others(&record.object)]
            .map(|values| values.iter().map(hash).collect());
        Links { released, taken, ..Links::of(record) }
    }

    /// Processes the waiting records again, after their tokens have released the values that the records change.
    /// Returns the results of the records that have one.
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
            let results = group.iter().map(|(place, one)| (*place, self.add((*one).clone())));
            let (failed, done): (HashMap<_, _>, HashMap<_, _>) = results.partition(|(_, result)| result.is_err());
            if failed.is_empty() {
                decided.extend(done);
                break;
            }
            // The token of a failed record keeps its values, so the others are processed without it.
            *self = before;
            group.retain(|(place, _)| !failed.contains_key(place));
            decided.extend(failed);
        }
        decided
    }

    /// Removes the records that request a value which its owner keeps, and recursively those that request a value of a
    /// token of such a record.
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
        let mut dropped = reachable(impossible, &takers).into_iter();
        group.retain(|_| !dropped.next().unwrap_or(false));
    }
}

/// Returns for each node of a graph whether it is one of `open`, or follows one of them at any distance.
pub(crate) fn reachable(mut open: Vec<usize>, successors: &[Vec<usize>]) -> Vec<bool> {
    let mut reached = vec![false; successors.len()];
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            open.extend(&successors[node]);
        }
    }
    reached
}

/// Returns whether a record fails for a value of another token, alone or with other errors. If the value becomes free
/// at the end, the record is refused for the other errors only.
fn fails_for_taken_value(error: &Error) -> bool {
    is_taken(error.reason()) || error.violations().iter().any(|violation| is_taken(violation.reason))
}

fn conflict() -> Error {
    Error::field(Reason::Conflict, "access_token", "an earlier record of the same access token was refused")
}
