//! Clients on several networks guess the password of a known user.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use access_tokens_testapp::{Client, Refusal};
use anyhow::{Result, anyhow};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Endpoint;

use super::steady_caller::percentile;
use crate::environment::{Environment, Kind, ORGANISATION, PASSWORD, Setup, USER};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "login_flood_networks",
    number: None,
    title: "clients on eight networks guess the password of a user, 128 at a time",
    // Seconds of the flood.
    sizes: &[(Kind::Sqlite, 5, 60), (Kind::Postgres, 5, 60)],
    mutation: "the hostile clients are on the network of the user, as if the lock were one per user",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Number of hostile networks, and of concurrent log-ins from each.
const NETWORKS: u8 = 8;
const LOGINS_PER_NETWORK: usize = 16;
/// Time between two honest log-ins, and between two honest checks of a pass code.
const LOGIN_INTERVAL: Duration = Duration::from_millis(250);
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum share of honest calls that succeed, and maximum time of 99 of 100 checks.
const MIN_SUCCESS_SHARE: f64 = 0.99;
const CHECK_P99: Duration = Duration::from_secs(1);
const PASS_CODE: &str = "correct code";

/// Outcome of honest calls of one kind.
#[derive(Default)]
struct Outcome {
    times: Vec<Duration>,
    refused: Vec<String>,
}

async fn execute(run: &Run) -> Result<Report> {
    // The mutation check needs five guesses until the lock, and some log-ins afterwards.
    let length = Duration::from_secs(run.cycles.max(3) as u64);
    let environment = Environment::set_up(Setup { lying_proxy: false, ..run.setup()? }).await?;
    let server = environment.server(0)?.address();
    let honest = environment.direct_client(0).await?;
    let token = json!({"authentication_code": "flooded", "pass_code": PASS_CODE});
    honest.try_call("CreateAccessToken", token).await.map_err(|refusal| anyhow!("no token: {}", refusal.text()))?;

    let mut hostile = JoinSet::new();
    for network in 0..NETWORKS {
        let address = if run.mutated { [127, 0, 0, 2 + network] } else { [127, 1, network, 1] };
        let client = from(server, address.into())?;
        for _ in 0..LOGINS_PER_NETWORK {
            hostile.spawn(guess(client.clone()));
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let user = from(server, Ipv4Addr::LOCALHOST)?;
    let (logins, checks) = tokio::join!(
        repeat(length, LOGIN_INTERVAL, || {
            let user = user.clone();
            async move { user.login(ORGANISATION, USER, PASSWORD, None).await.map(drop) }
        }),
        repeat(length, CHECK_INTERVAL, || {
            let honest = honest.clone();
            let request = json!({
                "access_token_identifier": {"authentication_code": "flooded"}, "pass_code": PASS_CODE
            });
            async move { honest.try_call("CheckPassCode", request).await.map(drop) }
        })
    );
    hostile.abort_all();

    let mut report = Report { cycles: run.cycles, faults: u64::from(NETWORKS), ..Report::default() };
    judge("log-ins from the known network", &logins, &mut report);
    judge("checks of a pass code", &checks, &mut report);
    let p99 = percentile(&checks.times, 99);
    report.expect(p99 < CHECK_P99, || format!("99 % of the checks took {} ms", p99.as_millis()));
    report.note(format!("checks: 99 % within {} ms", p99.as_millis()));
    report.broken.extend(environment.panics());
    Ok(report)
}

/// Returns a client with this address.
fn from(server: SocketAddr, address: Ipv4Addr) -> Result<Client> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))?.local_address(Some(IpAddr::V4(address)));
    Ok(Client::over(endpoint.connect_lazy()).with_deadline(CALL_TIMEOUT))
}

/// Guesses until the task is aborted.
async fn guess(client: Client) {
    loop {
        let refused = client.login(ORGANISATION, USER, "wrong password", None).await;
        if refused.is_err_and(|refusal| refusal.reason != "INVALID_LOGIN") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Makes calls at a constant rate, without waiting for the answers.
async fn repeat<F: Future<Output = Result<(), Refusal>> + Send + 'static>(
    length: Duration,
    pace: Duration,
    call: impl Fn() -> F,
) -> Outcome {
    let (mut calls, end) = (JoinSet::new(), Instant::now() + length);
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        ticks.tick().await;
        let call = call();
        calls.spawn(async move {
            let started = Instant::now();
            call.await.map(|()| started.elapsed()).map_err(|refusal| refusal.text())
        });
    }
    let mut outcome = Outcome::default();
    for ended in calls.join_all().await {
        match ended {
            Ok(took) => outcome.times.push(took),
            Err(text) => outcome.refused.push(text),
        }
    }
    outcome
}

fn judge(what: &str, outcome: &Outcome, report: &mut Report) {
    let (right, all) = (outcome.times.len(), outcome.times.len() + outcome.refused.len());
    report.operations += all as u64;
    report.acknowledged += right as u64;
    report.expect(right as f64 >= MIN_SUCCESS_SHARE * all as f64, || {
        format!("{right} of {all} {what} succeeded: {}", outcome.refused.first().map_or("", String::as_str))
    });
    report.note(format!("{what}: {right} of {all}"));
}
