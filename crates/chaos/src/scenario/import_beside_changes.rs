//! Imports in a loop, concurrently with changes of every kind, on PostgreSQL with two processes.

use std::time::{Duration, Instant};

use access_tokens_testapp::import_race::{self, Size};
use access_tokens_testkit::proxy::FaultProxy;
use anyhow::Result;

use crate::environment::{Environment, Kind, Setup};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "import_beside_changes",
    number: None,
    title: "an import loop over 150 cards beside changes of every kind: no acknowledged change is undone",
    sizes: &[(Kind::Postgres, 5, 60)],
    mutation: "the row locks of the import are removed on their way to PostgreSQL",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Number of cards that are imported again and again.
const CARDS: usize = 150;
/// Number of clients that call concurrently with the import.
const CALLERS: usize = 12;
/// The SQL that takes the row locks.
const GUARD: &str = " FOR UPDATE";

/// Runs the scenario. A cycle is a second.
async fn execute(run: &Run) -> Result<Report> {
    let mut setup = Setup { lying_proxy: false, more_replicas: 1, ..run.setup()? };
    let mut proxy = None;
    if let (true, Some(cluster)) = (run.mutated, &setup.base.cluster) {
        let before = FaultProxy::start(([127, 0, 0, 1], cluster.port()).into()).await?;
        before.blank(GUARD);
        setup.base.database_hosts = Some(before.address().to_string());
        proxy = Some(before);
    }
    let environment = Environment::set_up(setup).await?;
    let (importer, caller) = (environment.direct_client(0).await?, environment.direct_client(1).await?);
    let until = Instant::now() + Duration::from_secs(run.cycles as u64);
    let size = Size { cards: CARDS, callers: CALLERS, changes: u64::MAX, until, seed: run.seed };
    let found = import_race::run(&importer, &caller, size).await;
    let found = found.map_err(|refusal| anyhow::anyhow!("the cards do not go in: {}", refusal.text()))?;
    let mut report = Report { cycles: run.cycles, ..Report::default() };
    report.expect(found.changes > 0 && found.imports > 0, || "nothing ran beside each other".to_owned());
    report.note(format!("{} imports beside {} acknowledged changes", found.imports, found.changes));
    report.operations = found.changes + found.imports;
    report.acknowledged = found.changes;
    report.lost = found.undone;
    report.duplicated = found.used_twice;
    report.broken.extend(found.refused);
    report.broken.extend(environment.panics());
    drop((environment, proxy));
    Ok(report)
}
