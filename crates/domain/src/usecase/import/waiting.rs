//! Records that wait for the end of an import, because they want a value of another token that a later batch may change.

use std::collections::{HashMap, HashSet, VecDeque};

use super::candidate::Candidate;
use crate::import::{Links, Prepared, Record, RecordKey};

/// Maximum number of records that wait, and of their bytes as JSON.
const MAX_RECORDS: usize = 10_000;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The sizes from which on complete records are looked for, for the first and the last time. Between the last one and [`MAX_BYTES`] there
/// is room for a batch.
const FIRST_ATTEMPT: usize = MAX_BYTES / 2;
const LAST_ATTEMPT: usize = MAX_BYTES / 10 * 9;

/// Number of records from which on a group takes no more. Only records that have to be worked through together make a larger one.
const GROUP_RECORDS: usize = 500;

/// Maximum number of records that are worked through together. They take 5 KiB each meanwhile.
pub(super) const MAX_CYCLE: usize = 5_000;

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
    /// The [`Self::size`] from which on complete records are taken before the end of the import.
    full: usize,
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
        Self { records: Vec::new(), bytes: 0, limit: usize::MAX, last: HashMap::new(), full: FIRST_ATTEMPT }
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
        self.push(WaitingRecord { position, prepared, links, follows: Vec::new() }, length);
        true
    }

    /// Adds a record whose text has `length` bytes.
    fn push(&mut self, mut record: WaitingRecord, length: usize) {
        let place = self.records.len();
        let follows = RecordKey::of(&record.prepared.record()).filter_map(|key| self.last.insert(key, place)).collect();
        record.follows = follows;
        self.bytes += length;
        self.records.push(record);
    }

    /// Returns which part of [`MAX_BYTES`] or of [`MAX_RECORDS`] is used, whichever is more, in parts of [`MAX_BYTES`].
    fn size(&self) -> usize {
        self.bytes.max(self.records.len() * MAX_BYTES.div_ceil(MAX_RECORDS))
    }

    /// Takes complete records out, in groups as [`Self::into_groups`] makes them, when at least half of the room is used. A record is
    /// complete when the records that give up what it wants wait too, and are complete themselves. Otherwise the record
    /// that gives the value up may still come.
    pub(super) fn take_complete(&mut self) -> VecDeque<Vec<WaitingRecord>> {
        if self.size() < self.full {
            return VecDeque::new();
        }
        let before = std::mem::take(self);
        self.limit = before.limit;
        let complete = complete(&before.records);
        let (groups, rest) = before.groups(|place| complete[place]);
        for mut record in rest {
            let (prepared, length) = record.prepared.packed();
            record.prepared = prepared;
            self.push(record, length);
        }
        // Each attempt looks at all records, so the next one comes when there are twice as many, or a last time before there is no room.
        self.full = match self.size() {
            size if 2 * size <= LAST_ATTEMPT => FIRST_ATTEMPT.max(2 * size),
            size if size < LAST_ATTEMPT => LAST_ATTEMPT,
            _ => usize::MAX,
        };
        groups
    }

    /// Cuts the records into groups to be worked through one after the other. A record comes after those that give up what it wants, so
    /// that it finds the value free. Records that wait for each other in a ring come together.
    pub(super) fn into_groups(self) -> VecDeque<Vec<WaitingRecord>> {
        self.groups(|_| true).0
    }

    /// Returns groups of the records whose place is chosen, and the other records in their order.
    fn groups(self, is_chosen: impl Fn(usize) -> bool) -> (VecDeque<Vec<WaitingRecord>>, Vec<WaitingRecord>) {
        let mut groups = VecDeque::new();
        let mut group: Vec<WaitingRecord> = Vec::new();
        let order = order(&self.records);
        let mut records: Vec<_> = self.records.into_iter().map(Some).collect();
        for mut together in order {
            together.retain(|place| is_chosen(*place));
            if !group.is_empty() && group.len() + together.len() > GROUP_RECORDS {
                groups.push_back(std::mem::take(&mut group));
            }
            group.extend(together.into_iter().filter_map(|place| records.get_mut(place)?.take()));
        }
        if !group.is_empty() {
            groups.push_back(group);
        }
        (groups, records.into_iter().flatten().collect())
    }
}

/// Returns the places of records by the values that they give up.
fn releasers(records: &[WaitingRecord]) -> HashMap<u64, usize> {
    let mut releasers = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        for value in &record.links.released {
            releasers.entry(*value).or_insert(place);
        }
    }
    releasers
}

