//! Two thousand connections a second that say nothing, beside honest clients with a slow link.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::strangers::{self, HONEST, Honest, connect};
use crate::report::Report;
use crate::run::{Playing, Run, Scenario};
use crate::stage::Kind;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "silent_connects",
    title: "two thousand silent connections a second, beside clients that need half a second for their first bytes",
    sizes: &[(Kind::Sqlite, 5, 60), (Kind::Postgres, 5, 60)],
    red: "the oldest handshake gives way, of whichever address",
    play: |run| -> Playing<'_> { Box::pin(play(run)) },
};

/// Number of addresses from which silent connections come, in batches each second.
const RATE: u64 = 2_000;
const BATCH: u64 = 40;
const ADDRESSES: u64 = 3;
/// How long one is kept here, unless the service closes it before.
const KEPT: Duration = Duration::from_secs(2);
/// Time from the connection of a slow client to its first bytes.
const LATENCY: Duration = Duration::from_millis(500);
/// Between two slow clients.
const PACE: Duration = Duration::from_millis(50);
/// Least share of slow clients that are served, in percent.
const SERVED: usize = 99;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn play(run: &Run) -> Result<Report> {
    let Some(mut stage) = strangers::stage(run, "handshakes", Vec::new()).await? else {
        return Ok(Report::skipped("a release has no guard that can be off"));
    };
    let honest = Honest::furnish(&mut stage).await?;
    let grpc = stage.server(0)?.address();
    let time = Duration::from_secs(run.cycles as u64);
    let flood = tokio::spawn(flood(grpc));
    tokio::time::sleep(KEPT).await;
    let slow = tokio::spawn(slow_clients(grpc, time));
    let mut report = Report { cycles: run.cycles, ..Report::default() };
    honest.call(time, &stage, run, &mut report).await?;
    let served = slow.await?;
    let good = served.iter().filter(|served| **served).count();
    report.expect(good * 100 >= served.len() * SERVED, || {
        format!("only {good} of {} clients with a slow link were served", served.len())
    });
    report.note(format!("{good} of {} clients with a slow link were served", served.len()));
    flood.abort();
    report.faults = RATE * run.cycles as u64;
    Ok(report)
}

/// Connects and says nothing.
async fn flood(to: SocketAddr) {
    let mut silent = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 * BATCH / RATE));
    for batch in 0.. {
        ticks.tick().await;
        for number in 0..BATCH {
            let from = [127, 0, 5, ((batch * BATCH + number) % ADDRESSES) as u8 + 1];
            silent.spawn(async move {
                let Ok(mut stream) = connect(from, to).await else { return };
                let _ = tokio::time::timeout(KEPT, stream.read(&mut [0])).await;
            });
        }
        while silent.try_join_next().is_some() {}
    }
}

/// Clients whose first bytes take their time. Each says whether the service answered it.
async fn slow_clients(to: SocketAddr, time: Duration) -> Vec<bool> {
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    while began.elapsed() < time {
        clients.spawn(async move { slow_client(to).await.unwrap_or(false) });
        tokio::time::sleep(PACE).await;
    }
    clients.join_all().await
}

async fn slow_client(to: SocketAddr) -> Result<bool> {
    let mut stream = connect(HONEST, to).await?;
    tokio::time::sleep(LATENCY).await;
    stream.write_all(PREFACE).await?;
    // The server's own settings: it has taken the connection.
    let answer = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 9])).await?;
    Ok(answer? > 0)
}
