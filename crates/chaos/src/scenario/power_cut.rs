//! Power cuts.

use access_tokens_testkit::postgres::Cluster;
use anyhow::Result;
use tokio::task::block_in_place;

use crate::campaign::{Campaign, Workload};
use crate::disk::{self, Disk};
use crate::environment::{Environment, Kind, Setup};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "power_cut",
    number: Some("t03"),
    title: "the power is cut: only what was flushed to the disk is left",
    sizes: &[(Kind::Sqlite, 3, 500), (Kind::Postgres, 1, 100)],
    mutation: "a library under the database makes fsync and fdatasync do nothing",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

async fn execute(run: &Run) -> Result<Report> {
    if let Some(missing) = disk::missing() {
        return Ok(Report::skipped(missing));
    }
    let tools = tempfile::tempdir()?;
    std::fs::set_permissions(tools.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let preload = if run.mutated { Some(disk::build_no_flush_library(tools.path())?) } else { None };
    let preload: Vec<_> = preload.iter().map(|library| ("LD_PRELOAD", library.as_str())).collect();
    // The environment is dropped before the disk that it uses.
    let mut disk = block_in_place(|| Disk::new(if run.kind == Kind::Sqlite { 128 } else { 512 }))?;
    let folder = disk.path().join("there");
    std::fs::create_dir(&folder)?;
    block_in_place(|| disk.flush())?;
    let mut setup = Setup { base: run.options(None), ..Setup::default() };
    match run.kind {
        Kind::Postgres => setup.base.cluster = Some(block_in_place(|| Cluster::start_in(&folder, &[], &preload))?),
        Kind::Sqlite => {
            setup.base.directory = Some(folder);
            setup.base.variables = preload.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        }
    }
    let mut environment = Environment::set_up(setup).await?;
    // A cluster is created without flushing. On SQLite the service itself flushes everything that it creates, its keys included.
    if run.mutated || run.kind == Kind::Postgres {
        block_in_place(|| disk.flush())?;
    }
    let report = cut(run, &mut environment, &mut disk).await;
    drop(environment);
    report
}

async fn cut(run: &Run, environment: &mut Environment, disk: &mut Disk) -> Result<Report> {
    let mut campaign = Campaign::new(environment, run.seed)?;
    for _ in 0..run.cycles {
        let load = campaign.load(environment, Workload::DEFAULT).await?;
        tokio::time::sleep(campaign.rng.millis(200, 800)).await;
        // First no client receives an acknowledgement any more, then all writes stop.
        environment.signal(0, "STOP");
        if let Some(cluster) = environment.cluster() {
            block_in_place(|| cluster.freeze())?;
        }
        block_in_place(|| disk.copy())?;
        environment.kill(0);
        load.stop().await?;
        if let Some(cluster) = environment.cluster() {
            block_in_place(|| cluster.kill())?;
        }
        block_in_place(|| disk.mount_copy())?;
        campaign.report.faults += 1;
        if let Some(cluster) = environment.cluster() {
            block_in_place(|| cluster.resume())?;
        }
        campaign.report.recovered(environment.start(0).await?);
        campaign.check(environment).await?;
        campaign.report.cycles += 1;
    }
    campaign.finish(environment).await
}
