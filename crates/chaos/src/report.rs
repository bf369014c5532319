//! What a scenario has found.

use std::time::Duration;

/// What a scenario has found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How often it went round; what that is depends on the scenario.
    pub(crate) cycles: usize,
    /// Calls whose effects were checked.
    pub(crate) operations: u64,
    /// How many of them were acknowledged.
    pub(crate) acknowledged: u64,
    /// What was broken, in pieces.
    pub(crate) faults: u64,
    /// Acknowledged, and not there.
    pub(crate) lost: Vec<String>,
    /// There twice, or without anybody having asked for it.
    pub(crate) duplicated: Vec<String>,
    /// Other promises that were broken.
    pub(crate) broken: Vec<String>,
    /// The longest time from the end of a fault until the service worked again.
    pub(crate) worst_recovery: Option<Duration>,
    /// Facts that are no verdict.
    pub(crate) notes: Vec<String>,
    /// Why it did not run.
    pub(crate) skipped: Option<String>,
    /// Why it did not come to its end. That is a failure, and proves nothing.
    pub(crate) broken_off: Option<String>,
}

impl Report {
    /// A scenario that cannot run here.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    /// A scenario that did not come to its end.
    pub(crate) fn broke_off(why: impl Into<String>) -> Self {
        Self { broken_off: Some(why.into()), ..Self::default() }
    }

    /// Has a red run shown what it has to show? One that cannot run here has nothing to show.
    pub(crate) fn caught(&self) -> bool {
        self.verdict() != "PASS" && self.broken_off.is_none()
    }

    /// Has it found something?
    pub(crate) fn failed(&self) -> bool {
        self.verdict() == "FAIL"
    }

    /// The service works again, so long after a fault ended.
    pub(crate) fn recovered(&mut self, after: Duration) {
        self.worst_recovery = self.worst_recovery.max(Some(after));
    }

    /// Notes a fact, once.
    pub(crate) fn note(&mut self, fact: impl Into<String>) {
        let fact = fact.into();
        if !self.notes.contains(&fact) {
            self.notes.push(fact);
        }
    }

    /// Adds what was found elsewhere at the same time. Facts about a part are not kept.
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

    /// Notes a promise that was broken, if it was.
    pub(crate) fn expect(&mut self, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(what());
        }
    }

    /// PASS, FAIL or SKIPPED.
    pub(crate) fn verdict(&self) -> &'static str {
        let intact = [&self.lost, &self.duplicated, &self.broken].iter().all(|found| found.is_empty());
        match (&self.skipped, intact && self.broken_off.is_none()) {
            (Some(_), _) => "SKIPPED",
            (None, true) => "PASS",
            (None, false) => "FAIL",
        }
    }
}
