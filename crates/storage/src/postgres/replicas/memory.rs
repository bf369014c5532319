//! How far the callers of this process have written.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use access_tokens_domain::session::Caller;
use access_tokens_domain::store::LogPosition;

/// So many callers are told apart, more or less. Those who share a place wait for each other's writes too.
const PLACES: usize = 4_096;

/// The last position of each caller, in a room that never grows: 32 KiB.
pub(crate) struct Memory {
    places: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Under everybody's.
    floor: AtomicU64,
    /// The youngest history that anybody has written to.
    timeline: AtomicU32,
    /// Writes of which nobody knows where they are, and how many of those lie under the floor by now.
    doubts: AtomicU64,
    settled: AtomicU64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            floor: AtomicU64::new(0),
            timeline: AtomicU32::new(0),
            doubts: AtomicU64::new(0),
            settled: AtomicU64::new(0),
        }
    }
}

impl Memory {
    /// Where a caller is remembered: by organisation and user, whatever the session.
    pub(crate) fn place(&self, caller: &Caller) -> usize {
        (self.hasher.hash_one((caller.organisation, &caller.user)) % PLACES as u64) as usize
    }

    /// What a caller in this place has written lies before this position.
    pub(crate) fn note(&self, place: usize, written: LogPosition) {
        self.places[place].fetch_max(written.offset, Ordering::AcqRel);
        self.timeline.fetch_max(written.timeline, Ordering::AcqRel);
    }

    /// What a caller in this place must be shown. `None`: nobody knows at the moment.
    pub(crate) fn written(&self, place: usize) -> Option<LogPosition> {
        // First: what is settled meanwhile is under the floor.
        if self.settled.load(Ordering::Acquire) < self.doubts.load(Ordering::Acquire) {
            return None;
        }
        let offset = self.places[place].load(Ordering::Acquire).max(self.floor.load(Ordering::Acquire));
        Some(LogPosition { timeline: self.timeline.load(Ordering::Acquire), offset })
    }

    /// Somebody may have written, and where is not known.
    pub(crate) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// How many doubts there were so far, for [`Self::settle`].
    pub(crate) fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    /// Whatever was in doubt then lies before this position, which was asked for later.
    pub(crate) fn settle(&self, doubts: u64, reached: LogPosition) {
        if self.settled.load(Ordering::Acquire) < doubts {
            self.floor.fetch_max(reached.offset, Ordering::AcqRel);
            self.timeline.fetch_max(reached.timeline, Ordering::AcqRel);
            self.settled.fetch_max(doubts, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::session::{OrganisationKey, Permissions};

    use super::*;

    fn at(offset: u64) -> LogPosition {
        LogPosition { timeline: 1, offset }
    }

    fn caller(user: &str) -> Caller {
        let permissions = Permissions::all();
        Caller { organisation: OrganisationKey(1), user: Some(user.to_owned()), unit: None, permissions }
    }

    #[test]
    fn a_caller_is_remembered_whatever_the_session_and_others_are_not_held_back() {
        let memory = Memory::default();
        let place = memory.place(&caller("a"));
        memory.note(place, at(7));
        memory.note(place, at(3));
        let again = Caller { unit: Some("elsewhere".to_owned()), ..caller("a") };
        assert_eq!(memory.written(memory.place(&again)), Some(at(7)));
        let others: Vec<_> = (0..100).map(|i| memory.place(&caller(&i.to_string()))).filter(|p| *p != place).collect();
        assert!(others.len() > 90 && others.iter().all(|other| memory.written(*other) == Some(at(0))));
    }

    #[test]
    fn a_doubt_ends_with_a_position_that_was_asked_for_later() {
        let memory = Memory::default();
        memory.doubt();
        let asked = memory.doubts();
        memory.doubt();
        memory.settle(asked, at(5));
        assert_eq!(memory.written(0), None);
        memory.settle(memory.doubts(), at(9));
        assert_eq!(memory.written(0), Some(at(9)));
        memory.settle(memory.doubts(), at(20));
        assert_eq!(memory.written(0), Some(at(9)), "nothing was in doubt");
    }
}
