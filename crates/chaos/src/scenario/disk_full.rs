//! A full disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::Cluster;
use anyhow::{Context, Result};
use serde_json::json;
use tokio::task::block_in_place;

use crate::campaign::{Campaign, Workload};
use crate::disk::{self, Disk};
use crate::environment::{Environment, Kind, Setup};
use crate::report::Report;
use crate::run::{LYING_PROXY, Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "disk_full",
    number: Some("t25"),
    title: "the disk under the database is full, and then it is not",
    sizes: &[(Kind::Sqlite, 2, 20), (Kind::Postgres, 1, 20)],
    mutation: LYING_PROXY,
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Time for which the disk stays full after writes fail.
const FULL_TIME: Duration = Duration::from_secs(2);
/// Maximum time until writes fail.
const FAILURE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum time until writes succeed again.
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(5);
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

async fn execute(run: &Run) -> Result<Report> {
    if let Some(missing) = disk::missing() {
        return Ok(Report::skipped(missing));
    }
    let disk = block_in_place(|| Disk::new(if run.kind == Kind::Sqlite { 64 } else { 256 }))?;
    let folder = disk.path().join("there");
    std::fs::create_dir(&folder)?;
    let mut setup = Setup { base: run.options(None), lying_proxy: run.mutated, ..Setup::default() };
    match run.kind {
        Kind::Postgres => {
            let settings = ["max_wal_size=64MB", "min_wal_size=32MB"];
            setup.base.cluster = Some(block_in_place(|| Cluster::start_in(&folder, &settings, &[]))?);
        }
        // The log and the keys are on another disk.
        Kind::Sqlite => setup.base.files = Some(folder),
    }
    let mut environment = Environment::set_up(setup).await?;
    let report = fill(run, &mut environment, &disk.path().join("ballast")).await;
    drop(environment);
    report
}

async fn fill(run: &Run, environment: &mut Environment, ballast: &Path) -> Result<Report> {
    let mut campaign = Campaign::new(environment, run.seed)?;
    let known = environment.direct_client(0).await?;
    let made = known.try_call("CreateAccessToken", json!({"authentication_code": "known"})).await;
    made.map_err(|refusal| anyhow::anyhow!("no token: {}", refusal.text()))?;
    for _ in 0..run.cycles {
        let load = campaign.load(environment, Workload::DEFAULT).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        block_in_place(|| occupy(ballast))?;
        let (before, since) = (campaign.unknown(), Instant::now());
        while campaign.unknown() == before && since.elapsed() < FAILURE_TIMEOUT {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let full = campaign.unknown() > before;
        campaign.report.expect(full, || "the disk is full, and no write failed".to_owned());
        tokio::time::sleep(FULL_TIME).await;
        let shown =
            known.try_call("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": "known"}}));
        let reads = shown.await.is_ok();
        campaign.report.note(format!("while the disk was full, reads {}", if reads { "worked" } else { "failed" }));
        std::fs::remove_file(ballast)?;
        campaign.report.faults += 1;
        let freed = Instant::now();
        if let Some(cluster) = environment.cluster()
            && environment.psql("SELECT 1").is_err()
        {
            // PostgreSQL has ended; its operator starts it again.
            campaign.report.note("PostgreSQL had ended".to_owned());
            block_in_place(|| cluster.stop_immediate())?;
            block_in_place(|| cluster.resume())?;
        }
        campaign.next_acknowledgement().await?;
        let recovery = freed.elapsed();
        campaign.report.recovered(recovery);
        campaign.report.expect(recovery <= MAX_RECOVERY_TIME, || format!("writes worked again after {recovery:?}"));
        load.stop().await?;
        tokio::time::sleep(SETTLE_TIME).await;
        // A restart proves that the state is on the disk and not only in memory.
        environment.kill(0);
        environment.wait_for_sessions_to_end().await?;
        environment.start(0).await?;
        campaign.check(environment).await?;
        campaign.report.cycles += 1;
    }
    campaign.finish(environment).await
}

/// Fills the disk.
fn occupy(ballast: &Path) -> Result<()> {
    let mut file = File::create(ballast).context("no ballast")?;
    for size in [1 << 20, 1 << 12] {
        let block = vec![7; size];
        while file.write_all(&block).is_ok() {}
    }
    // Reserves the blocks that were promised to this file and not written yet.
    let _ = file.sync_all();
    Ok(())
}
