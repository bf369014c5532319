//! A database behind a link that drops everything, and a slow database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::campaign::{Campaign, Workload};
use crate::environment::{Environment, Kind, Setup};
use crate::inspection;
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "database_unreachable",
    number: Some("t15"),
    title: "PostgreSQL behind a link that swallows everything, and then one that takes seconds",
    sizes: &[(Kind::Postgres, 1, 20)],
    mutation: "the service may wait half a minute for a connection, and a minute for a statement",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Time for which the database is unreachable or slow.
const OUTAGE_TIME: Duration = Duration::from_secs(6);
/// Latency of the slow database.
const DATABASE_LATENCY: Duration = Duration::from_secs(5);
/// Maximum time of every answer during the outage.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(2);
/// Maximum time after the outage until all calls succeed.
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(2);
/// Number of clients that call each method.
const CALLERS_PER_METHOD: usize = 3;
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

/// An answer.
#[derive(Debug, Clone)]
struct Answer {
    method: &'static str,
    asked: Instant,
    took: Duration,
    /// The reason and whether RetryInfo is present; `None` if the call succeeded.
    refusal: Option<(String, bool)>,
}

async fn execute(run: &Run) -> Result<Report> {
    let mut setup = run.setup()?;
    if run.mutated {
        setup.base.variables.push(("ACCESS_TOKENS__DATABASE__ACQUIRE_TIMEOUT_MS", "30000".to_owned()));
        setup.base.variables.push(("ACCESS_TOKENS__DATABASE__STATEMENT_TIMEOUT_MS", "60000".to_owned()));
    }
    let environment = Environment::set_up(Setup { fault_proxy: true, lying_proxy: false, ..setup }).await?;
    let mut campaign = Campaign::new(&environment, run.seed)?;
    let network = environment.proxy()?;
    for cycle in 0..run.cycles * 2 {
        // Each outage has a token of its own, because the number of passwords a token may be issued per day is limited.
        let token = json!({"authentication_code": format!("probe {cycle}")});
        let made = environment.direct_client(0).await?.try_call("CreateAccessToken", token.clone()).await;
        made.map_err(|refusal| anyhow::anyhow!("no token: {}", refusal.text()))?;
        let load = campaign.load(&environment, Workload { writers: 4, ..Workload::DEFAULT }).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut probes = JoinSet::new();
        for number in 0..CALLERS_PER_METHOD * METHODS.len() {
            let method = METHODS[number % METHODS.len()];
            probes.spawn(probe(environment.client(0).await?, method, token.clone(), Arc::clone(&stop)));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let broken = Instant::now();
        if cycle.is_multiple_of(2) {
            network.black_hole(true);
        } else {
            network.delay_answers(DATABASE_LATENCY);
        }
        tokio::time::sleep(OUTAGE_TIME).await;
        network.heal();
        let healed = Instant::now();
        tokio::time::sleep(MAX_RECOVERY_TIME + Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        load.stop().await?;
        let kind = if cycle.is_multiple_of(2) { "swallowed" } else { "slow" };
        for answers in probes.join_all().await {
            judge(&answers, broken, healed, kind, &mut campaign.report)?;
        }
        campaign.report.faults += 1;
        tokio::time::sleep(SETTLE_TIME).await;
        campaign.report.broken.extend(inspection::faults(&environment).await?);
        campaign.check(&environment).await?;
        campaign.report.cycles = cycle.div_ceil(2);
    }
    campaign.report.cycles = run.cycles;
    campaign.finish(&environment).await
}

/// A call that reads, a call that writes with one statement, and a call that needs a transaction.
const METHODS: &[&str] = &["ShowAccessToken", "UpdateAccessToken", "GenerateOtp"];

fn request(method: &str, token: &Value, count: u64) -> Value {
    match method {
        "UpdateAccessToken" => {
            json!({"access_token_identifier": token, "udf_string_2": count.to_string(), "fields_set": "id"})
        }
        _ => json!({"access_token_identifier": token, "fields_set": "id"}),
    }
}

/// Calls one method repeatedly until it is stopped.
async fn probe(client: Client, method: &'static str, token: Value, stop: Arc<AtomicBool>) -> Vec<Answer> {
    let client = client.with_deadline(Duration::from_secs(20));
    let (mut answers, mut count) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let asked = Instant::now();
        let answer = client.try_call(method, request(method, &token, count)).await;
        let refusal = answer.err().map(|refusal| (refusal.reason.clone(), refusal.retry_after().is_some()));
        answers.push(Answer { method, asked, took: asked.elapsed(), refusal });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers
}

/// Checks the answers that one client received during and after an outage.
fn judge(answers: &[Answer], broken: Instant, healed: Instant, kind: &str, report: &mut Report) -> Result<()> {
    let method = answers.first().context("nothing was asked")?.method;
    let during = |answer: &&Answer| answer.asked + answer.took > broken && answer.asked < healed;
    let slowest = answers.iter().filter(during).map(|answer| answer.took).max().unwrap_or_default();
    report.expect(slowest <= MAX_ANSWER_TIME, || {
        format!("{kind}: {method} was answered after {} ms", slowest.as_millis())
    });
    for answer in answers.iter().filter(during) {
        if let Some((reason, retry)) = &answer.refusal {
            let right = reason == "DATABASE_UNAVAILABLE" && *retry;
            report.expect(right, || format!("{kind}: {method} was refused for {reason:?}, RetryInfo: {retry}"));
        }
    }
    let last_refused = answers.iter().rfind(|answer| answer.asked > healed && answer.refusal.is_some());
    let well = last_refused.map_or(Duration::ZERO, |answer| answer.asked + answer.took - healed);
    let first_after = answers.iter().find(|answer| answer.asked + answer.took > healed && answer.refusal.is_none());
    match first_after {
        Some(answer) => {
            let recovery = well.max((answer.asked + answer.took) - healed);
            report.recovered(recovery);
            let text = || format!("{kind}: {method} worked again after {} ms", recovery.as_millis());
            report.expect(recovery <= MAX_RECOVERY_TIME, text);
        }
        None => report.broken.push(format!("{kind}: {method} did not work again")),
    }
    Ok(())
}
