//! Hostile deadlines and disconnects.

use std::time::Duration;

use access_tokens_testkit::proxy::FaultProxy;
use anyhow::Result;

use super::{LIAR, Playing, Run, Scenario};
use crate::campaign::{Campaign, Crew};
use crate::report::Report;
use crate::stage::{Kind, Plan, Stage};
use crate::writer::Manner;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t01",
    title: "deadlines from a microsecond to six milliseconds, and connections that are cut",
    sizes: &[(Kind::Sqlite, 2_000, 100_000), (Kind::Postgres, 2_000, 100_000)],
    red: LIAR,
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// The longest deadline, in microseconds.
const DEADLINE: u64 = 6_000;
/// How long an answer of PostgreSQL takes, so that deadlines come between any two steps.
const LATENCY: Duration = Duration::from_millis(1);
/// Calls of one round. After each one somebody looks.
const ROUND: usize = 1_000;
/// Work that nobody waits for any more may still wait for a connection.
const QUIET: Duration = Duration::from_millis(1_500);
/// Calls of patient callers after a round: what a cancelled call has left behind would swallow them.
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
        // Every other writer calls through a network that cuts its connections.
        let front = FaultProxy::start(stage.entrance(0)).await?;
        let calls = round.div_ceil(Crew::USUAL.writers) as u64;
        let crew = Crew { manner: Manner::Hostile(DEADLINE), calls, front: Some(front.address()), ..Crew::USUAL };
        let hostile = campaign.load(&stage, crew).await?;
        let cuts = async {
            loop {
                tokio::time::sleep(campaign.chance.millis(5, 50)).await;
                front.reset_all();
                campaign.report.faults += 1;
            }
        };
        tokio::select! {
            calls = hostile.end() => campaign.report.cycles += calls? as usize,
            () = cuts => {}
        }
        if run.kind == Kind::Postgres {
            stage.proxy()?.heal();
        }
        let honest = campaign.load(&stage, Crew { calls: HONEST, ..Crew::USUAL }).await?;
        honest.end().await?;
        tokio::time::sleep(QUIET).await;
        // What is only in an open transaction goes with the process.
        stage.kill(0);
        stage.until_sessions_end().await?;
        campaign.report.recovered(stage.start(0).await?);
        campaign.check(&stage).await?;
    }
    campaign.finish(&stage).await
}
