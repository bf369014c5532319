//! Records that wait for the end of an import, because they need a value of another token that a later record may
//! release.

use std::collections::{HashMap, HashSet, VecDeque};

use super::candidate::Candidate;
use crate::import::{Links, Prepared, Record, RecordKey, reachable};

/// Maximum number of waiting records.
const MAX_RECORDS: usize = 10_000;
/// Maximum size of the waiting records as JSON, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Sizes at which complete records are searched for the first and the last time. Between the last one and [`MAX_BYTES`]
/// there is space for a batch.
const FIRST_SEARCH_SIZE: usize = MAX_BYTES / 2;
const LAST_SEARCH_SIZE: usize = MAX_BYTES / 10 * 9;

/// Number of records above which no record is added to a group. Only records that must be imported together make a
/// larger one.
const MAX_GROUP_RECORDS: usize = 500;

/// Maximum number of records of one group. They take 5 KiB of memory each while they are imported.
pub(super) const MAX_CYCLE: usize = 5_000;

/// Memory of a record besides its text, in bytes.
const RECORD_OVERHEAD: usize = 512;

/// Waiting records, in their order.
pub(super) struct Waiting {
    records: Vec<WaitingRecord>,
    /// Size of the records as JSON, in bytes.
    bytes: usize,
    /// Maximum memory of all records, in bytes.
    limit: usize,
    /// Place of the last waiting record of a token, by the keys of the token.
    last: HashMap<RecordKey, usize>,
    /// Value of [`Self::size`] from which on complete records are taken before the end of the import.
    full: usize,
}

/// A waiting record.
pub(super) struct WaitingRecord {
    position: usize,
    prepared: Prepared,
    links: Links,
    /// Places of earlier records of the same token.
    follows: Vec<usize>,
}

impl WaitingRecord {
    pub(super) fn into_candidate(self) -> Candidate {
        Candidate { position: self.position, kind: self.prepared.kind(), prepared: Ok(self.prepared) }
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self { records: Vec::new(), bytes: 0, limit: usize::MAX, last: HashMap::new(), full: FIRST_SEARCH_SIZE }
    }
}

impl Waiting {
    /// Sets the maximum memory of waiting records, in bytes. Records that already wait stay.
    pub(super) fn limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Returns the memory of all records, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.records.len() * RECORD_OVERHEAD
    }

    /// Returns whether a record of the same token waits. A later record must not overtake it.
    pub(super) fn precedes(&self, record: &Record) -> bool {
        !self.last.is_empty() && RecordKey::of(record).any(|key| self.last.contains_key(&key))
    }

    /// Adds a record. Returns false, without adding it, when there is no space.
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

    /// Returns the used part of [`MAX_BYTES`] or of [`MAX_RECORDS`], whichever is larger, as a part of [`MAX_BYTES`].
    fn size(&self) -> usize {
        self.bytes.max(self.records.len() * MAX_BYTES.div_ceil(MAX_RECORDS))
    }

    /// Removes complete records, in groups as [`Self::into_groups`] makes them, when at least half of the space is in
    /// use. A record is complete when the records that release the values it needs wait too, and are complete
    /// themselves. Otherwise such a record may still come.
    pub(super) fn take_complete(&mut self) -> VecDeque<Vec<WaitingRecord>> {
        if self.size() < self.full {
            return VecDeque::new();
        }
        let before = std::mem::take(self);
        self.limit = before.limit;
        let incomplete = incomplete(&before.records);
        let (groups, rest) = before.groups(|place| !incomplete[place]);
        for mut record in rest {
            let (prepared, length) = record.prepared.packed();
            record.prepared = prepared;
            self.push(record, length);
        }
        // Each attempt looks at all records. The next one follows when there are twice as many, or a last time before
        // there is no space.
        self.full = match self.size() {
            size if 2 * size <= LAST_SEARCH_SIZE => FIRST_SEARCH_SIZE.max(2 * size),
            size if size < LAST_SEARCH_SIZE => LAST_SEARCH_SIZE,
            _ => usize::MAX,
        };
        groups
    }

    /// Divides the records into groups, which are imported one after the other. A record comes after those that release
    /// the values it needs, so that it finds them free. Records that wait for each other in a cycle are in one group.
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
            if !group.is_empty() && group.len() + together.len() > MAX_GROUP_RECORDS {
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

/// Returns the places of records by the values that they release.
fn releasers(records: &[WaitingRecord]) -> HashMap<u64, usize> {
    let mut releasers = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        for value in &record.links.released {
            releasers.entry(*value).or_insert(place);
        }
    }
    releasers
}

/// Returns for each record the positions of the records that must be imported before it, and of those that must be
/// imported after it.
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

/// Returns for each record whether it is incomplete. See [`Waiting::take_complete`].
fn incomplete(records: &[WaitingRecord]) -> Vec<bool> {
    let releasers = releasers(records);
    let (_, successors) = dependencies(records, &releasers);
    let lacks = |record: &WaitingRecord| record.links.taken.iter().any(|value| !releasers.contains_key(value));
    reachable((0..records.len()).filter(|place| lacks(&records[*place])).collect(), &successors)
}

/// Returns the places of records in the order of import. The places of one list are imported together.
fn order(records: &[WaitingRecord]) -> Vec<Vec<usize>> {
    let (predecessors, successors) = dependencies(records, &releasers(records));
    // First come the records that depend on no other, or only on earlier ones.
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
    // The rest are cycles, with the records that depend on them.
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

    /// Adds a record of the token `id` that releases some values and requests others.
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
        // A cycle that is larger than a group.
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
            // Cycles of 100, and a chain whose last record is missing.
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
        // The first record of a token lacks a value. Its second record, and a record that requests a value of that,
        // stay.
        add(&mut waiting, "x", &[10_001], &[99_999]);
        add(&mut waiting, "x", &[10_002], &[0]);
        add(&mut waiting, "y", &[10_003], &[10_002]);
        let taken: usize = waiting.take_complete().iter().map(Vec::len).sum();
        assert_eq!(taken, 4_998);
        assert_eq!(positions(waiting).concat().len(), 3);
    }
}
