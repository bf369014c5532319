//! Linearizability under kills.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testkit::random::Rng;
use anyhow::{Result, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

use crate::environment::{Environment, Kind, Setup};
use crate::history::{History, Op, State};
use crate::inspection;
use crate::report::Report;
use crate::run::{LYING_PROXY, Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "linearizability",
    number: Some("t12"),
    title: "each token behaves as if its calls came one after the other, whatever is killed meanwhile",
    sizes: &[(Kind::Sqlite, 200, 5_000), (Kind::Postgres, 200, 5_000)],
    mutation: LYING_PROXY,
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Number of concurrent histories.
const HISTORIES_PER_ROUND: usize = 10;
/// Number of clients of a token, and of calls of each client. With the last show a history has at least 26 calls, and 128 at most.
const CLIENTS_PER_TOKEN: u64 = 5;
const CALLS_PER_CLIENT: usize = 5;
/// Maximum time until the service answers again.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

async fn execute(run: &Run) -> Result<Report> {
    // While one of two processes is killed, the other one serves.
    let replicas = if run.kind == Kind::Postgres { 2 } else { 1 };
    let setup = run.setup()?;
    let mut environment = Environment::set_up(Setup { more_replicas: replicas - 1, ..setup }).await?;
    let (mut report, rng) = (Report::default(), Rng::new(run.seed));
    let mut slowest = Duration::ZERO;
    while report.cycles < run.cycles {
        let histories =
            begin(&environment, &rng, report.cycles, HISTORIES_PER_ROUND.min(run.cycles - report.cycles)).await?;
        let (ready, waiting) = watch::channel(true);
        let mut clients = JoinSet::new();
        for (number, history) in histories.iter().enumerate() {
            for client in 0..CLIENTS_PER_TOKEN {
                let caller = environment.client((number + client as usize) % replicas).await?;
                clients.spawn(observe(Arc::clone(history), (client, caller), rng.fork(), waiting.clone()));
            }
        }
        tokio::time::sleep(rng.millis(5, 80)).await;
        ready.send_replace(false);
        let recovery = fault(&mut environment, &rng).await?;
        report.recovered(recovery);
        report.faults += 1;
        ready.send_replace(true);
        clients.join_all().await;
        for history in histories {
            let (last, since) = (environment.direct_client(0).await?, Instant::now());
            while !history.step(CLIENTS_PER_TOKEN, &last, Op::Show).await {
                ensure!(since.elapsed() < RECOVERY_TIMEOUT, "no answer to show: {}", history.text());
            }
            let (made, done) = history.calls();
            report.operations += made;
            report.acknowledged += done;
            report.cycles += 1;
            let started = Instant::now();
            report.expect(block_in_place(|| history.is_linearizable()), || history.text());
            slowest = slowest.max(started.elapsed());
        }
    }
    report.broken.extend(inspection::faults(&environment).await?);
    report.note(format!("the longest search took {} ms", slowest.as_millis()));
    Ok(report)
}

/// Creates tokens in all states.
async fn begin(environment: &Environment, rng: &Rng, first: usize, count: usize) -> Result<Vec<Arc<History>>> {
    let (mut records, mut histories) = (Vec::new(), Vec::new());
    for number in first..first + count {
        let (key, code) = (format!("h{number}"), format!("{:010}", rng.below(10_000_000_000)));
        let state = State::ALL[number % State::ALL.len()];
        records.push(json!({"access_token": {
            "id": key, "number": key, "authentication_code": key, "life_cycle_state": state.name(),
            "verification_code": code,
        }}));
        histories.push(Arc::new(History::new(key, code, state)));
    }
    let client = environment.direct_client(0).await?;
    let mut imported = client.import_directory(&records).await;
    for _ in 0..20 {
        if imported.is_ok() {
            break;
        }
        // The service may still recover from the last round. Importing the same records again changes nothing.
        tokio::time::sleep(Duration::from_millis(200)).await;
        imported = client.import_directory(&records).await;
    }
    let imported = imported.map_err(|refusal| anyhow::anyhow!("no tokens: {}", refusal.text()))?;
    ensure!(imported.failed == 0, "no tokens: {imported:?}");
    Ok(histories)
}

async fn observe(history: Arc<History>, (number, client): (u64, Client), rng: Rng, mut ready: watch::Receiver<bool>) {
    for _ in 0..CALLS_PER_CLIENT {
        let op = match rng.below(6) {
            0 | 1 => Op::On,
            2 | 3 => Op::Off,
            4 => Op::Verify,
            _ => Op::Show,
        };
        if !history.step(number, &client, op).await {
            // Further calls without an outcome would make the search longer and prove nothing.
            let _ = ready.wait_for(|ready| *ready).await;
        }
    }
}

/// Kills a process, or PostgreSQL. Returns the time until there was a service again.
async fn fault(environment: &mut Environment, rng: &Rng) -> Result<Duration> {
    if let Some(cluster) = environment.cluster()
        && rng.one_in(3)
    {
        block_in_place(|| cluster.stop_immediate())?;
        tokio::time::sleep(rng.millis(0, 300)).await;
        block_in_place(|| cluster.resume())?;
        let back = Instant::now();
        let client = environment.direct_client(0).await?;
        while client.try_call("ListClassifications", json!({})).await.is_err() {
            ensure!(back.elapsed() < RECOVERY_TIMEOUT, "the service does not find its database again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        return Ok(back.elapsed());
    }
    let victim = rng.below(environment.replicas() as u64) as usize;
    environment.kill(victim);
    environment.start(victim).await
}
