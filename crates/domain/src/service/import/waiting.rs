//! Records that wait for the end of an import, because they want a value of another token that a later batch may change.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Candidate;
use crate::import::{Links, Prepared, Record, RecordKey};

/// Maximum number of records that wait, and of their bytes as JSON.
const MAX_RECORDS: usize = 10_000;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Number of records from which on a group takes no more. Only records that have to be worked through together make a larger one.
const GROUP_RECORDS: usize = 500;

/// Maximum number of records that are worked through together. They take 5 KiB each meanwhile.
pub(super) const MAX_RING: usize = 5_000;

/// Memory that a record takes beside its text, in bytes.
const RECORD_OVERHEAD: usize = 512;

/// Records that wait, in their order.
pub(super) struct Waiting {
    records: Vec<WaitingRecord>,
    /// Bytes of the records as JSON.
    bytes: usize,
    /// Maximum memory of all, in bytes.
    limit: usize,
    /// The last record that waits, by the keys of its token.
    last: HashMap<RecordKey, usize>,
}

/// A record that waits.
pub(super) struct WaitingRecord {
    position: usize,
    prepared: Prepared,
    links: Links,
    /// The records of the same token before it.
    follows: Vec<usize>,
}

impl WaitingRecord {
    pub(super) fn into_candidate(self) -> (usize, Candidate) {
        (self.position, Candidate { kind: self.prepared.kind(), prepared: Ok(self.prepared) })
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self { records: Vec::new(), bytes: 0, limit: usize::MAX, last: HashMap::new() }
    }
}

impl Waiting {
    /// Sets the maximum memory of records that wait, in bytes. Those that wait already stay.
    pub(super) fn limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Returns the memory of all, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.records.len() * RECORD_OVERHEAD
    }

    /// Whether a record of the same token waits: a later one must not overtake it.
    pub(super) fn precedes(&self, record: &Record) -> bool {
        !self.last.is_empty() && RecordKey::of(record).any(|key| self.last.contains_key(&key))
    }

    /// Adds a record. Returns false, and does not add it, when there are too many.
    pub(super) fn add(&mut self, position: usize, prepared: Prepared, links: Links) -> bool {
        let (prepared, length) = prepared.packed();
        let memory = self.memory().saturating_add(length + RECORD_OVERHEAD);
        if self.records.len() >= MAX_RECORDS || self.bytes.saturating_add(length) > MAX_BYTES || memory > self.limit {
            return false;
        }
        self.bytes += length;
        let place = self.records.len();
        let follows = RecordKey::of(&prepared.record()).filter_map(|key| self.last.insert(key, place)).collect();
        self.records.push(WaitingRecord { position, prepared, links, follows });
        true
    }

    /// Cuts the records into groups to be worked through one after the other. A record comes after those that give up what it wants, so
    /// that it finds the value free. Records that wait for each other in a ring come together.
    pub(super) fn into_groups(self) -> VecDeque<Vec<WaitingRecord>> {
        let mut groups = VecDeque::new();
        let mut group: Vec<WaitingRecord> = Vec::new();
        let order = order(&self.records);
        let mut records: Vec<_> = self.records.into_iter().map(Some).collect();
        for together in order {
            if !group.is_empty() && group.len() + together.len() > GROUP_RECORDS {
                groups.push_back(std::mem::take(&mut group));
            }
            group.extend(together.into_iter().filter_map(|place| records.get_mut(place)?.take()));
        }
        if !group.is_empty() {
            groups.push_back(group);
        }
        groups
    }
}

/// The places of records in the order in which they are worked through. Those of one list belong together.
fn order(records: &[WaitingRecord]) -> Vec<Vec<usize>> {
    let mut givers = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        for value in &record.links.gives {
            givers.entry(*value).or_insert(place);
        }
    }
    let needs = records.iter().enumerate().map(|(place, record)| {
        let values = record.links.wants.iter().filter_map(|value| givers.get(value).copied());
        values.chain(record.follows.iter().copied()).filter(|other| *other != place).collect()
    });
    let needs: Vec<HashSet<usize>> = needs.collect();
    let mut needed_by = vec![Vec::new(); records.len()];
    for (place, others) in needs.iter().enumerate() {
        others.iter().for_each(|other| needed_by[*other].push(place));
    }
    // First the records that need no other, or only such before them.
    let mut open: Vec<usize> = needs.iter().map(HashSet::len).collect();
    let mut ready: VecDeque<usize> = (0..records.len()).filter(|place| open[*place] == 0).collect();
    let mut done = vec![false; records.len()];
    let mut order = Vec::new();
    while let Some(place) = ready.pop_front() {
        done[place] = true;
        order.push(vec![place]);
        for next in &needed_by[place] {
            open[*next] -= 1;
            if open[*next] == 0 {
                ready.push_back(*next);
            }
        }
    }
    // What is left are rings, with the records that hang on them.
    for place in 0..records.len() {
        if std::mem::replace(&mut done[place], true) {
            continue;
        }
        let (mut together, mut found) = (vec![place], vec![place]);
        while let Some(one) = found.pop() {
            for other in needs[one].iter().chain(&needed_by[one]) {
                if !std::mem::replace(&mut done[*other], true) {
                    together.push(*other);
                    found.push(*other);
                }
            }
        }
        together.sort_unstable();
        order.push(together);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of the token `id` that has the values `gives` and names the values `wants`.
    fn add(waiting: &mut Waiting, id: &str, gives: &[u64], wants: &[u64]) {
        let position = waiting.records.len();
        let mut records = crate::import::parse(&format!(r#"{{"access_token": {{"id": "{id}"}}}}"#)).expect("a record");
        let prepared = Prepared::new(records.remove(0), None);
        assert!(waiting.add(position, prepared, Links { gives: gives.to_vec(), wants: wants.to_vec() }));
    }

    fn positions(waiting: Waiting) -> Vec<Vec<usize>> {
        let groups = waiting.into_groups().into_iter();
        groups.map(|group| group.iter().map(|record| record.position).collect()).collect()
    }

    #[test]
    fn a_chain_is_worked_through_from_its_end() {
        let mut waiting = Waiting::default();
        for n in 0..1_200 {
            add(&mut waiting, &n.to_string(), &[n], &[n + 1]);
        }
        let groups = positions(waiting);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 200]);
        assert!(groups.concat().into_iter().eq((0..1_200).rev()));
    }

    #[test]
    fn rings_stay_together() {
        let mut waiting = Waiting::default();
        for n in 0..300 {
            add(&mut waiting, &format!("a{n}"), &[n], &[1_000 + n]);
        }
        for n in 0..300 {
            add(&mut waiting, &format!("b{n}"), &[1_000 + n], &[n]);
        }
        // A ring that is larger than a group.
        for n in 0..700 {
            add(&mut waiting, &format!("c{n}"), &[2_000 + n], &[2_000 + (n + 1) % 700]);
        }
        let groups = positions(waiting);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [500, 100, 700]);
        assert!(groups[0].chunks(2).all(|pair| pair[0] + 300 == pair[1]));
    }

    #[test]
    fn records_of_one_token_keep_their_order() {
        let mut waiting = Waiting::default();
        add(&mut waiting, "x", &[1], &[2]);
        add(&mut waiting, "x", &[1], &[1]);
        add(&mut waiting, "y", &[2], &[3]);
        assert_eq!(positions(waiting), [[2, 0, 1]]);
    }
}
