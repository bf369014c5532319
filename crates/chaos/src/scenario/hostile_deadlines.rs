//! Hostile deadlines and disconnects.

use std::time::Duration;

use access_tokens_testkit::proxy::FaultProxy;
use anyhow::Result;

use crate::campaign::{Campaign, Crew};
use crate::inspect;
use crate::report::Report;
use crate::run::{LIAR, Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};
use crate::writer::{Manner, Task};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t01",
    title: "deadlines from a microsecond to six milliseconds, and connections that are cut",
    sizes: &[(Kind::Sqlite, 2_000, 100_000), (Kind::Postgres, 2_000, 100_000)],
    red: LIAR,
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// The longest deadline, in microseconds.
const DEADLINE: u64 = 6_000;
/// The same where each answer of the database takes a millisecond or two: creating a token takes some ten of them.
const DEADLINE_WITH_LATENCY: u64 = 25_000;
/// How long an answer of PostgreSQL takes, so that deadlines come between any two steps.
const LATENCY: Duration = Duration::from_millis(1);
/// Calls of one round. After each one somebody looks.
const ROUND: usize = 500;
/// Work that nobody waits for any more may still wait for a connection.
const QUIET: Duration = Duration::from_millis(1_500);
/// Calls of each patient caller after a round: what a cancelled call has left behind would swallow them.
const HONEST: u64 = 10;

async fn play(run: &Run) -> Result<Report> {
    let plan = run.plan()?;
    let mut stage = Stage::set(Plan { proxy: true, ..plan }).await?;
    let mut campaign = Campaign::new(&stage, run.seed)?;
    let mut left = run.cycles;
    while left > 0 {
        let round = left.min(ROUND);
        left -= round;
        if run.kind == Kind::Postgres {
            stage.proxy()?.delay_answers(LATENCY);
        }
        let calls = round.div_ceil(2 * Crew::USUAL.writers) as u64;
        let all = Crew { calls, manner: Manner::Hostile(DEADLINE), ..Crew::USUAL };
        attack(&mut campaign, &stage, all).await?;
        // What the last transactions leave behind, nobody mends.
        let deadline = if run.kind == Kind::Postgres { DEADLINE_WITH_LATENCY } else { DEADLINE };
        attack(&mut campaign, &stage, Crew { manner: Manner::Hostile(deadline), task: Task::Create, ..all }).await?;
        if run.kind == Kind::Postgres {
            stage.proxy()?.heal();
        }
        let honest = campaign.load(&stage, Crew { calls: HONEST, task: Task::Change, ..Crew::USUAL }).await?;
        honest.end().await?;
        tokio::time::sleep(QUIET).await;
        campaign.report.broken.extend(inspect::faults(&stage).await?);
        // What is only in an open transaction goes with the process.
        stage.kill(0);
        stage.until_sessions_end().await?;
        campaign.report.recovered(stage.start(0).await?);
        campaign.check(&stage).await?;
    }
    campaign.finish(&stage).await
}

/// Hostile callers, every other one through a network that cuts its connections.
async fn attack(campaign: &mut Campaign, stage: &Stage, crew: Crew) -> Result<()> {
    let front = FaultProxy::start(stage.entrance(0)).await?;
    let hostile = campaign.load(stage, Crew { front: Some(front.address()), ..crew }).await?;
    let cuts = async {
        loop {
            tokio::time::sleep(campaign.chance.millis(5, 50)).await;
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
