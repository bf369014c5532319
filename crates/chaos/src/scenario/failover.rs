//! The primary is lost or changed under the load of two processes, whose URL lists both nodes. The former primary becomes the standby.

use std::time::Instant;

use access_tokens_testkit::postgres::{Cluster, Rebuilt};
use anyhow::{Context, Result};
use tokio::task::block_in_place;

use super::failover_checks::{Times, Watches, end_cycle, expect_recovery, finish};
use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Options, Setup};
use crate::readiness::{MAX_NOTICE_TIME, Outage};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "failover",
    number: None,
    title: "a URL with two hosts: the primary is killed, stopped at once, or changed as planned, and follows the new one",
    sizes: &[(Kind::Postgres, 3, 100)],
    mutation: "commits do not wait for the standby, to which nothing is sent any more",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Minimum share of calls that succeed after a failover, in percent.
const MIN_SUCCESS_PERCENT: u64 = 99;
/// Time between a loss and the promotion, in milliseconds: a manager needs time to notice the loss.
const PROMOTION_DELAY_RANGE_MS: (u64, u64) = (1_200, 2_000);

/// The way in which the primary ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Loss {
    /// `kill -9` of all of its processes.
    Kill,
    /// It stops without a checkpoint.
    Immediate,
    /// It stops when the standby has everything, which is promoted at once.
    Switchover,
}

impl Loss {
    fn of(cycle: usize, mutated: bool) -> Self {
        match cycle % 3 {
            // A frozen process does not answer a stop.
            _ if mutated => Self::Kill,
            0 => Self::Kill,
            1 => Self::Immediate,
            _ => Self::Switchover,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Immediate => "immediate stop",
            Self::Switchover => "switchover",
        }
    }

    fn inflict(self, primary: &Cluster) -> Result<()> {
        block_in_place(|| match self {
            Self::Kill => primary.kill(),
            Self::Immediate => primary.stop_immediate(),
            Self::Switchover => primary.stop(),
        })
    }
}

async fn execute(run: &Run) -> Result<Report> {
    let primary = block_in_place(Cluster::start_rewindable)?;
    let mut standby = block_in_place(|| primary.standby())?;
    let hosts = [primary.port(), standby.port()].map(|port| format!("127.0.0.1:{port}"));
    let base = Options { database_hosts: Some(hosts.join(",")), ..run.options(Some(primary)) };
    let mut environment = Environment::set_up(Setup { base, ..Setup::default() }).await?;
    let reversed = environment.url_on(&format!("{},{}", hosts[1], hosts[0]));
    environment.start_on(&format!("{reversed}?target_session_attrs=read-write")).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let (watches, mut times) = (Watches::over(&environment)?, Times::default());
    wait_for_standbys_at_commits(run, &environment)?;
    for cycle in 0..run.cycles {
        let loss = Loss::of(cycle, run.mutated);
        let load = campaign.load(&environment, Workload::DEFAULT).await?;
        if run.mutated {
            block_in_place(|| environment.cluster().context("it needs PostgreSQL")?.freeze_replication())?;
        }
        tokio::time::sleep(campaign.rng.millis(300, 1_000)).await;
        watches.clear();
        campaign.take_longest_pause();
        let lost = Instant::now();
        loss.inflict(environment.cluster().context("it needs PostgreSQL")?)?;
        campaign.report.faults += 1;
        if loss != Loss::Switchover {
            tokio::time::sleep(campaign.rng.millis(PROMOTION_DELAY_RANGE_MS.0, PROMOTION_DELAY_RANGE_MS.1)).await;
        }
        let promotion = Instant::now();
        block_in_place(|| {
            standby.stop_waiting_for_standbys()?;
            standby.promote()
        })?;
        let usable = Instant::now();
        times.add(format!("{}: the new primary is usable after", loss.name()), usable - lost);
        standby = environment.replace_cluster(standby).context("it needs PostgreSQL")?;
        let first_success = expect_recovery(&mut campaign, usable, MIN_SUCCESS_PERCENT).await?;
        times.add("first success after the promotion", first_success);
        times.add(format!("{}: no call succeeds for", loss.name()), campaign.take_longest_pause());
        rebuild(&environment, &standby, &mut campaign)?;
        wait_for_standbys_at_commits(run, &environment)?;
        load.stop().await?;
        watches.judge(
            Outage { lost, promotion, usable, notice: MAX_NOTICE_TIME, end: Instant::now() },
            &mut times,
            &mut campaign.report,
        );
        end_cycle(&mut campaign, &environment).await?;
    }
    finish(campaign, &environment, &times).await
}

/// Makes replication synchronous, unless this is the mutation check.
fn wait_for_standbys_at_commits(run: &Run, environment: &Environment) -> Result<()> {
    let primary = environment.cluster().context("it needs PostgreSQL")?;
    if run.mutated { Ok(()) } else { block_in_place(|| primary.wait_for_standbys_at_commits()) }
}

/// Makes the former primary a standby under load.
fn rebuild(environment: &Environment, former: &Cluster, campaign: &mut Campaign) -> Result<()> {
    let primary = environment.cluster().context("it needs PostgreSQL")?;
    if let Rebuilt::Copied(why) = block_in_place(|| former.follow(primary))? {
        campaign.report.note(format!("a former primary was copied: {}", why.lines().last().unwrap_or_default()));
    }
    Ok(())
}
