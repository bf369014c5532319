//! A report as a line of JSON, and as a row of the table.

use std::time::Duration;

use serde_json::json;

use crate::report::Report;
use crate::run::Run;

/// Maximum number of findings of a kind in the output. All of them are counted.
const MAX_LISTED_FINDINGS: usize = 5;

impl Report {
    fn findings(&self) -> impl Iterator<Item = &String> {
        let all = [&self.lost, &self.duplicated, &self.broken];
        self.broken_off.iter().chain(all.into_iter().flat_map(|found| found.iter().take(MAX_LISTED_FINDINGS)))
    }

    /// Returns the report as JSON.
    pub(crate) fn json(&self, run: &Run, took: Duration) -> String {
        json!({
            "scenario": run.scenario.name,
            "database": run.kind.name(),
            "build": run.build(),
            "mutation": run.mutated,
            "seed": run.seed,
            "cycles": self.cycles,
            "operations": self.operations,
            "acknowledged": self.acknowledged,
            "faults": self.faults,
            "lost": self.lost.len(),
            "duplicated": self.duplicated.len(),
            "broken": self.broken.len(),
            "worst_recovery_ms": self.worst_recovery.map(|time| time.as_millis()),
            "seconds": took.as_secs(),
            "verdict": self.verdict(),
            "findings": self.findings().collect::<Vec<_>>(),
            "notes": self.skipped.iter().chain(&self.notes).collect::<Vec<_>>(),
        })
        .to_string()
    }

    /// Returns the report as a row of the table.
    pub(crate) fn row(&self, run: &Run, took: Duration) -> String {
        let recovery = self.worst_recovery.map_or("-".to_owned(), |time| format!("{} ms", time.as_millis()));
        let name = if run.mutated { format!("{} mutation", run.scenario.name) } else { run.scenario.name.to_owned() };
        let verdict = match (self.verdict(), self.broken.len()) {
            ("FAIL", _) if self.broken_off.is_some() => "FAIL (broke off)".to_owned(),
            ("FAIL", broken) if broken > 0 => format!("FAIL ({broken} broken)"),
            (verdict, _) => verdict.to_owned(),
        };
        row(&[
            &name,
            run.kind.name(),
            &self.cycles.to_string(),
            &self.operations.to_string(),
            &self.faults.to_string(),
            &self.lost.len().to_string(),
            &self.duplicated.len().to_string(),
            &recovery,
            &format!("{} s", took.as_secs()),
            &verdict,
        ])
    }
}

/// Returns the head of the table.
pub(crate) fn head() -> String {
    let names = [
        "scenario",
        "database",
        "cycles",
        "operations",
        "faults",
        "lost",
        "duplicated",
        "worst recovery",
        "took",
        "verdict",
    ];
    format!("{}\n|{}", row(&names), "---|".repeat(names.len()))
}

fn row(cells: &[&str]) -> String {
    format!("| {} |", cells.join(" | "))
}
