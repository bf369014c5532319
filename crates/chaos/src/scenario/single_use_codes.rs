//! Codes that may be used once, while servers are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testkit::random::Rng;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::environment::{Environment, Kind, Setup};
use crate::inspection;
use crate::outcome::{Outcome, call};
use crate::report::Report;
use crate::run::{LYING_PROXY, Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "single_use_codes",
    number: Some("t08"),
    title: "one-time passwords and verification codes that twenty callers present at once, while servers are killed",
    sizes: &[(Kind::Sqlite, 200, 20_000), (Kind::Postgres, 200, 20_000)],
    mutation: LYING_PROXY,
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Number of callers that present a code concurrently.
const CALLERS_PER_CODE: usize = 20;
/// Number of codes that are presented concurrently.
const CONCURRENT_CODES: usize = 6;
/// Number of records per import.
const IMPORT_BATCH: usize = 500;
/// Time after a call without an answer.
const RETRY_DELAY: Duration = Duration::from_millis(30);
/// Maximum time for which a caller repeats a call without an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The outcomes of the calls with one code.
#[derive(Debug, Default)]
struct Race {
    code: usize,
    calls: u64,
    successes: u64,
    unanswered: u64,
    refused: u64,
}

async fn execute(run: &Run) -> Result<Report> {
    let replicas = if run.kind == Kind::Postgres { 3 } else { 1 };
    let setup = run.setup()?;
    let mut environment = Environment::set_up(Setup { more_replicas: replicas - 1, ..setup }).await?;
    let (mut report, rng) = (Report::default(), Rng::new(run.seed));
    prepare(&environment, run.cycles).await?;
    let mut clients = Vec::new();
    for number in 0..replicas * 4 {
        clients.push(environment.client(number % replicas).await?);
    }
    let (clients, next, mut races) = (Arc::new(clients), Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..CONCURRENT_CODES {
        let (clients, next, codes) = (Arc::clone(&clients), Arc::clone(&next), run.cycles);
        races.spawn(async move {
            let mut done = Vec::new();
            loop {
                let code = next.fetch_add(1, Ordering::Relaxed);
                if code >= codes {
                    return done;
                }
                done.push(race(&clients, code).await);
            }
        });
    }
    let mut done = Vec::new();
    while !races.is_empty() {
        tokio::time::sleep(rng.millis(100, 500)).await;
        let victim = rng.below(replicas as u64) as usize;
        environment.kill(victim);
        tokio::time::sleep(rng.millis(0, 100)).await;
        report.recovered(environment.start(victim).await?);
        report.faults += 1;
        while let Some(some) = races.try_join_next() {
            done.extend(some.context("a race broke")?);
        }
    }
    let client = environment.direct_client(0).await?;
    for mut race in done {
        judge(&client, &mut race, &mut report).await?;
    }
    report.broken.extend(inspection::faults(&environment).await?);
    Ok(report)
}

/// Returns whether the code is a verification code. Every fourth is one; the others are one-time passwords.
fn verifies(code: usize) -> bool {
    code % 4 == 3
}

fn digits(code: usize) -> String {
    if verifies(code) {
        format!("{:010}", (code * 7_654_321 + 12_345) % 10_000_000_000)
    } else {
        format!("{:08}", (code * 7_654_321 + 12_345) % 100_000_000)
    }
}

/// Creates tokens with the codes.
async fn prepare(environment: &Environment, codes: usize) -> Result<()> {
    let client = environment.direct_client(0).await?;
    let record = |code: usize| {
        let key = format!("c{code}");
        let mut token = json!({"id": key, "number": key, "authentication_code": key});
        if verifies(code) {
            token["life_cycle_state"] = json!("PENDING_VERIFICATION");
            token["verification_code"] = json!(digits(code));
        } else {
            token["life_cycle_state"] = json!("EFFECTIVE");
            token["one_time_password"] = json!(digits(code));
            token["expiration_date"] = json!("2100-01-01T00:00:00Z");
        }
        json!({"access_token": token})
    };
    let records: Vec<Value> = (0..codes).map(record).collect();
    for batch in records.chunks(IMPORT_BATCH) {
        let imported = client.import_directory(batch).await;
        let imported = imported.map_err(|refusal| anyhow::anyhow!("no codes: {}", refusal.text()))?;
        ensure!(imported.failed == 0, "no codes: {imported:?}");
    }
    Ok(())
}

fn presented(code: usize, caller: usize) -> (&'static str, Value) {
    let key = format!("c{code}");
    let identifier = match caller % 3 {
        0 => json!({"id": key}),
        1 => json!({"number": key}),
        _ => json!({"authentication_code": key}),
    };
    let request = |name: &str| json!({"access_token_identifier": identifier, name: digits(code), "fields_set": "id"});
    if verifies(code) {
        ("VerifyAccessToken", request("verification_code"))
    } else {
        ("VerifyOtp", request("one_time_password"))
    }
}

/// Presents one code by all callers concurrently. Each caller repeats its call until it is answered.
async fn race(clients: &[Client], code: usize) -> Race {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS_PER_CODE {
        let client = clients[(code + caller) % clients.len()].clone();
        callers.spawn(async move {
            let (since, mut race) = (Instant::now(), Race::default());
            loop {
                let (method, request) = presented(code, caller);
                race.calls += 1;
                match call(&client, method, request).await {
                    Outcome::Done(_) => race.successes += 1,
                    Outcome::Refused(_) => race.refused += 1,
                    Outcome::Unknown(_) if since.elapsed() < ANSWER_TIMEOUT => {
                        race.unanswered += 1;
                        tokio::time::sleep(RETRY_DELAY).await;
                        continue;
                    }
                    Outcome::Unknown(_) => race.unanswered += 1,
                }
                return race;
            }
        });
    }
    let mut all = Race { code, ..Race::default() };
    for race in callers.join_all().await {
        all.calls += race.calls;
        all.successes += race.successes;
        all.unanswered += race.unanswered;
        all.refused += race.refused;
    }
    all
}

/// Reports a code that was used more than once or never, and presents it again after the last kill.
async fn judge(client: &Client, race: &mut Race, report: &mut Report) -> Result<()> {
    report.cycles += 1;
    for later in 0..2 {
        let (method, request) = presented(race.code, later);
        race.calls += 1;
        match call(client, method, request).await {
            Outcome::Done(_) => race.successes += 1,
            Outcome::Refused(_) => {}
            Outcome::Unknown(text) => anyhow::bail!("no answer: {text}"),
        }
    }
    report.operations += race.calls;
    report.acknowledged += race.successes;
    if race.successes > 1 {
        report.duplicated.push(format!("a code was used more than once: {race:?}"));
    }
    if race.successes == 0 && race.unanswered == 0 {
        report.lost.push(format!("no caller could use a code: {race:?}"));
    }
    Ok(())
}
