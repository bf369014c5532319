//! A flood of log-ins, each of which needs an expensive hash.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testkit::proxy::FaultProxy;
use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tonic::Code;

use super::machine::{MIB, Process, is_idle};
use super::steady_caller::{Observations, Refused, SteadyCaller, percentile};
use crate::environment::{Environment, Kind, Setup};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "login_flood",
    number: Some("t23"),
    title: "a thousand logins a second: unknown users, wrong and right passwords",
    sizes: &[(Kind::Sqlite, 8, 300), (Kind::Postgres, 8, 300)],
    mutation: "logins and honest calls go through a slow link",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

const ORGANISATION: &str = "DEMO";
const USER: &str = "flooded";
/// Wrong passwords lock a user on the network of the caller, so they are sent for a user of their own.
const GUESSED: &str = "guessed";
const PASSWORD: &str = "battery staple";

/// Time between two log-ins.
const LOGIN_INTERVAL: Duration = Duration::from_millis(1);
/// Time between two log-ins at an unoptimised service, which has a third of the capacity.
const LOGIN_INTERVAL_UNOPTIMISED: Duration = Duration::from_millis(3);
const CALL_INTERVAL: Duration = Duration::from_millis(10);
/// Number of connections for log-ins.
const CONNECTIONS: usize = 16;
/// Maximum memory of a hash in progress, and of everything else.
const MEMORY_PER_HASH: u64 = 20 * MIB;
const OTHER_MEMORY: u64 = 16 * MIB;
/// Minimum number of log-ins that are decided per second and available core; on a slower machine this share of the measured
/// capacity.
const MIN_LOGINS_PER_SECOND: f64 = 60.0;
const MIN_SHARE_OF_CAPACITY: f64 = 0.7;
/// Time for which the capacity is measured.
const CAPACITY_SAMPLING_TIME: Duration = Duration::from_secs(2);
/// Maximum time of 99 of 100 refusals and shows: of an optimised service on an idle machine, and of any build.
const MAX_REFUSAL_P99: Duration = Duration::from_millis(100);
const MAX_SHOW_P99: Duration = Duration::from_millis(50);
const MAX_P99_ANY_BUILD: Duration = Duration::from_secs(1);
/// Time until honest calls alone need no more memory.
const SETTLE_TIME: Duration = Duration::from_secs(1);
/// Latency of the link in the mutation check, above the maximum.
const MUTATION_LATENCY: Duration = Duration::from_millis(1_200);

/// A kind of log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    UnknownUser,
    WrongPassword,
    RightPassword,
}

/// The result of a log-in; no refusal if it succeeded.
struct Login {
    attempt: Attempt,
    took: Duration,
    refusal: Option<Refused>,
}

async fn execute(run: &Run) -> Result<Report> {
    let release = run.is_optimised();
    let strict = release && is_idle().await?;
    let environment = Environment::set_up(Setup { lying_proxy: false, ..run.setup()? }).await?;
    SteadyCaller::seed(&environment).await?;
    let users = [USER, GUESSED]
        .map(|user| json!({"user": {"id": user, "username": user, "password": PASSWORD, "permissions": []}}));
    let made = environment.direct_client(0).await?.import_directory(&users).await;
    ensure!(made.as_ref().is_ok_and(|made| made.failed == 0), "no user: {made:?}");
    let link = FaultProxy::start(environment.entry_address(0)).await?;
    let mut entry = environment.entry_address(0);
    if run.mutated {
        link.delay_answers(MUTATION_LATENCY);
        entry = link.address();
    }
    let process = Process::of(environment.server(0)?)?;
    let capacity = capacity(environment.entry_address(0)).await;
    let steady = SteadyCaller::begin(environment.client_at(entry).await?, CALL_INTERVAL);
    tokio::time::sleep(SETTLE_TIME).await;
    let before = process.reset_peak()?;
    let every = if release { LOGIN_INTERVAL } else { LOGIN_INTERVAL_UNOPTIMISED };
    let (began, time) = (Instant::now(), Duration::from_secs(run.cycles as u64));
    let logins = flood(entry, every, time).await;
    let took = began.elapsed();
    let seen = steady.end().await?;
    let growth = process.peak()?.saturating_sub(before);

    let mut report = Report::default();
    let limit = permits() as u64 * MEMORY_PER_HASH + OTHER_MEMORY;
    report.expect(growth <= limit, || format!("the service grew by {} of {} MiB", growth / MIB, limit / MIB));
    report.note(format!("of {} MiB the service grew by {} MiB", before / MIB, growth / MIB));
    let wanted = MIN_LOGINS_PER_SECOND.min(capacity * MIN_SHARE_OF_CAPACITY);
    report.note(format!("{capacity:.0} logins a second are decided for each core without other load"));
    judge_logins(&logins, took, strict.then_some(wanted), &mut report);
    judge_calls(&seen, strict, &mut report);
    report.broken.extend(environment.panics());
    report.cycles = run.cycles;
    report.faults = logins.len() as u64;
    report.operations = (seen.times.len() + seen.refused.len()) as u64;
    report.acknowledged = seen.times.len() as u64;
    Ok(report)
}

