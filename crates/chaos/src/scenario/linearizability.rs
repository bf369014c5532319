//! Linearizability under kills.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use anyhow::{Result, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

use crate::chance::Chance;
use crate::inspect;
use crate::linear::{History, Op, State};
use crate::report::Report;
use crate::run::{LIAR, Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t12",
    title: "each token behaves as if its calls came one after the other, whatever is killed meanwhile",
    sizes: &[(Kind::Sqlite, 200, 5_000), (Kind::Postgres, 200, 5_000)],
    red: LIAR,
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Histories at a time.
const ROUND: usize = 10;
/// Clients of one token, and how many calls each of them makes. With the last look there are 30.
const CLIENTS: u64 = 5;
const CALLS: usize = 5;
/// Longer than anybody waits for the service to come back.
const PATIENCE: Duration = Duration::from_secs(60);

async fn play(run: &Run) -> Result<Report> {
    // Of two processes one goes on while the other one is killed.
    let replicas = if run.kind == Kind::Postgres { 2 } else { 1 };
    let plan = run.plan()?;
    let mut stage = Stage::set(Plan { replicas, ..plan }).await?;
    let (mut report, chance) = (Report::default(), Chance::new(run.seed));
    let mut slowest = Duration::ZERO;
    while report.cycles < run.cycles {
        let histories = begin(&stage, &chance, report.cycles, ROUND.min(run.cycles - report.cycles)).await?;
        let (ready, waiting) = watch::channel(true);
        let mut clients = JoinSet::new();
        for (number, history) in histories.iter().enumerate() {
            for client in 0..CLIENTS {
                let caller = stage.caller((number + client as usize) % replicas).await?;
                clients.spawn(observe(Arc::clone(history), (client, caller), chance.fork(), waiting.clone()));
            }
        }
        tokio::time::sleep(chance.millis(5, 80)).await;
        ready.send_replace(false);
        let recovery = fault(&mut stage, &chance).await?;
        report.recovered(recovery);
        report.faults += 1;
        ready.send_replace(true);
        clients.join_all().await;
        for history in histories {
            let (last, since) = (stage.honest(0).await?, Instant::now());
            while !history.step(CLIENTS, &last, Op::Show).await {
                ensure!(since.elapsed() < PATIENCE, "nobody shows {}", history.text());
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
    report.broken.extend(inspect::faults(&stage).await?);
    report.note(format!("the longest search took {} ms", slowest.as_millis()));
    Ok(report)
}

/// New tokens, in all states.
async fn begin(stage: &Stage, chance: &Chance, first: usize, count: usize) -> Result<Vec<Arc<History>>> {
    let (mut records, mut histories) = (Vec::new(), Vec::new());
    for number in first..first + count {
        let (key, code) = (format!("h{number}"), format!("{:010}", chance.below(10_000_000_000)));
        let state = State::ALL[number % State::ALL.len()];
        records.push(json!({"access_token": {
            "id": key, "number": key, "authentication_code": key, "life_cycle_state": state.name(),
            "verification_code": code,
        }}));
        histories.push(Arc::new(History::new(key, code, state)));
    }
    let client = stage.honest(0).await?;
    let mut imported = client.import_directory(&records).await;
    for _ in 0..20 {
        if imported.is_ok() {
            break;
        }
        // It still comes to itself after the last round. The same records are the same tokens.
        tokio::time::sleep(Duration::from_millis(200)).await;
        imported = client.import_directory(&records).await;
    }
    let imported = imported.map_err(|refusal| anyhow::anyhow!("no tokens: {}", refusal.text()))?;
    ensure!(imported.failed == 0, "no tokens: {imported:?}");
    Ok(histories)
}

async fn observe(
    history: Arc<History>,
    (number, client): (u64, Client),
    chance: Chance,
    mut ready: watch::Receiver<bool>,
) {
    for _ in 0..CALLS {
        let op = match chance.below(6) {
            0 | 1 => Op::On,
            2 | 3 => Op::Off,
            4 => Op::Verify,
            _ => Op::Show,
        };
        if !history.step(number, &client, op).await {
            // Each call without an outcome makes the search longer and proves nothing.
            let _ = ready.wait_for(|ready| *ready).await;
        }
    }
}

/// Kills a process, or PostgreSQL. Answers how long it took until there was a service again.
async fn fault(stage: &mut Stage, chance: &Chance) -> Result<Duration> {
    if let Some(cluster) = stage.cluster()
        && chance.one_in(3)
    {
        block_in_place(|| cluster.stop_immediate())?;
        tokio::time::sleep(chance.millis(0, 300)).await;
        block_in_place(|| cluster.resume())?;
        let back = Instant::now();
        let client = stage.honest(0).await?;
        while client.try_call("ListClassifications", json!({})).await.is_err() {
            ensure!(back.elapsed() < PATIENCE, "the service does not find its database again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        return Ok(back.elapsed());
    }
    let victim = chance.below(stage.replicas() as u64) as usize;
    stage.kill(victim);
    stage.start(victim).await
}