/// Returns which records each record comes after, and which come after it.
fn dependencies(records: &[WaitingRecord], releasers: &HashMap<u64, usize>) -> (Vec<HashSet<usize>>, Vec<Vec<usize>>) {
    let predecessors = records.iter().enumerate().map(|(place, record)| {
        let values = record.links.requested.iter().filter_map(|value| releasers.get(value).copied());
        values.chain(record.follows.iter().copied()).filter(|other| *other != place).collect()
    });
    let predecessors: Vec<HashSet<usize>> = predecessors.collect();
    let mut successors = vec![Vec::new(); records.len()];
    for (place, others) in predecessors.iter().enumerate() {
        others.iter().for_each(|other| successors[*other].push(place));
    }
    (predecessors, successors)
}

/// Returns which records are complete. See [`Waiting::take_complete`].
fn complete(records: &[WaitingRecord]) -> Vec<bool> {
    let releasers = releasers(records);
    let (_, successors) = dependencies(records, &releasers);
    let mut complete = vec![true; records.len()];
    let lacks = |record: &WaitingRecord| record.links.taken.iter().any(|value| !releasers.contains_key(value));
    let mut incomplete: Vec<usize> = (0..records.len()).filter(|place| lacks(&records[*place])).collect();
    while let Some(place) = incomplete.pop() {
        if std::mem::replace(&mut complete[place], false) {
            incomplete.extend(&successors[place]);
        }
    }
    complete
}

/// The places of records in the order in which they are worked through. Those of one list belong together.
fn order(records: &[WaitingRecord]) -> Vec<Vec<usize>> {
    let (predecessors, successors) = dependencies(records, &releasers(records));
    // First the records that need no other, or only such before them.
    let mut open: Vec<usize> = predecessors.iter().map(HashSet::len).collect();
    let mut ready: VecDeque<usize> = (0..records.len()).filter(|place| open[*place] == 0).collect();
    let mut done = vec![false; records.len()];
    let mut order = Vec::new();
    while let Some(place) = ready.pop_front() {
        done[place] = true;
        order.push(vec![place]);
        for next in &successors[place] {
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
            for other in predecessors[one].iter().chain(&successors[one]) {
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
    fn add(waiting: &mut Waiting, id: &str, released: &[u64], requested: &[u64]) {
        let position = waiting.records.len();
        let mut records = crate::import::parse(&format!(r#"{{"access_token": {{"id": "{id}"}}}}"#)).expect("a record");
        let prepared = Prepared::new(records.remove(0), None);
        assert!(waiting.add(
            position,
            prepared,
            Links { released: released.to_vec(), requested: requested.to_vec(), taken: requested.to_vec() }
        ));
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

    #[test]
    fn complete_rings_make_room_and_the_others_stay_in_their_order() {
        let mut waiting = Waiting::default();
        for n in 0..5_000 {
            if n == 4_900 {
                assert!(waiting.take_complete().is_empty(), "there is room");
            }
            // Rings of 100, and a chain whose end has not come.
            let next = if n % 10 == 0 { n + 10 } else { n / 100 * 100 + (n + 1) % 100 };
            let next = if n % 10 == 9 { n / 100 * 100 + (n + 2) % 100 } else { next };
            add(&mut waiting, &n.to_string(), &[n], &[next]);
        }
        let groups = waiting.take_complete();
        assert!(groups.iter().all(|group| group.len() <= 500));
        let mut taken: Vec<_> = groups.into_iter().flatten().map(|record| record.position).collect();
        taken.sort_unstable();
        assert!(taken.into_iter().eq((0..5_000).filter(|n| n % 10 != 0)));
        assert!(waiting.precedes(&crate::import::parse(r#"{"access_token": {"id": "4990"}}"#).expect("a record")[0]));
        assert!(waiting.take_complete().is_empty(), "it is not full again");
        assert!(positions(waiting).concat().into_iter().eq((0..500).rev().map(|n| n * 10)));
    }

    #[test]
    fn a_record_is_incomplete_when_one_before_it_is() {
        let mut waiting = Waiting::default();
        for n in 0..4_998 {
            add(&mut waiting, &n.to_string(), &[n], &[(n + 1) % 4_998]);
        }
        // A token whose first record lacks what it wants: its second one, and what wants a value of that, stay.
        add(&mut waiting, "x", &[10_001], &[99_999]);
        add(&mut waiting, "x", &[10_002], &[0]);
        add(&mut waiting, "y", &[10_003], &[10_002]);
        let taken: usize = waiting.take_complete().iter().map(Vec::len).sum();
        assert_eq!(taken, 4_998);
        assert_eq!(positions(waiting).concat().len(), 3);
    }
}
