//! Ten thousand silent, half and slow connections; and fewer files than connections.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use super::machine::{MIB, Process, restricted_binary};
use super::steady_caller::SteadyCaller;
use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Options, Setup};
use crate::hostile::{CLOSE_TIMEOUT, Hostility, NewClients, Target, UnresponsiveServer, attack, open_files};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "stalled_connections",
    number: Some("t22"),
    title: "ten thousand silent, half and slow connections at once, and a service that has too few files for them",
    sizes: &[(Kind::Sqlite, 10_000, 100_000)],
    mutation: "the hostile connections go to a server that never closes them, and stay when files are short",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Maximum number of concurrent connections.
const CONNECTIONS_PER_WAVE: usize = 10_000;
/// Number of files that are left for everything else, here and in the service.
const SPARE_FILES: usize = 300;
/// Maximum growth of the memory of the service.
const MAX_GROWTH: u64 = 100 * MIB;
/// Maximum memory of an optimised service before the first call.
const MAX_IDLE_MEMORY: u64 = 30 * MIB;
/// Minimum share of honest calls that succeed, in percent.
const MIN_SUCCESS_PERCENT: u64 = 99;
/// File limit of a service, and number of connections to it.
const FILE_LIMIT: usize = 128;
const CONNECTIONS_WITH_FILE_LIMIT: usize = 300;
/// Maximum time until a call succeeds after the connections were closed.
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(1);
const SETTLE_TIME: Duration = Duration::from_secs(1);

async fn execute(run: &Run) -> Result<Report> {
    let environment = Environment::set_up(Setup { lying_proxy: false, ..run.setup()? }).await?;
    let process = Process::of(environment.server(0)?)?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    idle(run, &process, &mut campaign.report)?;
    crowd(run, &environment, &process, &mut campaign).await?;
    let report = campaign.finish(&environment).await?;
    drop(environment);
    short_of_files(run, report).await
}

fn idle(run: &Run, process: &Process, report: &mut Report) -> Result<()> {
    let memory = process.memory()?;
    report.note(format!("before the first call the service has {} MiB", memory / MIB));
    if run.is_optimised() {
        report.expect(memory <= MAX_IDLE_MEMORY, || format!("{} MiB before the first call", memory / MIB));
    }
    Ok(())
}

async fn crowd(run: &Run, environment: &Environment, process: &Process, campaign: &mut Campaign) -> Result<()> {
    let unresponsive = UnresponsiveServer::start().await?;
    let mut targets = Target::of(environment, 0)?;
    if run.mutated {
        targets = targets.map(|target| target.at(unresponsive.address()));
    }
    let kinds = Hostility::CLOSED;
    let room = open_files().saturating_sub(SPARE_FILES).min(CONNECTIONS_PER_WAVE);
    campaign.report.note(format!("{} may be open at once here", open_files()));
    let (mut left, mut slowest) = (run.cycles, Duration::ZERO);
    while left > 0 {
        let load = campaign.load(environment, Workload { writers: 4, ..Workload::DEFAULT }).await?;
        let new_clients = NewClients::start(environment).await?;
        tokio::time::sleep(SETTLE_TIME).await;
        let before = process.reset_peak()?;
        let each = left.min(room).div_ceil(kinds.len() * targets.len());
        let seen = attack(&targets, kinds, each).await;
        for (name, took) in &seen {
            let kept = took.is_some_and(|took| took <= CLOSE_TIMEOUT);
            campaign.report.expect(kept, || format!("a connection was closed after {took:?}: {name}"));
            slowest = slowest.max(took.unwrap_or(CLOSE_TIMEOUT));
        }
        let growth = process.peak()?.saturating_sub(before);
        campaign.report.expect(growth <= MAX_GROWTH, || format!("the service grew by {} MiB", growth / MIB));
        campaign.report.note(format!(
            "{} connections in a wave; of {} MiB the service grew by {} MiB at most",
            seen.len(),
            before / MIB,
            growth / MIB
        ));
        new_clients.finish(&mut campaign.report);
        load.stop().await?;
        campaign.check(environment).await?;
        campaign.report.faults += seen.len() as u64;
        campaign.report.cycles += seen.len();
        left = left.saturating_sub(seen.len());
    }
    campaign.report.note(format!("each was closed after {} ms at most", slowest.as_millis()));
    let (all, good) = campaign.calls();
    campaign
        .report
        .expect(good * 100 >= all * MIN_SUCCESS_PERCENT, || format!("only {good} of {all} honest calls succeeded"));
    campaign.report.note(format!("{good} of {all} calls of writers succeeded"));
    Ok(())
}

/// Opens more connections to a service than it may have files.
async fn short_of_files(run: &Run, mut report: Report) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let binary = restricted_binary(folder.path(), &run.binary, &format!("ulimit -n {FILE_LIMIT}"), "")?;
    let environment =
        Environment::set_up(Setup { base: Options { binary, ..Options::default() }, ..Setup::default() }).await?;
    SteadyCaller::seed(&environment).await?;
    let process = Process::of(environment.server(0)?)?;
    let targets = Target::of(&environment, 0)?;
    let mut guests = Vec::new();
    for target in targets {
        for _ in 0..CONNECTIONS_WITH_FILE_LIMIT / targets.len() {
            guests.push(TcpStream::connect(target.address).await.context("the system's queue is full")?);
        }
    }
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(process.files());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    report.expect(most + 2 >= FILE_LIMIT, || format!("it had only {most} files open: they were never short"));
    report
        .note(format!("with {FILE_LIMIT} files and {CONNECTIONS_WITH_FILE_LIMIT} connections, {most} files were open"));
    report.faults += guests.len() as u64;
    if !run.mutated {
        guests.clear();
    }
    // This client opens a new connection, which the service must accept first.
    let client = environment.direct_client(0).await?.with_deadline(MAX_RECOVERY_TIME);
    let gone = Instant::now();
    let answer = client.try_call("ShowAccessToken", SteadyCaller::request()).await;
    let took = gone.elapsed();
    report.expect(answer.is_ok() && took <= MAX_RECOVERY_TIME, || {
        format!("files were short; then {answer:?} after {took:?}")
    });
    report.recovered(took);
    report.broken.extend(environment.panics());
    Ok(report)
}
