//! A bound on the memory of records that imports hold until the records are written.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use access_tokens_domain::session::OrganisationKey;

/// Maximum number of bytes of records that wait for their batches, of all imports.
const BATCH_BYTES: usize = 32 << 20;
/// Maximum number of bytes of records that wait for the ends of their imports, of all imports.
const WAITING_BYTES: usize = 16 << 20;

/// The bytes that imports hold, by organisation. One organisation gets at most half of the budget.
#[derive(Debug)]
pub(super) struct ImportBudget {
    limit: usize,
    held: Mutex<HashMap<OrganisationKey, usize>>,
}

/// The bytes that one import holds.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    budget: &'a ImportBudget,
    organisation: OrganisationKey,
    bytes: usize,
}

impl ImportBudget {
    /// Returns the budget for records that wait for their batches. An import without room writes the records that it has, in a smaller
    /// batch.
    pub(super) fn of_batches() -> Self {
        Self { limit: BATCH_BYTES, held: Mutex::default() }
    }

    /// Returns the budget for records that wait for the ends of their imports. An import without room refuses further records.
    pub(super) fn of_waiting_records() -> Self {
        Self { limit: WAITING_BYTES, held: Mutex::default() }
    }

    /// Returns an empty reservation for an import.
    pub(super) fn reserve(&self, organisation: OrganisationKey) -> Reservation<'_> {
        Reservation { budget: self, organisation, bytes: 0 }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<OrganisationKey, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// Counts a record. Returns false if there is no more room, so that the batch must be written now.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let mut held = self.budget.held();
        let own = held.entry(self.organisation).or_default();
        *own += bytes;
        let own = *own;
        let all: usize = held.values().sum();
        own <= self.budget.limit / 2 && all <= self.budget.limit
    }

    /// Returns the number of bytes that the import may hold at present.
    pub(super) fn room(&self) -> usize {
        let held = self.budget.held();
        let own = held.get(&self.organisation).copied().unwrap_or_default();
        let all: usize = held.values().sum();
        let free = (self.budget.limit / 2).saturating_sub(own).min(self.budget.limit.saturating_sub(all));
        self.bytes + free
    }

    /// Returns the number of bytes that the import holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns all bytes to the budget.
    pub(super) fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut held = self.budget.held();
        if let Some(own) = held.get_mut(&self.organisation) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                held.remove(&self.organisation);
            }
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn one_organisation_has_half_and_all_have_the_whole() {
        let budget = ImportBudget::of_batches();
        let mut imports: Vec<_> = (0..8).map(|n| budget.reserve(OrganisationKey(n % 3))).collect();
        for import in &mut imports[..4] {
            assert!(import.add(4 * MIB));
        }
        let mut greedy = budget.reserve(OrganisationKey(0));
        assert!(greedy.add(8 * MIB), "exactly half");
        assert!(!greedy.add(1), "more than half");
        greedy.release();
        assert!(greedy.add(8 * MIB));
        assert!(imports[4].add(4 * MIB) && imports[5].add(4 * MIB), "all of it");
        assert!(!imports[7].add(1));
        assert_eq!((imports[0].room(), imports[7].room()), (4 * MIB, 1));
        drop((greedy, imports));
        assert!(budget.held().is_empty());
    }
}
