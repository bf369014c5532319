//! Two nodes under Patroni: planned changes of the primary, and `kill -9` of Patroni and PostgreSQL of the primary. One process of
//! the service is behind haproxy, the URL of the other one lists both nodes.

use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::PatroniPair;
use anyhow::Result;
use tokio::task::block_in_place;

use super::failover_checks::{Times, Watches, end_cycle, expect_recovery, finish};
use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Setup};
use crate::readiness::{MAX_NOTICE_TIME, Outage};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "patroni",
    number: None,
    title: "Patroni, etcd and haproxy: the primary is changed as planned, or killed together with Patroni",
    sizes: &[(Kind::Postgres, 2, 20)],
    mutation: "",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Minimum share of calls that succeed after a failover, in percent.
const MIN_SUCCESS_PERCENT: u64 = 99;
/// Maximum time until haproxy notices a new primary.
const MAX_PROXY_NOTICE_TIME: Duration = Duration::from_secs(2);
/// Maximum time of a promotion, and until it is seen here.
const MAX_PROMOTION_TIME: Duration = Duration::from_secs(1);
/// Names of the processes in findings.
const PROCESSES: [&str; 2] = ["behind haproxy", "with a list of hosts"];

async fn execute(run: &Run) -> Result<Report> {
    if !PatroniPair::is_installed() {
        return Ok(Report::skipped("it needs patroni, etcd and haproxy: scripts/soak-patroni installs them"));
    }
    let mut pair = block_in_place(PatroniPair::start)?;
    let base = run.options(Some(block_in_place(|| pair.cluster())?));
    let mut environment = Environment::set_up(Setup { base, ..Setup::default() }).await?;
    environment.start_on(&environment.url_on(&pair.hosts())).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let (watches, mut times) = (Watches::over(&environment)?, Times::default());
    for cycle in 0..run.cycles {
        let former = block_in_place(|| pair.wait_until_synchronous())?;
        let planned = cycle.is_multiple_of(2);
        let load = campaign.load(&environment, Workload::DEFAULT).await?;
        tokio::time::sleep(campaign.rng.millis(1_000, 3_000)).await;
        watches.clear();
        campaign.take_longest_pause();
        let begun = Instant::now();
        let switchover = match planned {
            true => Some(pair.switch_over_to(1 - former)?),
            false => block_in_place(|| pair.kill(former)).map(|()| None)?,
        };
        campaign.report.faults += 1;
        block_in_place(|| pair.wait_until_primary(1 - former))?;
        let usable = Instant::now();
        let what = if planned { "switchover" } else { "kill -9" };
        times.add(format!("{what}: the new primary is usable after"), usable - begun);
        let first_success = expect_recovery(&mut campaign, usable, MIN_SUCCESS_PERCENT).await?;
        times.add(format!("{what}: first success after the promotion"), first_success);
        times.add(format!("{what}: no call succeeds for"), campaign.take_longest_pause());
        block_in_place(|| match switchover {
            Some(switchover) => switchover.end(),
            None => pair.resume(former),
        })?;
        block_in_place(|| pair.wait_until_synchronous())?;
        load.stop().await?;
        // The moment in which a planned change stops the primary is not known.
        let lost = if planned { usable } else { begun };
        let promotion = usable - MAX_PROMOTION_TIME;
        for ((process, watch), proxy) in
            PROCESSES.iter().zip(watches.iter()).zip([MAX_PROXY_NOTICE_TIME, Duration::ZERO])
        {
            let outage = Outage { lost, promotion, usable, notice: MAX_NOTICE_TIME + proxy, end: Instant::now() };
            let noticed = watch.judge(process, outage, &mut campaign.report);
            times.add(format!("{process}: ready after the promotion"), noticed.usable);
        }
        end_cycle(&mut campaign, &environment).await?;
    }
    finish(campaign, &environment, &times).await
}
