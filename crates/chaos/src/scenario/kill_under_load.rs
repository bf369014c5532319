//! `kill -9` under load.

use std::time::Duration;

use anyhow::Result;

use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind};
use crate::report::Report;
use crate::run::{LYING_PROXY, Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "kill_under_load",
    number: Some("t02"),
    title: "kill -9 under load; a second later at most there is a service again",
    sizes: &[(Kind::Sqlite, 100, 1_000), (Kind::Postgres, 100, 1_000)],
    mutation: LYING_PROXY,
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Maximum time until a process is ready, for any state that the former process left behind. Applies to optimised
/// builds only.
const MAX_START_TIME: Duration = Duration::from_secs(1);

async fn execute(run: &Run) -> Result<Report> {
    let mut environment = Environment::set_up(run.setup()?).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..run.cycles {
        let load = campaign.load(&environment, Workload::DEFAULT).await?;
        tokio::time::sleep(campaign.rng.millis(100, 400)).await;
        environment.kill(0);
        load.stop().await?;
        if campaign.rng.one_in(5) {
            environment.start_and_kill(0, campaign.rng.millis(0, 60)).await;
            campaign.report.faults += 1;
        }
        environment.wait_for_sessions_to_end().await?;
        campaign.report.faults += 1;
        let ready = environment.start(0).await?;
        campaign.report.recovered(ready);
        slowest = slowest.max(ready);
        campaign.check(&environment).await?;
        campaign.report.cycles += 1;
    }
    let text = format!("a process was ready after {} ms at most", slowest.as_millis());
    if run.is_optimised() {
        campaign.report.expect(slowest <= MAX_START_TIME, || text);
    } else {
        campaign.report.note(text);
    }
    campaign.finish(&environment).await
}
