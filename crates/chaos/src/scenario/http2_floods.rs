//! Floods of HTTP/2 frames that are cheap to send and expensive to process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use access_tokens_testkit::proxy::FaultProxy;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet, block_in_place};

use super::machine::{MIB, Process, is_idle};
use super::steady_caller::{SteadyCaller, percentile};
use crate::environment::{Environment, Kind, Setup};
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "http2_floods",
    number: Some("t20"),
    title: "floods of HTTP/2: resets, pings, settings, endless heads and bodies, answers that are never read",
    sizes: &[(Kind::Sqlite, 10_000, 100_000)],
    mutation: "the floods go to a server that closes nothing, the honest calls through a slow link",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// The defence of the service against a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defence {
    /// Closes the connection.
    Closes,
    /// Closes the connection with ENHANCE_YOUR_CALM.
    Calms,
    /// Refuses streams, or closes the connection.
    Refuses,
    /// Refuses calls, because answers that the client does not read fill its buffer.
    Overloads,
    /// Tolerates the flood, if honest calls are not affected.
    Bears,
}

/// The floods and the expected defence against each.
const FLOODS: &[(&str, Defence)] = &[
    ("rapid-reset", Defence::Closes),
    ("made-you-reset", Defence::Closes),
    ("data-after-end", Defence::Closes),
    ("continuation", Defence::Closes),
    ("header-list", Defence::Closes),
    ("many-streams", Defence::Refuses),
    ("empty-data", Defence::Bears),
    ("ping", Defence::Calms),
    ("settings", Defence::Calms),
    ("priority", Defence::Calms),
    ("window-update", Defence::Calms),
    ("unknown", Defence::Calms),
    ("closed-window", Defence::Overloads),
];
/// Name of the flood that makes the calls of `closed-window` from a client that reads the answers.
const READING_FLOOD: &str = "open-window";

/// Maximum growth of the memory of the service. Unread answers may take this much more than the same answers when they are read.
const MAX_GROWTH: u64 = 64 * MIB;
/// The key under which a flood reports ENHANCE_YOUR_CALM.
const ENHANCE_YOUR_CALM: &str = "GOAWAY 11";
/// Time between two honest calls.
const CALL_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum time of 99 of 100 honest calls: of an optimised service on an idle machine, and of any build during each flood.
const MAX_P99: Duration = Duration::from_millis(100);
const MAX_P99_ANY_BUILD: Duration = Duration::from_secs(1);
/// Latency of the link in the mutation check, above the maximum.
const MUTATION_LATENCY: Duration = Duration::from_millis(1_200);
/// Number of listed tokens, length of a text that each has, and number of records per import.
const LISTED_TOKENS: usize = 1_000;
const TEXT_LENGTH: usize = 4_000;
const IMPORT_BATCH: usize = 250;
/// Number of bytes after which the unresponsive reader stops to read.
const MAX_BUFFERED_BYTES: usize = 256 << 20;
/// Maximum time of a flood.
const FLOOD_TIMEOUT: Duration = Duration::from_secs(60);

/// The counts that a flood reports.
#[derive(Debug)]
struct FloodReport(Value);

