//! Power cuts.

use access_tokens_testkit::postgres::Cluster;
use anyhow::Result;
use tokio::task::block_in_place;

use crate::campaign::{Campaign, Crew};
use crate::disk::{self, Disk};
use crate::report::Report;
use crate::run::{Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t03",
    title: "the power is cut: only what was flushed to the disk is left",
    sizes: &[(Kind::Sqlite, 3, 500), (Kind::Postgres, 1, 100)],
    red: "a library under the database makes fsync and fdatasync do nothing",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

async fn play(run: &Run) -> Result<Report> {
    if let Some(missing) = disk::missing() {
        return Ok(Report::skipped(missing));
    }
    let tools = tempfile::tempdir()?;
    std::fs::set_permissions(tools.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let preload = if run.red { Some(disk::nothing_is_flushed(tools.path())?) } else { None };
    let preload: Vec<_> = preload.iter().map(|library| ("LD_PRELOAD", library.as_str())).collect();
    // The stage goes before the disk on which it stands.
    let mut disk = block_in_place(|| Disk::new(if run.kind == Kind::Sqlite { 128 } else { 512 }))?;
    let folder = disk.path().join("there");
    std::fs::create_dir(&folder)?;
    block_in_place(|| disk.flush())?;
    let mut plan = Plan { binary: run.binary.clone(), replicas: 1, ..Plan::default() };
    match run.kind {
        Kind::Postgres => plan.cluster = Some(block_in_place(|| Cluster::start_in(&folder, &[], &preload))?),
        Kind::Sqlite => {
            plan.directory = Some(folder);
            plan.variables = preload.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        }
    }
    let mut stage = Stage::set(plan).await?;
    // A cluster is made without flushing. What the service makes on SQLite, its keys included, it flushes itself.
    if run.red || run.kind == Kind::Postgres {
        block_in_place(|| disk.flush())?;
    }
    let report = cut(run, &mut stage, &mut disk).await;
    drop(stage);
    report
}

async fn cut(run: &Run, stage: &mut Stage, disk: &mut Disk) -> Result<Report> {
    let mut campaign = Campaign::new(stage, run.seed)?;
    for _ in 0..run.cycles {
        let load = campaign.load(stage, Crew::USUAL).await?;
        tokio::time::sleep(campaign.chance.millis(200, 800)).await;
        // Nobody is told anything any more; then nothing moves.
        stage.signal(0, "STOP");
        if let Some(cluster) = stage.cluster() {
            block_in_place(|| cluster.freeze())?;
        }
        block_in_place(|| disk.copy())?;
        stage.kill(0);
        load.stop().await?;
        if let Some(cluster) = stage.cluster() {
            block_in_place(|| cluster.kill())?;
        }
        block_in_place(|| disk.become_the_copy())?;
        campaign.report.faults += 1;
        if let Some(cluster) = stage.cluster() {
            block_in_place(|| cluster.resume())?;
        }
        campaign.report.recovered(stage.start(0).await?);
        campaign.check(stage).await?;
        campaign.report.cycles += 1;
    }
    campaign.finish(stage).await
}
