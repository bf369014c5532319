//! Commits with an unknown outcome: the connection breaks before the answer to COMMIT arrives.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Setup};
use crate::inspection;
use crate::report::Report;
use crate::run::{LYING_PROXY, Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "ambiguous_commits",
    number: Some("t06"),
    title: "the network breaks between a COMMIT and its answer, before a COMMIT, and in the middle of other answers",
    sizes: &[(Kind::Postgres, 50, 1_000)],
    mutation: LYING_PROXY,
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Number of cycles between two checks.
const CYCLES_PER_CHECK: usize = 10;
/// Maximum time until the statement comes at which the connection is cut.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after a load for calls that still wait for a connection.
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

async fn execute(run: &Run) -> Result<Report> {
    let setup = run.setup()?;
    let environment = Environment::set_up(Setup { fault_proxy: true, ..setup }).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let network = environment.proxy()?;
    let mut left = run.cycles;
    while left > 0 {
        let round = left.min(CYCLES_PER_CHECK);
        left -= round;
        let load = campaign.load(&environment, Workload::DEFAULT).await?;
        for _ in 0..round {
            tokio::time::sleep(campaign.rng.millis(5, 60)).await;
            let cut = Instant::now();
            match campaign.rng.below(4) {
                // Statements that commit by themselves: any of their answers may be lost.
                0 => {
                    network.cut_after(campaign.rng.below(200) as usize);
                    tokio::time::sleep(campaign.rng.millis(1, 20)).await;
                    network.heal();
                    campaign.report.faults += 1;
                }
                dice => {
                    network.cut_at_question("COMMIT", dice != 1);
                    while network.waits_for_question() && cut.elapsed() < CUT_TIMEOUT {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    campaign.report.faults += u64::from(!network.waits_for_question());
                    network.heal();
                }
            }
            let healed = Instant::now();
            campaign.next_acknowledgement().await?;
            campaign.report.recovered(healed.elapsed());
            campaign.report.cycles += 1;
        }
        load.stop().await?;
        tokio::time::sleep(SETTLE_TIME).await;
        campaign.report.broken.extend(inspection::faults(&environment).await?);
        campaign.check(&environment).await?;
    }
    campaign.finish(&environment).await
}
