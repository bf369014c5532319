//! Floods of HTTP/2: frames that are cheap to send and meant to be dear to receive.

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

use super::machine::{MIB, Process, is_quiet};
use super::steady::{Steady, percentile};
use crate::report::Report;
use crate::run::{Playing, Run, Scenario};
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t20",
    title: "floods of HTTP/2: resets, pings, settings, endless heads and bodies, answers that nobody takes",
    sizes: &[(Kind::Sqlite, 10_000, 100_000)],
    red: "the floods go to somebody who keeps all that comes and closes nothing, the honest calls through a slow link",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// What the service does when it has enough of a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Enough {
    /// Closes the connection.
    Closes,
    /// Closes the connection with ENHANCE_YOUR_CALM.
    Calms,
    /// Refuses streams, or closes the connection.
    Refuses,
    /// Has no room for more answers that nobody takes, and says so.
    Overloads,
    /// Bears it, as long as nobody else notices.
    Bears,
}

/// The floods.
const FLOODS: &[(&str, Enough)] = &[
    ("rapid-reset", Enough::Closes),
    ("made-you-reset", Enough::Closes),
    ("data-after-end", Enough::Closes),
    ("continuation", Enough::Closes),
    ("header-list", Enough::Closes),
    ("many-streams", Enough::Refuses),
    ("empty-data", Enough::Bears),
    ("ping", Enough::Calms),
    ("settings", Enough::Calms),
    ("priority", Enough::Calms),
    ("window-update", Enough::Calms),
    ("unknown", Enough::Calms),
    ("closed-window", Enough::Overloads),
];
/// The same calls as those of a closed window, whose answers are taken.
const TAKEN: &str = "open-window";

/// What the service may need in addition. Answers that nobody takes may need so much more than the same that are taken.
const GROWTH: u64 = 64 * MIB;
/// What a flood tells when the server has said so.
const ENHANCE_YOUR_CALM: &str = "GOAWAY 11";
/// Between two honest calls.
const PACE: Duration = Duration::from_millis(20);
/// In which time 99 of 100 honest calls are answered by a service as it is shipped, on a quiet machine; and, during each
/// flood, by any.
const P99: Duration = Duration::from_millis(100);
const CEILING: Duration = Duration::from_secs(1);
/// Beyond the ceiling: a link in red mode.
const SLOW: Duration = Duration::from_millis(1_200);
/// Tokens that are listed, the length of a text that each has, and in how many records at a time they are imported.
const LISTED: usize = 1_000;
const TEXT: usize = 4_000;
const BATCH: usize = 250;
/// After which somebody who keeps everything stops to read.
const KEPT: usize = 256 << 20;
/// One flood may take so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a flood, as it tells.
#[derive(Debug)]
struct Story(Value);

