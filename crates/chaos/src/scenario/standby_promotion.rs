//! The primary of PostgreSQL dies, and its standby takes over.

use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::Cluster;
use access_tokens_testkit::switchable_proxy::SwitchableProxy;
use anyhow::{Context, Result};
use tokio::task::block_in_place;

use super::failover_checks::expect_recovery;
use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Options, Setup};
use crate::inspection;
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "standby_promotion",
    number: Some("t05p"),
    title: "the primary dies, its synchronous standby is promoted, and a new standby is made under load",
    sizes: &[(Kind::Postgres, 2, 50)],
    mutation: "commits do not wait for the standby, to which nothing is sent any more",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Minimum share of calls that succeed after a promotion, in percent.
const MIN_SUCCESS_PERCENT: u64 = 99;
/// Codes with which calls may fail.
const EXPECTED_CODES: &[&str] = &["Unavailable", "Aborted"];
/// Time after a load for calls that still wait for a connection.
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

async fn execute(run: &Run) -> Result<Report> {
    let primary = block_in_place(Cluster::start)?;
    let proxy = SwitchableProxy::to(primary.port()).await?;
    let base = Options { database_hosts: Some(proxy.address().to_string()), ..run.options(Some(primary)) };
    let mut environment = Environment::set_up(Setup { base, ..Setup::default() }).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    for _ in 0..run.cycles {
        let load = campaign.load(&environment, Workload::DEFAULT).await?;
        let primary = environment.cluster().context("it needs PostgreSQL")?;
        let standby = block_in_place(|| primary.standby())?;
        if run.mutated {
            block_in_place(|| primary.freeze_replication())?;
        } else {
            block_in_place(|| primary.wait_for_standbys_at_commits())?;
        }
        tokio::time::sleep(campaign.rng.millis(300, 1_000)).await;
        // A frozen process does not answer a stop.
        if run.mutated || campaign.rng.one_in(2) {
            block_in_place(|| primary.kill())?;
        } else {
            block_in_place(|| primary.stop_immediate())?;
        }
        campaign.report.faults += 1;
        tokio::time::sleep(campaign.rng.millis(0, 500)).await;
        block_in_place(|| standby.promote())?;
        let (accepts, port) = (Instant::now(), standby.port());
        let dead = environment.replace_cluster(standby);
        proxy.switch_to(port);
        expect_recovery(&mut campaign, accepts, MIN_SUCCESS_PERCENT).await?;
        load.stop().await?;
        tokio::time::sleep(SETTLE_TIME).await;
        block_in_place(|| drop(dead));
        campaign.report.broken.extend(inspection::faults(&environment).await?);
        campaign.check(&environment).await?;
        campaign.report.cycles += 1;
    }
    campaign.expect_codes(EXPECTED_CODES);
    campaign.finish(&environment).await
}
