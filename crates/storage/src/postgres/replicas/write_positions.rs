//! Positions up to which the callers of this process have written.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use access_tokens_domain::session::Caller;
use access_tokens_domain::store::LogPosition;

/// Number of slots. Callers whose hashes share a slot wait for each other's writes too.
const SLOTS: usize = 4_096;

/// Last write position of each caller, in a fixed size of 32 KiB.
pub(crate) struct WritePositions {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Lower bound of all slots.
    floor: AtomicU64,
    /// Highest timeline of any write.
    timeline: AtomicU32,
    /// Number of writes at unknown positions, and number of those that the lower bound already covers.
    unknown_writes: AtomicU64,
    resolved_writes: AtomicU64,
}

impl Default for WritePositions {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            floor: AtomicU64::new(0),
            timeline: AtomicU32::new(0),
            unknown_writes: AtomicU64::new(0),
            resolved_writes: AtomicU64::new(0),
        }
    }
}

impl WritePositions {
    /// Returns the slot of a caller. It depends on organisation and user, not on the session.
    pub(crate) fn slot(&self, caller: &Caller) -> usize {
        (self.hasher.hash_one((caller.organisation, &caller.user)) % SLOTS as u64) as usize
    }

    /// Records that a caller in this slot has written before the position `written`.
    pub(crate) fn record_write(&self, slot: usize, written: LogPosition) {
        self.slots[slot].fetch_max(written.offset, Ordering::AcqRel);
        self.timeline.fetch_max(written.timeline, Ordering::AcqRel);
    }

    /// Returns the position that reads of a caller in this slot must cover. `None`: it is not known now.
    pub(crate) fn required_position(&self, slot: usize) -> Option<LogPosition> {
        // Read first: writes that are resolved meanwhile are below the lower bound.
        if self.resolved_writes.load(Ordering::Acquire) < self.unknown_writes.load(Ordering::Acquire) {
            return None;
        }
        let offset = self.slots[slot].load(Ordering::Acquire).max(self.floor.load(Ordering::Acquire));
        Some(LogPosition { timeline: self.timeline.load(Ordering::Acquire), offset })
    }

    /// Records a call that may have written at an unknown position.
    pub(crate) fn record_unknown_write(&self) {
        self.unknown_writes.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the number of unknown writes so far, for [`Self::resolve_unknown_writes`].
    pub(crate) fn unknown_writes(&self) -> u64 {
        self.unknown_writes.load(Ordering::Acquire)
    }

    /// Records that the first `unknown_writes` unknown writes are before the position `reached`, which was read after
    /// them.
    pub(crate) fn resolve_unknown_writes(&self, unknown_writes: u64, reached: LogPosition) {
        if self.resolved_writes.load(Ordering::Acquire) < unknown_writes {
            self.floor.fetch_max(reached.offset, Ordering::AcqRel);
            self.timeline.fetch_max(reached.timeline, Ordering::AcqRel);
            self.resolved_writes.fetch_max(unknown_writes, Ordering::AcqRel);
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
        let positions = WritePositions::default();
        let slot = positions.slot(&caller("a"));
        positions.record_write(slot, at(7));
        positions.record_write(slot, at(3));
        let again = Caller { unit: Some("elsewhere".to_owned()), ..caller("a") };
        assert_eq!(positions.required_position(positions.slot(&again)), Some(at(7)));
        let others: Vec<_> = (0..100).map(|i| positions.slot(&caller(&i.to_string()))).filter(|p| *p != slot).collect();
        assert!(others.len() > 90 && others.iter().all(|other| positions.required_position(*other) == Some(at(0))));
    }

    #[test]
    fn a_doubt_ends_with_a_position_that_was_asked_for_later() {
        let positions = WritePositions::default();
        positions.record_unknown_write();
        let asked = positions.unknown_writes();
        positions.record_unknown_write();
        positions.resolve_unknown_writes(asked, at(5));
        assert_eq!(positions.required_position(0), None);
        positions.resolve_unknown_writes(positions.unknown_writes(), at(9));
        assert_eq!(positions.required_position(0), Some(at(9)));
        positions.resolve_unknown_writes(positions.unknown_writes(), at(20));
        assert_eq!(positions.required_position(0), Some(at(9)), "nothing was in doubt");
    }
}
