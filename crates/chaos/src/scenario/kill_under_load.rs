//! `kill -9` under load.

use std::time::Duration;

use anyhow::Result;

use crate::campaign::{Campaign, Crew};
use crate::report::Report;
use crate::run::{LIAR, Playing, Run, Scenario};
use crate::stage::{Kind, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t02",
    title: "kill -9 under load; a second later at most there is a service again",
    sizes: &[(Kind::Sqlite, 100, 1_000), (Kind::Postgres, 100, 1_000)],
    red: LIAR,
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Within which time a process is ready, whatever the one before has left behind. A build without optimisations on a busy
/// machine may take longer.
const READY: Duration = Duration::from_secs(1);

async fn play(run: &Run) -> Result<Report> {
    let mut stage = Stage::set(run.plan()?).await?;
    let mut campaign = Campaign::new(&stage, run.seed)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..run.cycles {
        let load = campaign.load(&stage, Crew::USUAL).await?;
        tokio::time::sleep(campaign.chance.millis(100, 400)).await;
        stage.kill(0);
        load.stop().await?;
        if campaign.chance.one_in(5) {
            stage.false_start(0, campaign.chance.millis(0, 60)).await;
            campaign.report.faults += 1;
        }
        stage.until_sessions_end().await?;
        campaign.report.faults += 1;
        let ready = stage.start(0).await?;
        campaign.report.recovered(ready);
        slowest = slowest.max(ready);
        campaign.check(&stage).await?;
        campaign.report.cycles += 1;
    }
    let text = format!("a process was ready after {} ms at most", slowest.as_millis());
    if run.is_optimised() {
        campaign.report.expect(slowest <= READY, || text);
    } else {
        campaign.report.note(text);
    }
    campaign.finish(&stage).await
}
