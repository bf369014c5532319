//! PostgreSQL crashes, and sessions of it are ended.

use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::{Cluster, ROLE};
use anyhow::{Context, Result};
use tokio::task::block_in_place;

use crate::campaign::{Campaign, Crew};
use crate::inspect;
use crate::report::Report;
use crate::run::{Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t05",
    title: "PostgreSQL stops as in a crash and comes back, after some of its sessions were ended",
    sizes: &[(Kind::Postgres, 5, 300)],
    red: "synchronous_commit is switched off for the role of the service, after its start",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Work that was begun before the load stopped may wait for a connection so long.
const QUIET: Duration = Duration::from_millis(1_500);

async fn play(run: &Run) -> Result<Report> {
    // In red mode nothing flushes what sessions do not.
    let settings: &[&str] = if run.red { &["wal_writer_delay=10s", "wal_writer_flush_after=10MB"] } else { &[] };
    let cluster = block_in_place(|| Cluster::start_with(settings))?;
    let plan = Plan { binary: run.binary.clone(), cluster: Some(cluster), replicas: 1, ..Plan::default() };
    let stage = Stage::set(plan).await?;
    if run.red {
        // The sessions that begin from now on have it: those that are there are ended below.
        stage.psql(&format!("ALTER ROLE {ROLE} SET synchronous_commit = off"))?;
    }
    let mut campaign = Campaign::new(&stage, run.seed)?;
    let cluster = stage.cluster().context("it needs PostgreSQL")?;
    for _ in 0..run.cycles {
        let load = campaign.load(&stage, Crew::USUAL).await?;
        for _ in 0..3 {
            tokio::time::sleep(campaign.chance.millis(50, 200)).await;
            let ended = stage.psql(&format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{ROLE}' AND random() < 0.5"
            ))?;
            campaign.report.faults += ended.parse::<u64>()?;
            campaign.next_acknowledgement().await?;
        }
        tokio::time::sleep(campaign.chance.millis(50, 200)).await;
        block_in_place(|| cluster.stop_immediate())?;
        campaign.report.faults += 1;
        tokio::time::sleep(campaign.chance.millis(0, 2_000)).await;
        block_in_place(|| cluster.resume())?;
        let back = Instant::now();
        campaign.next_acknowledgement().await?;
        campaign.report.recovered(back.elapsed());
        tokio::time::sleep(campaign.chance.millis(50, 200)).await;
        load.stop().await?;
        tokio::time::sleep(QUIET).await;
        campaign.report.broken.extend(inspect::faults(&stage).await?);
        campaign.check(&stage).await?;
        campaign.report.cycles += 1;
    }
    campaign.finish(&stage).await
}
