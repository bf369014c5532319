//! Two thousand silent connections per second, concurrently with honest clients on a slow link.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::outsiders::{self, HONEST_ADDRESS, HonestCallers, connect};
use crate::environment::Kind;
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "silent_connects",
    number: None,
    title: "two thousand silent connections a second, beside clients that need half a second for their first bytes",
    sizes: &[(Kind::Sqlite, 5, 60), (Kind::Postgres, 5, 60)],
    mutation: "the oldest handshake gives way, of whichever address",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Silent connections per second, number of connections that are opened concurrently, and number of addresses from which they come.
const CONNECTIONS_PER_SECOND: u64 = 2_000;
const BATCH: u64 = 40;
const ADDRESSES: u64 = 3;
/// Time after which a silent connection is closed here, unless the service closes it first.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(2);
/// Time from the connection of a slow client to its first bytes.
const FIRST_BYTE_DELAY: Duration = Duration::from_millis(500);
/// Time between two slow clients.
const SLOW_CLIENT_INTERVAL: Duration = Duration::from_millis(50);
/// Minimum share of slow clients that are served, in percent.
const MIN_SERVED_PERCENT: usize = 99;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn execute(run: &Run) -> Result<Report> {
    let Some(mut environment) = outsiders::environment(run, "handshakes", Vec::new()).await? else {
        return Ok(Report::skipped("a release has no guard that can be off"));
    };
    let honest = HonestCallers::seed(&mut environment).await?;
    let grpc = environment.server(0)?.address();
    let time = Duration::from_secs(run.cycles as u64);
    let flood = tokio::spawn(flood(grpc));
    tokio::time::sleep(CONNECTION_LIFETIME).await;
    let slow = tokio::spawn(slow_clients(grpc, time));
    let mut report = Report { cycles: run.cycles, ..Report::default() };
    honest.call(time, &environment, run, &mut report).await?;
    let served = slow.await?;
    let good = served.iter().filter(|served| **served).count();
    report.expect(good * 100 >= served.len() * MIN_SERVED_PERCENT, || {
        format!("only {good} of {} clients with a slow link were served", served.len())
    });
    report.note(format!("{good} of {} clients with a slow link were served", served.len()));
    flood.abort();
    report.faults = CONNECTIONS_PER_SECOND * run.cycles as u64;
    Ok(report)
}

/// Opens silent connections.
async fn flood(to: SocketAddr) {
    let mut silent = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 * BATCH / CONNECTIONS_PER_SECOND));
    for batch in 0.. {
        ticks.tick().await;
        for number in 0..BATCH {
            let from = [127, 0, 5, ((batch * BATCH + number) % ADDRESSES) as u8 + 1];
            silent.spawn(async move {
                let Ok(mut stream) = connect(from, to).await else { return };
                let _ = tokio::time::timeout(CONNECTION_LIFETIME, stream.read(&mut [0])).await;
            });
        }
        while silent.try_join_next().is_some() {}
    }
}

/// Starts slow clients for this time. Returns for each whether the service answered.
async fn slow_clients(to: SocketAddr, time: Duration) -> Vec<bool> {
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    while began.elapsed() < time {
        clients.spawn(async move { slow_client(to).await.unwrap_or(false) });
        tokio::time::sleep(SLOW_CLIENT_INTERVAL).await;
    }
    clients.join_all().await
}

async fn slow_client(to: SocketAddr) -> Result<bool> {
    let mut stream = connect(HONEST_ADDRESS, to).await?;
    tokio::time::sleep(FIRST_BYTE_DELAY).await;
    stream.write_all(PREFACE).await?;
    // The server sends its settings after it has accepted the connection.
    let answer = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 9])).await?;
    Ok(answer? > 0)
}
