//! Ten times as many calls as the service can answer. The service has one core, together with its database, whose time is a part of
//! the cost of a call. All other cores belong to the clients.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::block_in_place;
use tonic::Code;

use super::frame_load::{Arrival, CALL_TIMEOUT, FrameLoad, Tally};
use super::machine::{MIB, Process, restricted_binary};
use super::steady_caller::{Refused, SteadyCaller, percentile};
use crate::environment::{Environment, Kind, Setup};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "overload",
    number: None,
    title: "ten times as many calls as the service, with its database on a core of its own, can answer",
    sizes: &[(Kind::Sqlite, 4, 60), (Kind::Postgres, 4, 60)],
    mutation: "the service takes a hundred thousand calls at once",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// The core of the service and of its database.
const SERVICE_CORE: &str = "0";
/// Number of connections, and of callers per connection, with which the capacity is measured.
const CAPACITY_CONNECTIONS: usize = 8;
const CALLERS_PER_CONNECTION: usize = 8;
/// Number of connections of the overload. They may have more open calls than are answered in a second.
const OVERLOAD_CONNECTIONS: usize = 160;
/// Multiples of the capacity that are offered, one after the other. The minimum goodput applies to the last one.
const LOAD_FACTORS: [f64; 3] = [2.0, 4.0, 10.0];
/// Minimum share of the capacity that must be left.
const MIN_GOODPUT: f64 = 0.9;
const WARM_UP_TIME: Duration = Duration::from_secs(1);
const MEASURING_TIME: Duration = Duration::from_secs(3);
/// Maximum growth of the memory of the service.
const MAX_GROWTH: u64 = 64 * MIB;
/// Time between two calls of a usual client, whose refusals are checked.
const PROBE_INTERVAL: Duration = Duration::from_millis(25);

async fn execute(run: &Run) -> Result<Report> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Ok(Report::skipped("it needs two cores: one for the service with its database, one for its callers"));
    }
    let folder = tempfile::tempdir()?;
    let mut setup = Setup { lying_proxy: false, ..run.setup()? };
    setup.base.binary = restricted_binary(folder.path(), &run.binary, "", &format!("taskset -c {SERVICE_CORE}"))?;
    if run.mutated {
        setup.base.variables.push(("ACCESS_TOKENS__GRPC__MAX_CONCURRENT_REQUESTS", "100000".to_owned()));
    }
    if let Some(cluster) = &setup.base.cluster {
        // Without this, the database would also use the cores of the clients.
        block_in_place(|| cluster.pin(SERVICE_CORE)).context("PostgreSQL cannot be pinned")?;
    }
    let environment = Environment::set_up(setup).await?;
    SteadyCaller::seed(&environment).await?;
    let callers = Cores::only(&format!("1-{}", cores - 1), cores)?;
    let report = measure(run, &environment).await;
    drop(callers);
    report
}

async fn measure(run: &Run, environment: &Environment) -> Result<Report> {
    let client = environment.direct_client(0).await?;
    let load =
        FrameLoad::new(environment.server(0)?.address(), client.session(), "ShowAccessToken", &SteadyCaller::message());
    load.run_load(CAPACITY_CONNECTIONS, Arrival::Closed(CALLERS_PER_CONNECTION), WARM_UP_TIME).await;
    let best = load.run_load(CAPACITY_CONNECTIONS, Arrival::Closed(CALLERS_PER_CONNECTION), MEASURING_TIME).await;
    let peak = best.good.len() as f64 / MEASURING_TIME.as_secs_f64();
    ensure!(peak > 0.0, "nothing was answered: {}", text(&best));

    let mut report = Report::default();
    report.note(format!("at most {peak:.0} calls a second; {}", text(&best)));
    for times in LOAD_FACTORS {
        let goodput = too_much(run, environment, &load, peak * times, &mut report).await?;
        let part = goodput / peak;
        report.note(format!("{times} times as many: {goodput:.0} a second succeeded, {:.0} %", part * 100.0));
        if times == LOAD_FACTORS[LOAD_FACTORS.len() - 1] {
            report.expect(part >= MIN_GOODPUT, || format!("{goodput:.0} calls a second succeeded; {peak:.0} can"));
        }
    }
    report.broken.extend(environment.panics());
    report.cycles = run.cycles;
    Ok(report)
}

/// Offers this number of calls per second. Returns the number that succeeded per second.
async fn too_much(
    run: &Run,
    environment: &Environment,
    load: &FrameLoad,
    rate: f64,
    report: &mut Report,
) -> Result<f64> {
    let process = Process::of(environment.server(0)?)?;
    let before = process.reset_peak()?;
    let time = Duration::from_secs(run.cycles as u64);
    let looker = SteadyCaller::begin(environment.direct_client(0).await?.with_deadline(CALL_TIMEOUT), PROBE_INTERVAL);
    let tally = load.run_load(OVERLOAD_CONNECTIONS, Arrival::Open(rate / OVERLOAD_CONNECTIONS as f64), time).await;
    let seen = looker.end().await?;
    let growth = process.peak()?.saturating_sub(before);

    let offered = tally.offered as f64 / time.as_secs_f64();
    report.note(text(&tally));
    report.note(format!("of {} MiB the service grew by {} MiB", before / MIB, growth / MIB));
    report.expect(offered >= rate * MIN_GOODPUT, || format!("only {offered:.0} calls a second were made of {rate:.0}"));
    report.expect(growth <= MAX_GROWTH, || format!("the service grew by {} MiB", growth / MIB));
    report.expect(tally.reset + tally.cut == 0, || {
        format!("{} streams and {} connections were cut", tally.reset, tally.cut)
    });
    let wrong = |refusal: &&Refused| {
        let own = matches!(refusal.code, Code::DeadlineExceeded | Code::Cancelled);
        !(own || refusal.code == Code::ResourceExhausted && refusal.retry)
    };
    let first = seen.refused.iter().find(wrong);
    report.expect(first.is_none(), || format!("a refusal was {first:?}"));
    report.note(format!(
        "of calls of a usual client {} succeeded and {} did not",
        seen.times.len(),
        seen.refused.len()
    ));
    report.operations += tally.offered;
    report.acknowledged += tally.good.len() as u64;
    report.faults += tally.offered - tally.good.len() as u64;
    Ok(tally.good.len() as f64 / time.as_secs_f64())
}

fn text(tally: &Tally) -> String {
    let Tally { offered, good, refused, expired, unsent, reset, cut } = tally;
    format!(
        "{offered} calls: {} good (half within {} ms, 99 % within {} ms), {} refused (half within {} ms), {expired} late, \
         {unsent} never sent, {reset} reset; {cut} connections cut",
        good.len(),
        percentile(good, 50).as_millis(),
        percentile(good, 99).as_millis(),
        refused.len(),
        percentile(refused, 50).as_millis(),
    )
}

/// Restricts this process to some cores, until it is dropped.
struct Cores {
    all: String,
}

impl Cores {
    fn only(some: &str, count: usize) -> Result<Self> {
        let all = Self { all: format!("0-{}", count - 1) };
        ensure!(Self::set(some), "taskset does not work here");
        Ok(all)
    }

    fn set(cores: &str) -> bool {
        let process = std::process::id().to_string();
        let set = block_in_place(|| Command::new("taskset").args(["-acp", cores, &process]).output());
        set.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        Self::set(&self.all);
    }
}
