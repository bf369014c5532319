//! A shutdown in the middle of everything.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::campaign::{Campaign, Crew};
use crate::hostile::{self, Door, Hostility, Stuck};
use crate::report::Report;
use crate::run::{Playing, Run, Scenario};
use crate::stage::{Kind, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t14",
    title: "SIGTERM under load, with silent, half and slow connections around and calls that never come to their end",
    sizes: &[(Kind::Sqlite, 5, 1_000)],
    red: "a proxy before the service acknowledges writes that it passes on later, and the service is deaf for a while",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// A shutdown mostly waits for others: so many processes, each with a file of its own, do so side by side.
const SIDE_BY_SIDE: usize = 20;
/// Within which time the process ends.
const STOPPED: Duration = Duration::from_secs(10);
/// Hostile connections of each kind, to each door, and calls that never end.
const AROUND: usize = 2;
/// How long there is a load after the process was asked to stop.
const AFTER: Duration = Duration::from_millis(300);
/// How long the process does not hear the signal in red mode.
const DEAF: Duration = Duration::from_secs(11);

async fn play(run: &Run) -> Result<Report> {
    let (mut report, mut processes) = (Report::default(), JoinSet::new());
    let count = SIDE_BY_SIDE.min(run.cycles);
    for number in 0..count {
        let stage = Stage::set(run.plan()?).await?;
        let campaign = Campaign::new(&stage, run.seed + number as u64)?;
        let cycles = (run.cycles - number).div_ceil(count);
        processes.spawn(stop_and_start(stage, campaign, cycles, run.red));
    }
    let mut slowest = Duration::ZERO;
    while let Some(done) = processes.join_next().await {
        let (found, took) = done.context("a process broke")??;
        report.absorb(found);
        slowest = slowest.max(took);
    }
    report.note(format!("the process ended {} ms after SIGTERM at most", slowest.as_millis()));
    Ok(report)
}

/// One process, again and again. Answers what was found, and how long the longest shutdown took.
async fn stop_and_start(
    mut stage: Stage,
    mut campaign: Campaign,
    cycles: usize,
    red: bool,
) -> Result<(Report, Duration)> {
    let mut slowest = Duration::ZERO;
    for _ in 0..cycles {
        let load = campaign.load(&stage, Crew { writers: 4, ..Crew::USUAL }).await?;
        let doors = Door::of(&stage, 0)?;
        let around = tokio::spawn(async move { hostile::attack(&doors, Hostility::ALL, AROUND).await });
        let stuck = Stuck::calls(doors[0].address, &stage.honest(0).await?, AROUND)?;
        tokio::time::sleep(campaign.chance.millis(200, 1_000)).await;
        let load = tokio::spawn(async move {
            tokio::time::sleep(AFTER).await;
            load.stop().await
        });
        let asked = Instant::now();
        if red {
            stage.signal(0, "STOP");
            tokio::time::sleep(DEAF).await;
            stage.signal(0, "CONT");
        }
        let (code, _) = stage.terminate(0)?;
        let took = asked.elapsed();
        let kept = code == Some(0) && took <= STOPPED;
        campaign.report.expect(kept, || format!("SIGTERM: exit code {code:?} after {took:?}"));
        slowest = slowest.max(took);
        load.await??;
        around.abort();
        drop(stuck);
        campaign.report.faults += 1;
        campaign.report.recovered(stage.start(0).await?);
        campaign.check(&stage).await?;
        campaign.report.cycles += 1;
    }
    Ok((campaign.finish(&stage).await?, slowest))
}
