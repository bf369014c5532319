//! A shutdown under load and hostile connections.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind};
use crate::hostile::{self, Hostility, Target, UnfinishedCalls};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "shutdown_under_load",
    number: Some("t14"),
    title: "SIGTERM under load, with silent, half and slow connections around and calls that never come to their end",
    sizes: &[(Kind::Sqlite, 5, 1_000)],
    mutation: "a proxy before the service acknowledges writes that it passes on later, and the service is deaf for a while",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Maximum number of concurrent processes, each with its own file: a shutdown mostly waits.
const MAX_CONCURRENT_PROCESSES: usize = 20;
/// Maximum time until the process ends.
const MAX_SHUTDOWN_TIME: Duration = Duration::from_secs(10);
/// Number of hostile connections of each kind to each listener, and of calls that never end.
const HOSTILE_CONNECTIONS_PER_KIND: usize = 2;
/// Time for which the load continues after SIGTERM.
const LOAD_TIME_AFTER_SIGNAL: Duration = Duration::from_millis(300);
/// Time for which the mutation check stops the process, so that it receives the signal late.
const MUTATION_SIGNAL_DELAY: Duration = Duration::from_secs(11);

async fn execute(run: &Run) -> Result<Report> {
    let (mut report, mut processes) = (Report::default(), JoinSet::new());
    let count = MAX_CONCURRENT_PROCESSES.min(run.cycles);
    for number in 0..count {
        let environment = Environment::set_up(run.setup()?).await?;
        let campaign = Campaign::new(&environment, run.seed + number as u64)?;
        let cycles = (run.cycles - number).div_ceil(count);
        processes.spawn(stop_and_start(environment, campaign, cycles, run.mutated));
    }
    let mut slowest = Duration::ZERO;
    while let Some(done) = processes.join_next().await {
        let (found, took) = done.context("a process broke")??;
        report.merge(found);
        slowest = slowest.max(took);
    }
    report.note(format!("the process ended {} ms after SIGTERM at most", slowest.as_millis()));
    Ok(report)
}

/// Stops and starts one process repeatedly. Returns the findings, and the time of the longest shutdown.
async fn stop_and_start(
    mut environment: Environment,
    mut campaign: Campaign,
    cycles: usize,
    mutated: bool,
) -> Result<(Report, Duration)> {
    let mut slowest = Duration::ZERO;
    for _ in 0..cycles {
        let load = campaign.load(&environment, Workload { writers: 4, ..Workload::DEFAULT }).await?;
        let targets = Target::of(&environment, 0)?;
        let around =
            tokio::spawn(async move { hostile::attack(&targets, Hostility::ALL, HOSTILE_CONNECTIONS_PER_KIND).await });
        let unfinished_calls = UnfinishedCalls::calls(
            targets[0].address,
            &environment.direct_client(0).await?,
            HOSTILE_CONNECTIONS_PER_KIND,
        )?;
        tokio::time::sleep(campaign.rng.millis(200, 1_000)).await;
        let load = tokio::spawn(async move {
            tokio::time::sleep(LOAD_TIME_AFTER_SIGNAL).await;
            load.stop().await
        });
        let asked = Instant::now();
        if mutated {
            environment.signal(0, "STOP");
            tokio::time::sleep(MUTATION_SIGNAL_DELAY).await;
            environment.signal(0, "CONT");
        }
        let (code, _) = environment.terminate(0)?;
        let took = asked.elapsed();
        let kept = code == Some(0) && took <= MAX_SHUTDOWN_TIME;
        campaign.report.expect(kept, || format!("SIGTERM: exit code {code:?} after {took:?}"));
        slowest = slowest.max(took);
        load.await??;
        around.abort();
        drop(unfinished_calls);
        campaign.report.faults += 1;
        campaign.report.recovered(environment.start(0).await?);
        campaign.check(&environment).await?;
        campaign.report.cycles += 1;
    }
    Ok((campaign.finish(&environment).await?, slowest))
}
