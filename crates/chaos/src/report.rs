//! The findings of a scenario.

use std::time::Duration;

/// The findings of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Number of cycles; the scenario defines what a cycle is.
    pub(crate) cycles: usize,
    /// Number of calls whose effects were checked.
    pub(crate) operations: u64,
    /// Number of those that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Number of injected faults.
    pub(crate) faults: u64,
    /// Effects that were acknowledged and are missing.
    pub(crate) lost: Vec<String>,
    /// Effects that exist twice, or that no client requested.
    pub(crate) duplicated: Vec<String>,
    /// Other violations, such as impossible states.
    pub(crate) broken: Vec<String>,
    /// Longest time from the end of a fault until the service worked again.
    pub(crate) worst_recovery: Option<Duration>,
    /// Observations that do not change the verdict.
    pub(crate) notes: Vec<String>,
    /// Reason for which the scenario cannot run on this machine.
    pub(crate) skipped: Option<String>,
    /// Reason for which the scenario did not complete. This is a failure, and no proof that a fault was detected.
    pub(crate) broken_off: Option<String>,
}

impl Report {
    /// Returns the report of a scenario that cannot run on this machine.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    /// Returns the report of a scenario that did not complete.
    pub(crate) fn broke_off(why: impl Into<String>) -> Self {
        Self { broken_off: Some(why.into()), ..Self::default() }
    }

    /// Returns whether a mutation check detected the missing guard. Also true for a scenario that cannot run on this machine.
    pub(crate) fn caught(&self) -> bool {
        self.verdict() != "PASS" && self.broken_off.is_none()
    }

    /// Returns whether the verdict is FAIL.
    pub(crate) fn failed(&self) -> bool {
        self.verdict() == "FAIL"
    }

    /// Records the time from the end of a fault until the service worked again.
    pub(crate) fn recovered(&mut self, after: Duration) {
        self.worst_recovery = self.worst_recovery.max(Some(after));
    }

    /// Adds an observation, once.
    pub(crate) fn note(&mut self, fact: impl Into<String>) {
        let fact = fact.into();
        if !self.notes.contains(&fact) {
            self.notes.push(fact);
        }
    }

    /// Adds the findings of a concurrent part. Observations of a part are dropped.
    pub(crate) fn merge(&mut self, other: Self) {
        self.cycles += other.cycles;
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.faults += other.faults;
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.broken.extend(other.broken);
        self.worst_recovery = self.worst_recovery.max(other.worst_recovery);
    }

    /// Records a violation unless `kept` is true.
    pub(crate) fn expect(&mut self, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(what());
        }
    }

    /// Returns PASS, FAIL or SKIPPED.
    pub(crate) fn verdict(&self) -> &'static str {
        let intact = [&self.lost, &self.duplicated, &self.broken].iter().all(|found| found.is_empty());
        match (&self.skipped, intact && self.broken_off.is_none()) {
            (Some(_), _) => "SKIPPED",
            (None, true) => "PASS",
            (None, false) => "FAIL",
        }
    }
}
