//! Codes that work once, while servers are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::inspect;
use crate::outcome::{Outcome, call};
use crate::report::Report;
use crate::run::{LIAR, Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t08",
    title: "one-time passwords and verification codes that twenty callers present at once, while servers are killed",
    sizes: &[(Kind::Sqlite, 200, 20_000), (Kind::Postgres, 200, 20_000)],
    red: LIAR,
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Who present each code at once.
const CALLERS: usize = 20;
/// Codes that are presented at the same time.
const AT_ONCE: usize = 6;
/// Records of one import.
const BATCH: usize = 500;
/// After a call that nobody answered.
const BREATH: Duration = Duration::from_millis(30);
/// Longer than anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of one code.
#[derive(Debug, Default)]
struct Race {
    code: usize,
    calls: u64,
    successes: u64,
    unanswered: u64,
    refused: u64,
}

async fn play(run: &Run) -> Result<Report> {
    let replicas = if run.kind == Kind::Postgres { 3 } else { 1 };
    let plan = run.plan()?;
    let mut stage = Stage::set(Plan { replicas, ..plan }).await?;
    let (mut report, chance) = (Report::default(), Chance::new(run.seed));
    prepare(&stage, run.cycles).await?;
    let mut doors = Vec::new();
    for number in 0..replicas * 4 {
        doors.push(stage.caller(number % replicas).await?);
    }
    let (doors, next, mut races) = (Arc::new(doors), Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..AT_ONCE {
        let (doors, next, codes) = (Arc::clone(&doors), Arc::clone(&next), run.cycles);
        races.spawn(async move {
            let mut done = Vec::new();
            loop {
                let code = next.fetch_add(1, Ordering::Relaxed);
                if code >= codes {
                    return done;
                }
                done.push(race(&doors, code).await);
            }
        });
    }
    let mut done = Vec::new();
    while !races.is_empty() {
        tokio::time::sleep(chance.millis(100, 500)).await;
        let victim = chance.below(replicas as u64) as usize;
        stage.kill(victim);
        tokio::time::sleep(chance.millis(0, 100)).await;
        report.recovered(stage.start(victim).await?);
        report.faults += 1;
        while let Some(some) = races.try_join_next() {
            done.extend(some.context("a race broke")?);
        }
    }
    let client = stage.honest(0).await?;
    for mut race in done {
        judge(&client, &mut race, &mut report).await?;
    }
    report.broken.extend(inspect::faults(&stage).await?);
    Ok(report)
}

/// Every fourth is a verification code, the others are one-time passwords.
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

/// Tokens that have the codes.
async fn prepare(stage: &Stage, codes: usize) -> Result<()> {
    let client = stage.honest(0).await?;
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
    for batch in records.chunks(BATCH) {
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

/// All callers of one code at once. Each of them insists on an answer.
async fn race(doors: &[Client], code: usize) -> Race {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let door = doors[(code + caller) % doors.len()].clone();
        callers.spawn(async move {
            let (since, mut race) = (Instant::now(), Race::default());
            loop {
                let (method, request) = presented(code, caller);
                race.calls += 1;
                match call(&door, method, request).await {
                    Outcome::Done(_) => race.successes += 1,
                    Outcome::Refused(_) => race.refused += 1,
                    Outcome::Unknown(_) if since.elapsed() < PATIENCE => {
                        race.unanswered += 1;
                        tokio::time::sleep(BREATH).await;
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

/// Once and only once; and not again now that all is quiet.
async fn judge(client: &Client, race: &mut Race, report: &mut Report) -> Result<()> {
    report.cycles += 1;
    for later in 0..2 {
        let (method, request) = presented(race.code, later);
        race.calls += 1;
        match call(client, method, request).await {
            Outcome::Done(_) => race.successes += 1,
            Outcome::Refused(_) => {}
            Outcome::Unknown(text) => anyhow::bail!("nobody answers: {text}"),
        }
    }
    report.operations += race.calls;
    report.acknowledged += race.successes;
    if race.successes > 1 {
        report.duplicated.push(format!("a code was used more than once: {race:?}"));
    }
    if race.successes == 0 && race.unanswered == 0 {
        report.lost.push(format!("nobody could use a code: {race:?}"));
    }
    Ok(())
}
