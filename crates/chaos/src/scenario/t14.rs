//! Connections that say nothing, or not enough, or too slowly; and a shutdown in the middle of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Playing, Run, Scenario};
use crate::campaign::{Campaign, Crew};
use crate::report::Report;
use crate::stage::{Kind, Plan, Stage};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "t14",
    title: "silent, half and slow connections by gRPC and HTTP among honest calls, and SIGTERM in the middle (t22)",
    sizes: &[(Kind::Sqlite, 500, 10_000)],
    red: "the hostile connections go to somebody who never closes them",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Most connections of one kind at a time. Each takes a file, here and in the service; some are left for the rest.
const WAVE: usize = 600;
const SPARE_FILES: usize = 300;
/// Within which time a hostile connection is closed.
const CLOSED: Duration = Duration::from_secs(10);
/// Within which time the process ends.
const STOPPED: Duration = Duration::from_secs(10);
/// So many of a hundred honest calls succeed.
const HONEST: u64 = 99;
/// Between two bytes of somebody slow.
const SLOW: Duration = Duration::from_millis(400);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const REQUEST: &[u8] =
    b"POST /v1/access_tokens/show HTTP/1.1\r\nhost: somewhere-with-a-long-name\r\nx-slow: ........\r\n";

/// How somebody is hostile.
#[derive(Debug, Clone, Copy)]
enum Hostility {
    Silent,
    Half,
    Slow,
}

const HOSTILITIES: [Hostility; 3] = [Hostility::Silent, Hostility::Half, Hostility::Slow];

async fn play(run: &Run) -> Result<Report> {
    let plan = run.plan()?;
    let mut stage = Stage::set(Plan { liar: false, ..plan }).await?;
    let mut campaign = Campaign::new(&stage, run.seed)?;
    let server = stage.server(0)?;
    let mut doors = [(server.address(), PREFACE), (server.http_address(), REQUEST)];
    let sponge = Sponge::start().await?;
    if run.red {
        doors = doors.map(|(_, words)| (sponge.address, words));
    }
    let room = open_files().saturating_sub(SPARE_FILES) / (HOSTILITIES.len() * doors.len());
    let (mut left, mut slowest) = (run.cycles, Duration::ZERO);
    while left > 0 {
        let wave = left.min(WAVE).min(room).max(1);
        left -= wave;
        let load = campaign.load(&stage, Crew { writers: 4, ..Crew::USUAL }).await?;
        let newcomers = Newcomers::come(&stage).await?;
        for (hostility, took) in attack(&doors, wave).await {
            let kept = took.is_some_and(|took| took <= CLOSED);
            campaign.report.expect(kept, || format!("a connection was closed after {took:?}: {hostility}"));
            slowest = slowest.max(took.unwrap_or(CLOSED));
        }
        campaign.report.faults += (wave * HOSTILITIES.len() * doors.len()) as u64;
        newcomers.leave(&mut campaign.report).await?;
        load.stop().await?;
        campaign.check(&stage).await?;
        campaign.report.cycles += wave;
    }
    campaign.report.note(format!("hostile connections were closed after {} ms at most", slowest.as_millis()));
    honest(&mut campaign);

    // Nobody who is connected keeps the process from ending, and what was acknowledged until then is there.
    let load = campaign.load(&stage, Crew::USUAL).await?;
    let around = tokio::spawn(async move { attack(&doors, room.min(100)).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (code, took) = stage.terminate(0)?;
    campaign.report.expect(code == Some(0) && took <= STOPPED, || format!("SIGTERM: {code:?} after {took:?}"));
    campaign.report.note(format!("SIGTERM: exit code {code:?} after {} ms", took.as_millis()));
    load.stop().await?;
    around.abort();
    stage.start(0).await?;
    campaign.check(&stage).await?;
    campaign.finish(&stage).await
}

fn honest(campaign: &mut Campaign) {
    let (all, good) = campaign.calls();
    campaign.report.expect(good * 100 >= all * HONEST, || format!("only {good} of {all} honest calls succeeded"));
    campaign.report.note(format!("{good} of {all} calls of writers succeeded"));
}

/// How many files a process may have open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)).and_then(|soft| soft.parse().ok()).unwrap_or(1_024)
}

/// So many connections of each kind to each door. Answers after which time each of them was closed.
async fn attack(doors: &[(SocketAddr, &'static [u8])], wave: usize) -> Vec<(String, Option<Duration>)> {
    let mut connections = JoinSet::new();
    for _ in 0..wave {
        for (address, words) in doors {
            for hostility in HOSTILITIES {
                connections.spawn(connection(*address, words, hostility));
            }
        }
        // A queue of the system that overflows would be somebody else's fault.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    connections.join_all().await
}

async fn connection(address: SocketAddr, words: &'static [u8], hostility: Hostility) -> (String, Option<Duration>) {
    let name = format!("{hostility:?} at {}", if words == PREFACE { "gRPC" } else { "HTTP" });
    let Ok(mut stream) = TcpStream::connect(address).await else { return (name, None) };
    let since = Instant::now();
    let (mut reads, mut writes) = stream.split();
    let talk = async {
        let half = &words[..words.len() / 2];
        match hostility {
            Hostility::Silent => {}
            Hostility::Half => drop(writes.write_all(half).await),
            Hostility::Slow => {
                for byte in words.iter().cycle() {
                    tokio::time::sleep(SLOW).await;
                    if writes.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                }
            }
        }
        std::future::pending::<()>().await
    };
    let closed = async {
        let mut buffer = [0; 256];
        while let Ok(1..) = reads.read(&mut buffer).await {}
    };
    tokio::select! {
        () = closed => (name, Some(since.elapsed())),
        () = talk => (name, None),
        () = tokio::time::sleep(CLOSED + Duration::from_secs(2)) => (name, None),
    }
}

/// Honest callers who come, call once and go.
struct Newcomers {
    task: tokio::task::JoinHandle<Result<()>>,
    counts: Arc<[AtomicU64; 2]>,
}

impl Newcomers {
    async fn come(stage: &Stage) -> Result<Self> {
        let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let (count, address) = (Arc::clone(&counts), stage.entrance(0));
        let session = stage.honest(0).await?.session().to_owned();
        let task = tokio::spawn(async move {
            loop {
                let client = access_tokens_testkit::app::Client::connect(address);
                let client = client.with_session(&session).with_deadline(Duration::from_secs(2));
                let good = client.try_call("ListClassifications", json!({})).await.is_ok();
                count[usize::from(good)].fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Self { task, counts })
    }

    async fn leave(self, report: &mut Report) -> Result<()> {
        self.task.abort();
        let [bad, good] = [0, 1].map(|place| self.counts[place].load(Ordering::Relaxed));
        report.expect(good * 100 >= (good + bad) * HONEST, || format!("{bad} newcomers were refused, {good} were not"));
        report.note(format!("{good} of {} newcomers were served", good + bad));
        Ok(())
    }
}

/// Somebody who never closes a connection.
struct Sponge {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Sponge {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.push(stream);
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Sponge {
    fn drop(&mut self) {
        self.task.abort();
    }
}
