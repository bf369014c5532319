//! More connections that only watch health than the service allows, and idle connections to the port for operators.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::outsiders::{self, HonestCallers, channel, connect};
use crate::environment::Kind;
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "probe_streams",
    number: None,
    title: "unauthenticated clients watch health over more connections than there may be, and keep connections of operators",
    sizes: &[(Kind::Sqlite, 5, 60), (Kind::Postgres, 5, 60)],
    mutation: "no connection is closed for a new one",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Maximum number of connections of the service. It is low, because each takes a file here and one in the service.
const MAX_CONNECTIONS: usize = 300;
/// Number of connections that watch health, and of the addresses from which they come.
const WATCH_CONNECTIONS: usize = 360;
const ADDRESSES: usize = 12;
/// Number of idle connections to the port for operators.
const IDLE_CONNECTIONS: usize = 90;
/// Time between the hostile connections and the honest calls.
const SETTLE_TIME: Duration = Duration::from_secs(2);

async fn execute(run: &Run) -> Result<Report> {
    let variables = vec![
        ("ACCESS_TOKENS__GRPC__MAX_CONNECTIONS", MAX_CONNECTIONS.to_string()),
        ("ACCESS_TOKENS__HTTP__MAX_CONNECTIONS", MAX_CONNECTIONS.to_string()),
    ];
    let Some(mut environment) = outsiders::environment(run, "connections", variables).await? else {
        return Ok(Report::skipped("a release has no guard that can be off"));
    };
    let honest = HonestCallers::seed(&mut environment).await?;
    let server = environment.server(0)?;
    let (grpc, http, ops) = (server.address(), server.http_address(), server.ops_address());
    let mut hostile = JoinSet::new();
    for number in 0..WATCH_CONNECTIONS {
        let from = [127, 0, 4, (number % ADDRESSES) as u8 + 1];
        hostile.spawn(watch(from, grpc));
        hostile.spawn(keep(from, http, "/openapi.json"));
    }
    for number in 0..IDLE_CONNECTIONS {
        hostile.spawn(keep([127, 0, 4, (number % ADDRESSES) as u8 + 1], ops, "/livez"));
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let mut report = Report { cycles: run.cycles, faults: hostile.len() as u64, ..Report::default() };
    honest.call(Duration::from_secs(run.cycles as u64), &environment, run, &mut report).await?;
    drop(hostile);
    Ok(report)
}

/// Watches health, again after each end of the stream.
async fn watch(from: [u8; 4], to: SocketAddr) {
    loop {
        let Ok(channel) = channel(from, to) else { return };
        if let Ok(watched) = HealthClient::new(channel).watch(HealthCheckRequest::default()).await {
            let mut watched = watched.into_inner();
            while let Ok(Some(_)) = watched.message().await {}
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Sends one request over HTTP and keeps the connection, again after each end of it.
async fn keep(from: [u8; 4], to: SocketAddr, path: &str) {
    loop {
        if let Ok(mut stream) = connect(from, to).await
            && stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.is_ok()
        {
            let mut answer = [0; 4096];
            while let Ok(1..) = stream.read(&mut answer).await {}
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
