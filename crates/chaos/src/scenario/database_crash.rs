//! PostgreSQL crashes after some of its sessions were terminated.

use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::{Cluster, ROLE};
use anyhow::{Context, Result};
use tokio::task::block_in_place;

use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Setup};
use crate::inspection;
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "database_crash",
    number: Some("t05"),
    title: "PostgreSQL stops as in a crash and comes back, after some of its sessions were ended",
    sizes: &[(Kind::Postgres, 5, 300)],
    mutation: "synchronous_commit is switched off for the role of the service, after its start",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Time after a load for calls that still wait for a connection.
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

async fn execute(run: &Run) -> Result<Report> {
    // In the mutation check nothing else flushes what the sessions do not flush.
    let settings: &[&str] = if run.mutated { &["wal_writer_delay=10s", "wal_writer_flush_after=10MB"] } else { &[] };
    let cluster = block_in_place(|| Cluster::start_with(settings))?;
    let setup = Setup { base: run.options(Some(cluster)), ..Setup::default() };
    let environment = Environment::set_up(setup).await?;
    if run.mutated {
        // New sessions have the setting. The existing ones are terminated below.
        environment.psql(&format!("ALTER ROLE {ROLE} SET synchronous_commit = off"))?;
    }
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let cluster = environment.cluster().context("it needs PostgreSQL")?;
    for _ in 0..run.cycles {
        let load = campaign.load(&environment, Workload::DEFAULT).await?;
        for _ in 0..3 {
            tokio::time::sleep(campaign.rng.millis(50, 200)).await;
            let ended = environment.psql(&format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{ROLE}' AND random() < 0.5"
            ))?;
            campaign.report.faults += ended.parse::<u64>()?;
            campaign.next_acknowledgement().await?;
        }
        tokio::time::sleep(campaign.rng.millis(50, 200)).await;
        block_in_place(|| cluster.stop_immediate())?;
        campaign.report.faults += 1;
        tokio::time::sleep(campaign.rng.millis(0, 2_000)).await;
        block_in_place(|| cluster.resume())?;
        let back = Instant::now();
        campaign.next_acknowledgement().await?;
        campaign.report.recovered(back.elapsed());
        tokio::time::sleep(campaign.rng.millis(50, 200)).await;
        load.stop().await?;
        tokio::time::sleep(SETTLE_TIME).await;
        campaign.report.broken.extend(inspection::faults(&environment).await?);
        campaign.check(&environment).await?;
        campaign.report.cycles += 1;
    }
    campaign.finish(&environment).await
}
