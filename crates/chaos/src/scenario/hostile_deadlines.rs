//! Hostile deadlines and disconnects.

use std::time::Duration;

use access_tokens_testkit::proxy::FaultProxy;
use anyhow::Result;

use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Setup};
use crate::inspection;
use crate::report::Report;
use crate::run::{LYING_PROXY, Run, Scenario, ScenarioFuture};
use crate::writer::{Behaviour, Task};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "hostile_deadlines",
    number: Some("t01"),
    title: "deadlines from a microsecond to six milliseconds, and connections that are cut",
    sizes: &[(Kind::Sqlite, 2_000, 100_000), (Kind::Postgres, 2_000, 100_000)],
    mutation: LYING_PROXY,
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Longest deadline in microseconds.
const MAX_DEADLINE_MICROS: u64 = 6_000;
/// Longest deadline in microseconds when each answer of the database takes one to two milliseconds. Creating a token takes about ten
/// answers.
const MAX_DEADLINE_MICROS_WITH_LATENCY: u64 = 25_000;
/// Latency of PostgreSQL, so that deadlines expire between any two steps.
const DATABASE_LATENCY: Duration = Duration::from_millis(1);
/// Number of calls of a round. A check follows each round.
const CALLS_PER_ROUND: usize = 500;
/// Time after a load for abandoned calls that still wait for a connection.
const SETTLE_TIME: Duration = Duration::from_millis(1_500);
/// Number of calls of each patient writer after a round. A transaction that a cancelled call left open would swallow them.
const CALLS_PER_PATIENT_WRITER: u64 = 10;

async fn execute(run: &Run) -> Result<Report> {
    let setup = run.setup()?;
    let mut environment = Environment::set_up(Setup { fault_proxy: true, ..setup }).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let mut left = run.cycles;
    while left > 0 {
        let round = left.min(CALLS_PER_ROUND);
        left -= round;
        if run.kind == Kind::Postgres {
            environment.proxy()?.delay_answers(DATABASE_LATENCY);
        }
        let calls = round.div_ceil(2 * Workload::DEFAULT.writers) as u64;
        let all = Workload { calls, behaviour: Behaviour::Hostile(MAX_DEADLINE_MICROS), ..Workload::DEFAULT };
        attack(&mut campaign, &environment, all).await?;
        // No later call repairs what the last transactions leave behind.
        let deadline = if run.kind == Kind::Postgres { MAX_DEADLINE_MICROS_WITH_LATENCY } else { MAX_DEADLINE_MICROS };
        attack(
            &mut campaign,
            &environment,
            Workload { behaviour: Behaviour::Hostile(deadline), task: Task::Create, ..all },
        )
        .await?;
        if run.kind == Kind::Postgres {
            environment.proxy()?.heal();
        }
        let honest = campaign
            .load(&environment, Workload { calls: CALLS_PER_PATIENT_WRITER, task: Task::Change, ..Workload::DEFAULT })
            .await?;
        honest.end().await?;
        tokio::time::sleep(SETTLE_TIME).await;
        campaign.report.broken.extend(inspection::faults(&environment).await?);
        // A restart loses what exists only in an open transaction.
        environment.kill(0);
        environment.wait_for_sessions_to_end().await?;
        campaign.report.recovered(environment.start(0).await?);
        campaign.check(&environment).await?;
    }
    campaign.finish(&environment).await
}

/// Starts hostile writers; every second one calls through a proxy that resets its connections.
async fn attack(campaign: &mut Campaign, environment: &Environment, workload: Workload) -> Result<()> {
    let front = FaultProxy::start(environment.entry_address(0)).await?;
    let hostile = campaign.load(environment, Workload { front: Some(front.address()), ..workload }).await?;
    let cuts = async {
        loop {
            tokio::time::sleep(campaign.rng.millis(5, 50)).await;
            front.reset_all();
            campaign.report.faults += 1;
        }
    };
    let calls = tokio::select! {
        calls = hostile.end() => calls?,
        () = cuts => 0,
    };
    campaign.report.cycles += calls as usize;
    Ok(())
}
