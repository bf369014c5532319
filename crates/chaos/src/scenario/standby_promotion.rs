//! The primary of PostgreSQL dies, and its standby takes over.

use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::Cluster;
use anyhow::{Context, Result};
use tokio::task::block_in_place;

use crate::campaign::{Campaign, Crew};
use crate::inspect;
use crate::junction::Junction;
use crate::report::Report;
use crate::run::{Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t05p",
    title: "the primary dies, its synchronous standby is promoted, and a new standby is made under load",
    sizes: &[(Kind::Postgres, 2, 50)],
    red: "commits do not wait for the standby, to which nothing is sent any more",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Within which time after the new primary accepts writes the service works.
const RECOVERY: Duration = Duration::from_secs(2);
/// How long it is watched after that, and how many of a hundred calls succeed then.
const WATCHED: Duration = Duration::from_millis(1_500);
const GOOD: u64 = 99;
/// What calls may fail with.
const CODES: &[&str] = &["Unavailable", "Aborted"];
/// Work that was begun before the load stopped may wait for a connection so long.
const QUIET: Duration = Duration::from_millis(1_500);

async fn play(run: &Run) -> Result<Report> {
    let primary = block_in_place(Cluster::start)?;
    let junction = Junction::to(primary.port()).await?;
    let (binary, front) = (run.binary.clone(), Some(junction.address()));
    let mut stage = Stage::set(Plan { binary, cluster: Some(primary), front, replicas: 1, ..Plan::default() }).await?;
    let mut campaign = Campaign::new(&stage, run.seed)?;
    for _ in 0..run.cycles {
        let load = campaign.load(&stage, Crew::USUAL).await?;
        let primary = stage.cluster().context("it needs PostgreSQL")?;
        let standby = block_in_place(|| primary.standby())?;
        if run.red {
            block_in_place(|| primary.freeze_replication())?;
        } else {
            block_in_place(|| primary.wait_for_standbys_at_commits())?;
        }
        tokio::time::sleep(campaign.chance.millis(300, 1_000)).await;
        // Nobody waits for processes that are frozen.
        if run.red || campaign.chance.one_in(2) {
            block_in_place(|| primary.kill())?;
        } else {
            block_in_place(|| primary.stop_immediate())?;
        }
        campaign.report.faults += 1;
        tokio::time::sleep(campaign.chance.millis(0, 500)).await;
        block_in_place(|| standby.promote())?;
        let (accepts, port) = (Instant::now(), standby.port());
        let dead = stage.promote(standby);
        junction.lead_to(port);
        campaign.next_acknowledgement().await?;
        let recovery = accepts.elapsed();
        campaign.report.recovered(recovery);
        campaign.report.expect(recovery <= RECOVERY, || format!("after a promotion calls worked in {recovery:?}"));
        tokio::time::sleep_until((accepts + RECOVERY).into()).await;
        let before = campaign.calls();
        tokio::time::sleep(WATCHED).await;
        let after = campaign.calls();
        let (all, good) = (after.0 - before.0, after.1 - before.1);
        let text = || format!("{good} of {all} calls succeeded {RECOVERY:?} after a promotion");
        campaign.report.expect(all > 0 && good * 100 >= all * GOOD, text);
        load.stop().await?;
        tokio::time::sleep(QUIET).await;
        block_in_place(|| drop(dead));
        campaign.report.broken.extend(inspect::faults(&stage).await?);
        campaign.check(&stage).await?;
        campaign.report.cycles += 1;
    }
    campaign.expect_codes(CODES);
    campaign.finish(&stage).await
}