/// Returns the number of log-ins that the service decides concurrently: one core is left for everything else.
fn permits() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1)
}

async fn flood(entry: SocketAddr, every: Duration, time: Duration) -> Vec<Login> {
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(entry)).collect();
    let (mut logins, mut done) = (JoinSet::new(), Vec::new());
    let mut ticks = tokio::time::interval(every);
    // Missed ticks are made up for, so that the rate is kept.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut number) = (Instant::now(), 0_usize);
    while began.elapsed() < time {
        ticks.tick().await;
        let attempt =
            [Attempt::UnknownUser, Attempt::WrongPassword, Attempt::UnknownUser, Attempt::RightPassword][number % 4];
        logins.spawn(login(clients[number % CONNECTIONS].clone(), attempt, number));
        number += 1;
        while let Some(login) = logins.try_join_next() {
            done.extend(login.ok());
        }
    }
    done.extend(logins.join_all().await);
    done
}

/// Returns the number of log-ins per second and available core that the service decides without overload.
async fn capacity(entry: SocketAddr) -> f64 {
    let (began, mut callers) = (Instant::now(), JoinSet::new());
    // There is one log-in more than permits, so that one waits whenever another one ends.
    for number in 0..=permits() {
        callers.spawn(async move {
            let (client, mut count) = (Client::connect(entry), 0_u32);
            while began.elapsed() < CAPACITY_SAMPLING_TIME {
                login(client.clone(), Attempt::UnknownUser, number).await;
                count += 1;
            }
            count
        });
    }
    let count: u32 = callers.join_all().await.into_iter().sum();
    f64::from(count) / began.elapsed().as_secs_f64() / permits() as f64
}

async fn login(client: Client, attempt: Attempt, number: usize) -> Login {
    let asked = Instant::now();
    let user = match attempt {
        Attempt::UnknownUser => format!("unknown-{number}"),
        Attempt::WrongPassword => GUESSED.to_owned(),
        Attempt::RightPassword => USER.to_owned(),
    };
    let password = if attempt == Attempt::WrongPassword { "wrong" } else { PASSWORD };
    let answer = client.login(ORGANISATION, &user, password, None).await;
    let took = asked.elapsed();
    Login { attempt, took, refusal: answer.err().map(|refusal| Refused::from(&refusal)) }
}

fn judge_logins(logins: &[Login], took: Duration, wanted: Option<f64>, report: &mut Report) {
    let (mut told, mut overloaded) = ([BTreeSet::new(), BTreeSet::new()], [Vec::new(), Vec::new()]);
    let mut decided = 0_usize;
    for login in logins {
        let known = usize::from(login.attempt != Attempt::UnknownUser);
        match &login.refusal {
            None => {
                decided += 1;
                report.expect(login.attempt == Attempt::RightPassword, || format!("{:?} is let in", login.attempt));
            }
            Some(Refused { code: Code::Unauthenticated, text, .. }) => {
                decided += 1;
                report.expect(login.attempt != Attempt::RightPassword, || format!("a right password is wrong: {text}"));
                told[known].insert(text.clone());
            }
            Some(Refused { code, text, retry }) => {
                let right = *code == Code::ResourceExhausted && *retry;
                report.expect(right, || format!("{:?}: {code:?} {text}, RetryInfo: {retry}", login.attempt));
                told[known].insert(text.clone());
                overloaded[known].push(login.took);
            }
        }
    }
    report.expect(told[0] == told[1], || format!("unknown users are told {:?}, others {:?}", told[0], told[1]));
    let rate = decided as f64 / took.as_secs_f64() / permits() as f64;
    let refused: usize = overloaded.iter().map(Vec::len).sum();
    report.expect(refused > 0, || "no log-in was refused: that was no flood".to_owned());
    let [unknown, known] = overloaded.map(|times| percentile(&times, 99));
    let limit = if wanted.is_some() { MAX_REFUSAL_P99 } else { MAX_P99_ANY_BUILD };
    for p99 in [unknown, known] {
        report.expect(p99 <= limit, || format!("99 % of those who were refused waited {} ms", p99.as_millis()));
    }
    if let Some(wanted) = wanted {
        report.expect(rate >= wanted, || format!("only {rate:.0} logins a second were decided, not {wanted:.0}"));
    }
    report.note(format!(
        "{:.0} logins a second, of which {rate:.0} were decided for each of {} cores and {refused} refused in all; 99 % of \
         refusals within {} ms for unknown users and {} ms for others",
        logins.len() as f64 / took.as_secs_f64(),
        permits(),
        unknown.as_millis(),
        known.as_millis()
    ));
}

fn judge_calls(seen: &Observations, strict: bool, report: &mut Report) {
    let (p50, p99) = (percentile(&seen.times, 50), seen.p99());
    seen.judge("logins", report);
    let limit = if strict { MAX_SHOW_P99 } else { MAX_P99_ANY_BUILD };
    report.expect(p99 <= limit, || format!("99 % of honest calls took {} ms", p99.as_millis()));
    report.note(format!(
        "{} honest calls: half within {} µs, 99 % within {} µs",
        seen.times.len(),
        p50.as_micros(),
        p99.as_micros()
    ));
}
