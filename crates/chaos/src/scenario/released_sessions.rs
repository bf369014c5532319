//! An API key that opens and releases sessions as fast as it can, while the list of released sessions is long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use anyhow::Result;
use tokio::task::JoinSet;

use super::machine::{MIB, Process};
use super::steady_caller::{SteadyCaller, percentile};
use crate::environment::{Environment, Kind, Setup};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "released_sessions",
    number: None,
    title: "an API key without any permission opens and releases sessions in a loop, beside a long list of released ones",
    sizes: &[(Kind::Sqlite, 5, 60), (Kind::Postgres, 5, 60)],
    mutation: "the limit on log-ins of one key",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// The default limits of the service for log-ins of one key.
const LOGIN_BURST: u64 = 500;
const LOGINS_PER_SECOND: u64 = 50;
/// Number of concurrent loops of log-in and release.
const LOOPS: usize = 16;
/// Time between two honest calls.
const CALL_INTERVAL: Duration = Duration::from_millis(10);
/// Minimum share of honest calls that succeed, in percent.
const MIN_SUCCESS_PERCENT: usize = 99;
/// Number of sessions that were released before, at size `soak` and at size `ci`. On PostgreSQL only, where they are created
/// quickly.
const RELEASED_SESSIONS_SOAK: u64 = 1_000_000;
const RELEASED_SESSIONS_CI: u64 = 100_000;
/// Maximum memory for the list, and for the load.
const LIST_MEMORY: u64 = 64 * MIB;
const LOAD_MEMORY: u64 = 32 * MIB;
/// Maximum time of 99 of 100 honest calls.
const MAX_P99: Duration = Duration::from_millis(250);
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Time for which calls are measured without the list, and again with it, at size `soak`. Releases of the last 5 minutes are read
/// again every 30 seconds, so the time contains such a read.
const MEASURING_TIME: Duration = Duration::from_secs(40);
/// Time above which a call counts as slow.
const SLOW_CALL: Duration = Duration::from_millis(50);

async fn execute(run: &Run) -> Result<Report> {
    let mut setup = Setup { lying_proxy: false, ..run.setup()? };
    if run.mutated {
        setup.base.variables.push(("ACCESS_TOKENS__SESSIONS__LOGINS_PER_SECOND", "0".to_owned()));
    }
    let mut environment = Environment::set_up(setup).await?;
    SteadyCaller::seed(&environment).await?;
    let key = environment.api_key("looping", "access_tokens.lookup")?;
    let mut report = Report::default();
    let before = Process::of(environment.server(0)?)?.memory()?;
    let many = run.cycles >= 60;
    if run.kind == Kind::Postgres {
        let without = if many { slow(&environment).await? } else { (0, Duration::ZERO) };
        release(&environment, if many { RELEASED_SESSIONS_SOAK } else { RELEASED_SESSIONS_CI })?;
        environment.terminate(0)?;
        let ready = environment.start(0).await?;
        report.note(format!("ready after {} ms with them", ready.as_millis()));
        if many {
            let with = slow(&environment).await?;
            let limit = SLOW_CALL.as_millis();
            report.note(format!(
                "calls of more than {limit} ms, and the slowest: {without:?} without them, {with:?} with them"
            ));
            report
                .expect(with.0 <= without.0, || format!("{} calls took more than {limit} ms because of them", with.0));
        }
    }
    let process = Process::of(environment.server(0)?)?;
    let steady = SteadyCaller::begin(environment.client(0).await?, CALL_INTERVAL);
    tokio::time::sleep(SETTLE_TIME).await;
    let (began, time) = (Instant::now(), Duration::from_secs(run.cycles as u64));
    let seen = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
    let seen = loops(environment.entry_address(0), &key, time, Arc::new(seen)).await;
    let took = began.elapsed();
    let honest = steady.end().await?;

    let [opened, refused, failed] = [0, 1, 2].map(|place: usize| seen[place].load(Ordering::Relaxed));
    let allowed = LOGIN_BURST + LOGINS_PER_SECOND * (took.as_secs() + 1);
    report.expect(opened <= allowed, || format!("one key opened {opened} sessions, not {allowed} at most"));
    report.expect(opened >= LOGIN_BURST.min(allowed / 2), || format!("one key opened only {opened} sessions"));
    report.expect(refused > 0, || "no log-in was refused: that was no flood".to_owned());
    report.expect(failed == 0, || format!("{failed} log-ins or releases failed otherwise"));
    let growth = process.memory()?.saturating_sub(before);
    let limit = LIST_MEMORY + LOAD_MEMORY;
    report.expect(growth <= limit, || format!("the service grew by {} of {} MiB", growth / MIB, limit / MIB));
    let all = honest.times.len() + honest.refused.len();
    report.expect(honest.times.len() * 100 >= all * MIN_SUCCESS_PERCENT, || {
        format!("{} of {all} honest calls failed: {:?}", honest.refused.len(), honest.refused.first())
    });
    let p99 = honest.p99();
    report.expect(p99 <= MAX_P99, || format!("99 % of honest calls took {} ms", p99.as_millis()));
    report.note(format!(
        "{opened} sessions opened and {refused} log-ins refused in {} s; the service grew by {} MiB; {all} honest calls, half \
         within {} µs, 99 % within {} µs",
        took.as_secs(),
        growth / MIB,
        percentile(&honest.times, 50).as_micros(),
        p99.as_micros()
    ));
    report.broken.extend(environment.panics());
    report.cycles = run.cycles;
    report.faults = opened + refused;
    report.operations = all as u64;
    report.acknowledged = honest.times.len() as u64;
    Ok(report)
}

