//! Ten thousand connections that say nothing, half of something, or it too slowly; and fewer files than connections.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use super::machine::{MIB, Process, restrained};
use super::steady::Steady;
use crate::campaign::{Campaign, Crew};
use crate::hostile::{CLOSED, Door, Hostility, Newcomers, Sponge, attack, open_files};
use crate::report::Report;
use crate::run::{Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t22",
    title: "ten thousand silent, half and slow connections at once, and a service that has too few files for them",
    sizes: &[(Kind::Sqlite, 10_000, 100_000)],
    red: "the hostile connections go to somebody who never closes them, and stay when files are short",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Most connections at a time.
const WAVE: usize = 10_000;
/// Files that are left for everything else, here and in the service.
const SPARE_FILES: usize = 300;
/// What the service may need in addition.
const GROWTH: u64 = 100 * MIB;
/// What it may need before anybody calls, as it is shipped.
const IDLE: u64 = 30 * MIB;
/// So many of a hundred honest calls succeed.
const HONEST: u64 = 99;
/// Files of a service that has few, and connections that come then.
const FEW_FILES: usize = 128;
const MANY: usize = 300;
/// Within which time a call succeeds when they have gone.
const RECOVERY: Duration = Duration::from_secs(1);
const SETTLED: Duration = Duration::from_secs(1);

async fn play(run: &Run) -> Result<Report> {
    let stage = Stage::set(Plan { liar: false, ..run.plan()? }).await?;
    let process = Process::of(stage.server(0)?)?;
    let mut campaign = Campaign::new(&stage, run.seed)?;
    idle(run, &process, &mut campaign.report)?;
    crowd(run, &stage, &process, &mut campaign).await?;
    let report = campaign.finish(&stage).await?;
    drop(stage);
    short_of_files(run, report).await
}

fn idle(run: &Run, process: &Process, report: &mut Report) -> Result<()> {
    let memory = process.memory()?;
    report.note(format!("before anybody calls the service has {} MiB", memory / MIB));
    if run.is_optimised() {
        report.expect(memory <= IDLE, || format!("{} MiB before anybody calls", memory / MIB));
    }
    Ok(())
}

async fn crowd(run: &Run, stage: &Stage, process: &Process, campaign: &mut Campaign) -> Result<()> {
    let sponge = Sponge::start().await?;
    let mut doors = Door::of(stage, 0)?;
    if run.red {
        doors = doors.map(|door| door.at(sponge.address()));
    }
    let kinds = Hostility::CLOSED;
    let room = open_files().saturating_sub(SPARE_FILES).min(WAVE);
    campaign.report.note(format!("{} may be open at once here", open_files()));
    let (mut left, mut slowest) = (run.cycles, Duration::ZERO);
    while left > 0 {
        let load = campaign.load(stage, Crew { writers: 4, ..Crew::USUAL }).await?;
        let newcomers = Newcomers::come(stage).await?;
        tokio::time::sleep(SETTLED).await;
        let before = process.forget_peak()?;
        let each = left.min(room).div_ceil(kinds.len() * doors.len());
        let seen = attack(&doors, kinds, each).await;
        for (name, took) in &seen {
            let kept = took.is_some_and(|took| took <= CLOSED);
            campaign.report.expect(kept, || format!("a connection was closed after {took:?}: {name}"));
            slowest = slowest.max(took.unwrap_or(CLOSED));
        }
        let growth = process.peak()?.saturating_sub(before);
        campaign.report.expect(growth <= GROWTH, || format!("the service grew by {} MiB", growth / MIB));
        campaign.report.note(format!(
            "{} connections in a wave; of {} MiB the service grew by {} MiB at most",
            seen.len(),
            before / MIB,
            growth / MIB
        ));
        newcomers.leave(&mut campaign.report);
        load.stop().await?;
        campaign.check(stage).await?;
        campaign.report.faults += seen.len() as u64;
        campaign.report.cycles += seen.len();
        left = left.saturating_sub(seen.len());
    }
    campaign.report.note(format!("each was closed after {} ms at most", slowest.as_millis()));
    let (all, good) = campaign.calls();
    campaign.report.expect(good * 100 >= all * HONEST, || format!("only {good} of {all} honest calls succeeded"));
    campaign.report.note(format!("{good} of {all} calls of writers succeeded"));
    Ok(())
}

/// A service that may have few files open, and more connections than that.
async fn short_of_files(run: &Run, mut report: Report) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let binary = restrained(folder.path(), &run.binary, &format!("ulimit -n {FEW_FILES}"), "")?;
    let stage = Stage::set(Plan { binary, replicas: 1, ..Plan::default() }).await?;
    Steady::furnish(&stage).await?;
    let process = Process::of(stage.server(0)?)?;
    let doors = Door::of(&stage, 0)?;
    let mut guests = Vec::new();
    for door in doors {
        for _ in 0..MANY / doors.len() {
            guests.push(TcpStream::connect(door.address).await.context("the system's queue is full")?);
        }
    }
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(process.files());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    report.expect(most + 2 >= FEW_FILES, || format!("it had only {most} files open: they were never short"));
    report.note(format!("with {FEW_FILES} files and {MANY} connections, {most} files were open"));
    report.faults += guests.len() as u64;
    if !run.red {
        guests.clear();
    }
    // A connection of its own, which has to be let in first.
    let client = stage.honest(0).await?.with_deadline(RECOVERY);
    let gone = Instant::now();
    let answer = client.try_call("ShowAccessToken", Steady::request()).await;
    let took = gone.elapsed();
    report.expect(answer.is_ok() && took <= RECOVERY, || format!("files were short; then {answer:?} after {took:?}"));
    report.recovered(took);
    report.broken.extend(stage.panics());
    Ok(report)
}