async fn execute(run: &Run) -> Result<Report> {
    let Some(python) = std::env::var_os("CHAOS_PYTHON") else {
        return Ok(Report::skipped(
            "it needs a Python with floods/requirements.txt in CHAOS_PYTHON; scripts/chaos has one",
        ));
    };
    let quiet = is_idle().await?;
    let environment = Environment::set_up(Setup { lying_proxy: false, ..run.setup()? }).await?;
    SteadyCaller::seed(&environment).await?;
    seed_data(&environment).await?;
    let honest = environment.direct_client(0).await?;
    let session = honest.session().to_owned();
    let (mut target, mut process, mut entry) =
        (environment.server(0)?.address(), Process::of(environment.server(0)?)?, environment.entry_address(0));
    let (link, reader) = (FaultProxy::start(entry).await?, UnresponsiveReader::start().await?);
    if run.mutated {
        link.delay_answers(MUTATION_LATENCY);
        (target, process, entry) = (reader.address, Process::this(), link.address());
    }
    let before = process.reset_peak()?;
    block_in_place(|| flood(Path::new(&python), READING_FLOOD, target, run.cycles, &session))?;
    let taken = process.peak()?.saturating_sub(before);
    let (mut report, mut all) = (Report::default(), Vec::new());
    for (name, defence) in FLOODS {
        let steady = SteadyCaller::begin(environment.client_at(entry).await?, CALL_INTERVAL);
        let before = process.reset_peak()?;
        let flood_report = block_in_place(|| flood(Path::new(&python), name, target, run.cycles, &session))?;
        let growth = process.peak()?.saturating_sub(before);
        let seen = steady.end().await?;
        let bound = if *defence == Defence::Overloads { taken + MAX_GROWTH } else { MAX_GROWTH };
        report.expect(growth < bound, || format!("{name}: memory grew by {} MiB", growth / MIB));
        report.expect(flood_report.ends_with(*defence), || format!("{name}: {flood_report:?}, without a defence"));
        let (count, p99) = (seen.times.len(), seen.p99());
        seen.judge(name, &mut report);
        report.expect(p99 <= MAX_P99_ANY_BUILD, || format!("{name}: 99 % of honest calls took {} ms", p99.as_millis()));
        report.note(format!(
            "{name}: {}; +{} MiB; {count} honest calls, 99 % within {} ms",
            flood_report.0,
            growth / MIB,
            p99.as_millis()
        ));
        report.operations += (count + seen.refused.len()) as u64;
        report.acknowledged += count as u64;
        report.faults += 1;
        all.extend(seen.times);
    }
    let (p50, p99) = (percentile(&all, 50), percentile(&all, 99));
    if run.is_optimised() && quiet {
        report.expect(p99 <= MAX_P99, || format!("99 % of all honest calls took {} ms", p99.as_millis()));
    }
    report.note(format!("{READING_FLOOD}: +{} MiB", taken / MIB));
    report.note(format!("honest calls: half within {} µs, 99 % within {} µs", p50.as_micros(), p99.as_micros()));
    report.broken.extend(environment.panics());
    report.cycles = run.cycles;
    Ok(report)
}

impl FloodReport {
    fn count(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_default()
    }

    fn ends_with(&self, defence: Defence) -> bool {
        match defence {
            Defence::Closes => self.count("closed") > 0,
            Defence::Calms => self.count("closed") > 0 && self.count(ENHANCE_YOUR_CALM) > 0,
            Defence::Refuses => self.count("closed") + self.count("refused") > 0,
            Defence::Overloads => self.count("overloaded") > 0,
            Defence::Bears => true,
        }
    }
}

/// Creates an owner with many tokens.
async fn seed_data(environment: &Environment) -> Result<()> {
    let owner = json!({"accounts_receivable": {"id": "flood", "number": "flood"}});
    let text = "x".repeat(TEXT_LENGTH);
    let token = |number| {
        json!({"access_token": {
            "id": format!("flood-{number}"), "number": format!("F{number}"), "life_cycle_state": "EFFECTIVE",
            "authentication_code": format!("flood-{number}"), "accounts_receivable": {"id": "flood"},
            "udf_string_1": text,
        }})
    };
    let records: Vec<_> = std::iter::once(owner).chain((0..LISTED_TOKENS).map(token)).collect();
    let client = environment.direct_client(0).await?;
    for batch in records.chunks(IMPORT_BATCH) {
        let made = client.import_directory(batch).await.map_err(|refusal| anyhow::anyhow!("{}", refusal.text()))?;
        ensure!(made.failed == 0, "no tokens to list: {made:?}");
    }
    Ok(())
}

fn flood(python: &Path, name: &str, target: SocketAddr, count: usize, session: &str) -> Result<FloodReport> {
    use std::io::Write;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("floods/flood.py");
    let mut child = std::process::Command::new("timeout")
        .arg(FLOOD_TIMEOUT.as_secs().to_string())
        // Python writes no compiled file beside the script.
        .args([python.as_os_str(), "-B".as_ref(), script.as_os_str(), name.as_ref()])
        .args([target.ip().to_string(), target.port().to_string(), count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("no Python")?;
    child.stdin.take().context("a pipe")?.write_all(session.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the flood {name} broke: {}", output.status);
    Ok(FloodReport(serde_json::from_slice(&output.stdout).context("a flood tells what came of it")?))
}

/// A server that reads everything, answers nothing and closes nothing.
struct UnresponsiveReader {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl UnresponsiveReader {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut guests = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                guests.spawn(async move {
                    let mut kept = Vec::new();
                    while kept.len() < MAX_BUFFERED_BYTES && matches!(stream.read_buf(&mut kept).await, Ok(1..)) {}
                    std::future::pending::<()>().await
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for UnresponsiveReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
