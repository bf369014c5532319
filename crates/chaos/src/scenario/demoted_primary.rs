//! A forwarder keeps leading to the demoted primary, which is a standby now. Another process starts with the URL of a standby.

use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::Server;
use access_tokens_testkit::postgres::Cluster;
use access_tokens_testkit::switchable_proxy::SwitchableProxy;
use anyhow::{Context, Result};
use serde_json::json;
use tokio::task::block_in_place;

use super::failover_checks::{Times, Watches, end_cycle, expect_recovery, finish};
use crate::campaign::{Campaign, Load, Workload};
use crate::environment::{Environment, Kind, Options, Setup};
use crate::readiness::{MAX_NOTICE_TIME, Outage, ReadinessWatch};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};
use crate::writer::Task;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "demoted_primary",
    number: None,
    title: "a forwarder keeps leading to the demoted primary, and a process starts with the URL of a standby",
    sizes: &[(Kind::Postgres, 2, 50)],
    mutation: "the former primary is not demoted: it accepts writes that the new one does not have",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Time for which the forwarder leads to the demoted node, in milliseconds.
const DEMOTED_TIME_RANGE_MS: (u64, u64) = (2_500, 3_500);
/// Maximum time until a new process says why it is not ready.
const MAX_START_TIME: Duration = Duration::from_secs(10);
/// Maximum time until a starting process is ready after the promotion: it also checks its schema and its keys.
const MAX_START_NOTICE_TIME: Duration = Duration::from_secs(2);
/// Text in the reason for which a process is not ready.
const STANDBY_REASON: &str = "standby";

async fn execute(run: &Run) -> Result<Report> {
    let primary = block_in_place(Cluster::start_rewindable)?;
    let mut standby = block_in_place(|| primary.standby())?;
    let forwarder = SwitchableProxy::to(primary.port()).await?;
    let base = Options { database_hosts: Some(forwarder.address().to_string()), ..run.options(Some(primary)) };
    let mut environment = Environment::set_up(Setup { base, more_replicas: 1, ..Setup::default() }).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let (watches, mut times) = (Watches::over(&environment)?, Times::default());
    for cycle in 0..run.cycles {
        block_in_place(|| environment.cluster().context("it needs PostgreSQL")?.wait_for_standbys_at_commits())?;
        let late = LateProcess::start(&environment, &standby, &mut campaign).await?;
        let load = campaign.load(&environment, Workload { task: Task::Create, ..Workload::DEFAULT }).await?;
        tokio::time::sleep(campaign.rng.millis(300, 1_000)).await;
        watches.clear();
        campaign.take_longest_pause();
        let lost = Instant::now();
        let promoted = change_roles(run, &environment, &standby)?;
        standby = environment.replace_cluster(standby).context("it needs PostgreSQL")?;
        campaign.report.faults += 1;
        times.add("the roles are changed after", lost.elapsed());
        times.add(
            "a process that was started on a standby is ready after its promotion",
            late.end(promoted, &mut campaign).await?,
        );
        tokio::time::sleep(campaign.rng.millis(DEMOTED_TIME_RANGE_MS.0, DEMOTED_TIME_RANGE_MS.1)).await;
        let new = environment.cluster().context("it needs PostgreSQL")?.port();
        let usable = Instant::now();
        for reason in watches.iter().flat_map(|watch| watch.reasons(usable - MAX_NOTICE_TIME, usable)) {
            campaign
                .report
                .expect(reason.contains(STANDBY_REASON), || format!("not ready on a standby, but: {reason:?}"));
        }
        if cycle.is_multiple_of(2) {
            forwarder.switch_to(new);
        } else {
            forwarder.lead_new_connections_to(new);
        }
        let first_success = expect_recovery(&mut campaign, usable, 100).await?;
        times.add("first success after the forwarder leads to the primary", first_success);
        times.add("no call succeeds for", campaign.take_longest_pause());
        finish_cycle(run, &environment, &standby, load).await?;
        watches.judge(
            Outage { lost, promotion: usable, usable, notice: MAX_NOTICE_TIME, end: Instant::now() },
            &mut times,
            &mut campaign.report,
        );
        end_cycle(&mut campaign, &environment).await?;
    }
    finish(campaign, &environment, &times).await
}

/// Promotes the standby, and restarts the former primary as its standby, unless this is the mutation check. Returns the time of the
/// promotion.
fn change_roles(run: &Run, environment: &Environment, standby: &Cluster) -> Result<Instant> {
    let primary = environment.cluster().context("it needs PostgreSQL")?;
    block_in_place(|| {
        if run.mutated {
            primary.stop_waiting_for_standbys()?;
        } else {
            primary.stop()?;
        }
        standby.stop_waiting_for_standbys()?;
        standby.promote()?;
        let promoted = Instant::now();
        if !run.mutated {
            primary.follow(standby)?;
            standby.wait_for_standbys_at_commits()?;
        }
        Ok(promoted)
    })
}

/// Ends the load. In the mutation check, the former primary is demoted at last.
async fn finish_cycle(run: &Run, environment: &Environment, former: &Cluster, load: Load) -> Result<()> {
    load.stop().await?;
    if run.mutated {
        let primary = environment.cluster().context("it needs PostgreSQL")?;
        block_in_place(|| {
            former.stop_immediate()?;
            former.follow(primary)
        })?;
    }
    Ok(())
}

/// A process that was started with the URL of a standby.
struct LateProcess {
    server: Server,
    watch: ReadinessWatch,
    client: Client,
}

impl LateProcess {
    /// Starts it, and waits until it says why it is not ready.
    async fn start(environment: &Environment, standby: &Cluster, campaign: &mut Campaign) -> Result<Self> {
        let url = environment.url_on(&format!("127.0.0.1:{}", standby.port()));
        let installation = environment.installation().replica().with_database(&url);
        let server = block_in_place(|| installation.start(&["serve"]));
        let watch = ReadinessWatch::of(server.ops_address());
        let client = environment.client_at(server.address()).await?;
        let refused = watch.is_refused_for(STANDBY_REASON, MAX_START_TIME).await;
        campaign.report.expect(refused, || "a process that was started on a standby does not say so".to_owned());
        Ok(Self { server, watch, client })
    }

    /// Checks that it is ready after the promotion of its database, and creates a token. Returns the time until it was ready.
    async fn end(self, promoted: Instant, campaign: &mut Campaign) -> Result<Duration> {
        tokio::time::sleep_until((promoted + MAX_START_NOTICE_TIME + MAX_NOTICE_TIME).into()).await;
        let outage = Outage {
            lost: promoted,
            promotion: promoted,
            usable: promoted,
            notice: MAX_START_NOTICE_TIME,
            end: Instant::now(),
        };
        let noticed = self.watch.judge("a process that was started on a standby", outage, &mut campaign.report);
        let created = self.client.try_call("CreateAccessToken", json!({"fields_set": "id"})).await;
        let text = || format!("a process that was started on a standby creates nothing: {:?}", created.as_ref().err());
        campaign.report.expect(created.is_ok(), text);
        block_in_place(|| self.server.terminate());
        Ok(noticed.usable)
    }
}