/// Returns the number of calls that took longer than [`SLOW_CALL`] while there is no other load, and the time of the slowest one.
async fn slow(environment: &Environment) -> Result<(usize, Duration)> {
    let steady = SteadyCaller::begin(environment.client(0).await?, CALL_INTERVAL);
    tokio::time::sleep(MEASURING_TIME).await;
    let honest = steady.end().await?;
    anyhow::ensure!(honest.refused.is_empty(), "a call was refused in a quiet time: {:?}", honest.refused.first());
    let slow = honest.times.iter().filter(|time| **time > SLOW_CALL).count();
    Ok((slow, honest.times.iter().max().copied().unwrap_or_default()))
}

/// Inserts sessions that were released just now, as the service writes them.
fn release(environment: &Environment, count: u64) -> Result<()> {
    environment.psql(&format!(
        "INSERT INTO released_session (id, released_at, expires_at) SELECT upper(md5(n::text)), \
         CAST(extract(epoch FROM now()) * 1000000 AS bigint) - n * 100, \
         CAST(extract(epoch FROM now()) * 1000000 AS bigint) + 7200000000 - n * 6000 FROM generate_series(1::bigint, {count}) n"
    ))?;
    Ok(())
}

/// Opens and releases sessions for this time. Counts opened sessions, log-ins that were refused because of the limit, and other
/// refusals.
async fn loops(entry: SocketAddr, key: &str, time: Duration, seen: Arc<[AtomicU64; 3]>) -> Arc<[AtomicU64; 3]> {
    let (mut all, over) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
    for _ in 0..LOOPS {
        let (client, key, seen, over) = (Client::connect(entry), key.to_owned(), Arc::clone(&seen), Arc::clone(&over));
        all.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let place = match client.login_with_api_key(&key).await {
                    Ok(token) => match client.with_session(&token).try_release().await {
                        Ok(()) => 0,
                        Err(_) => 2,
                    },
                    Err(refusal) if refusal.reason == "TOO_MANY_LOGINS" => 1,
                    Err(refusal) if refusal.reason == "OVERLOADED" => continue,
                    Err(_) => 2,
                };
                seen[place].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    all.join_all().await;
    seen
}
