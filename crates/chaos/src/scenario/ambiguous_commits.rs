//! Ambiguous commits: nobody hears what became of them.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::campaign::{Campaign, Crew};
use crate::inspect;
use crate::report::Report;
use crate::run::{LIAR, Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t06",
    title: "the network breaks between a COMMIT and its answer, before a COMMIT, and in the middle of other answers",
    sizes: &[(Kind::Postgres, 50, 1_000)],
    red: LIAR,
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Cycles between two checks.
const ROUND: usize = 10;
/// How long to wait for the question at which the connection is cut.
const WAIT: Duration = Duration::from_secs(2);
/// Work that was begun before the load stopped may wait for a connection so long.
const QUIET: Duration = Duration::from_millis(1_500);

async fn play(run: &Run) -> Result<Report> {
    let plan = run.plan()?;
    let stage = Stage::set(Plan { proxy: true, ..plan }).await?;
    let mut campaign = Campaign::new(&stage, run.seed)?;
    let network = stage.proxy()?;
    let mut left = run.cycles;
    while left > 0 {
        let round = left.min(ROUND);
        left -= round;
        let load = campaign.load(&stage, Crew::USUAL).await?;
        for _ in 0..round {
            tokio::time::sleep(campaign.chance.millis(5, 60)).await;
            let cut = Instant::now();
            match campaign.chance.below(4) {
                // Statements that commit by themselves: any answer may be the one that is lost.
                0 => {
                    network.cut_after(campaign.chance.below(200) as usize);
                    tokio::time::sleep(campaign.chance.millis(1, 20)).await;
                    network.heal();
                    campaign.report.faults += 1;
                }
                dice => {
                    network.cut_at_question("COMMIT", dice != 1);
                    while network.waits_for_question() && cut.elapsed() < WAIT {
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
        tokio::time::sleep(QUIET).await;
        campaign.report.broken.extend(inspect::faults(&stage).await?);
        campaign.check(&stage).await?;
    }
    campaign.finish(&stage).await
}