async fn play(run: &Run) -> Result<Report> {
    let Some(python) = std::env::var_os("CHAOS_PYTHON") else {
        return Ok(Report::skipped(
            "it needs a Python with floods/requirements.txt in CHAOS_PYTHON; scripts/chaos has one",
        ));
    };
    let quiet = is_quiet().await?;
    let stage = Stage::set(Plan { liar: false, ..run.plan()? }).await?;
    Steady::furnish(&stage).await?;
    furnish(&stage).await?;
    let honest = stage.honest(0).await?;
    let session = honest.session().to_owned();
    let (mut target, mut process, mut entrance) =
        (stage.server(0)?.address(), Process::of(stage.server(0)?)?, stage.entrance(0));
    let (link, hoarder) = (FaultProxy::start(entrance).await?, Hoarder::start().await?);
    if run.red {
        link.delay_answers(SLOW);
        (target, process, entrance) = (hoarder.address, Process::this(), link.address());
    }
    let before = process.forget_peak()?;
    block_in_place(|| flood(Path::new(&python), TAKEN, target, run.cycles, &session))?;
    let taken = process.peak()?.saturating_sub(before);
    let (mut report, mut all) = (Report::default(), Vec::new());
    for (name, enough) in FLOODS {
        let steady = Steady::begin(stage.caller_at(entrance).await?, PACE);
        let before = process.forget_peak()?;
        let story = block_in_place(|| flood(Path::new(&python), name, target, run.cycles, &session))?;
        let growth = process.peak()?.saturating_sub(before);
        let seen = steady.end().await?;
        let bound = if *enough == Enough::Overloads { taken + GROWTH } else { GROWTH };
        report.expect(growth < bound, || format!("{name}: memory grew by {} MiB", growth / MIB));
        report.expect(story.ends_with(*enough), || format!("{name}: {story:?}, and nobody minded"));
        let (count, p99) = (seen.times.len(), seen.p99());
        seen.judge(name, &mut report);
        report.expect(p99 <= CEILING, || format!("{name}: 99 % of honest calls took {} ms", p99.as_millis()));
        report.note(format!(
            "{name}: {}; +{} MiB; {count} honest calls, 99 % within {} ms",
            story.0,
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
        report.expect(p99 <= P99, || format!("99 % of all honest calls took {} ms", p99.as_millis()));
    }
    report.note(format!("{TAKEN}: +{} MiB", taken / MIB));
    report.note(format!("honest calls: half within {} µs, 99 % within {} µs", p50.as_micros(), p99.as_micros()));
    report.broken.extend(stage.panics());
    report.cycles = run.cycles;
    Ok(report)
}

impl Story {
    fn count(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_default()
    }

    fn ends_with(&self, enough: Enough) -> bool {
        match enough {
            Enough::Closes => self.count("closed") > 0,
            Enough::Calms => self.count("closed") > 0 && self.count(ENHANCE_YOUR_CALM) > 0,
            Enough::Refuses => self.count("closed") + self.count("refused") > 0,
            Enough::Overloads => self.count("overloaded") > 0,
            Enough::Bears => true,
        }
    }
}

/// An owner with many tokens.
async fn furnish(stage: &Stage) -> Result<()> {
    let owner = json!({"accounts_receivable": {"id": "flood", "number": "flood"}});
    let text = "x".repeat(TEXT);
    let token = |number| {
        json!({"access_token": {
            "id": format!("flood-{number}"), "number": format!("F{number}"), "life_cycle_state": "EFFECTIVE",
            "authentication_code": format!("flood-{number}"), "accounts_receivable": {"id": "flood"},
            "udf_string_1": text,
        }})
    };
    let records: Vec<_> = std::iter::once(owner).chain((0..LISTED).map(token)).collect();
    let client = stage.honest(0).await?;
    for batch in records.chunks(BATCH) {
        let made = client.import_directory(batch).await.map_err(|refusal| anyhow::anyhow!("{}", refusal.text()))?;
        ensure!(made.failed == 0, "no tokens to list: {made:?}");
    }
    Ok(())
}

fn flood(python: &Path, name: &str, target: SocketAddr, count: usize, session: &str) -> Result<Story> {
    use std::io::Write;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("floods/flood.py");
    let mut child = std::process::Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        // Leaves nothing behind beside the script.
        .args([python.as_os_str(), "-B".as_ref(), script.as_os_str(), name.as_ref()])
        .args([target.ip().to_string(), target.port().to_string(), count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("no Python")?;
    child.stdin.take().context("a pipe")?.write_all(session.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the flood {name} broke: {}", output.status);
    Ok(Story(serde_json::from_slice(&output.stdout).context("a flood tells what came of it")?))
}

/// Somebody who keeps all that comes, answers nothing and closes nothing.
struct Hoarder {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Hoarder {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut guests = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                guests.spawn(async move {
                    let mut kept = Vec::new();
                    while kept.len() < KEPT && matches!(stream.read_buf(&mut kept).await, Ok(1..)) {}
                    std::future::pending::<()>().await
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Hoarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
