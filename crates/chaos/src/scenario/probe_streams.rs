//! Connections that watch health and do nothing else, more than the service may have; and idle ones to the port for operators.

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
    title: "strangers watch health over more connections than there may be, and keep connections of operators",
    sizes: &[(Kind::Sqlite, 5, 60), (Kind::Postgres, 5, 60)],
    mutation: "connections of strangers do not give way to others",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Connections that the service may have. As few as that, because each takes files here and in the service.
const MAX_CONNECTIONS: usize = 300;
/// Number of addresses from which strangers connect.
const WATCH_CONNECTIONS: usize = 360;
const ADDRESSES: usize = 12;
/// Idle connections to the port for operators.
const IDLE_CONNECTIONS: usize = 90;
/// Between the strangers and the honest callers.
const SETTLE_TIME: Duration = Duration::from_secs(2);

async fn execute(run: &Run) -> Result<Report> {
    let variables = vec![
        ("ACCESS_TOKENS__GRPC__CONNECTIONS", MAX_CONNECTIONS.to_string()),
        ("ACCESS_TOKENS__HTTP__CONNECTIONS", MAX_CONNECTIONS.to_string()),
    ];
    let Some(mut environment) = outsiders::environment(run, "connections", variables).await? else {
        return Ok(Report::skipped("a release has no guard that can be off"));
    };
    let honest = HonestCallers::seed(&mut environment).await?;
    let server = environment.server(0)?;
    let (grpc, http, ops) = (server.address(), server.http_address(), server.ops_address());
    let mut strangers = JoinSet::new();
    for number in 0..WATCH_CONNECTIONS {
        let from = [127, 0, 4, (number % ADDRESSES) as u8 + 1];
        strangers.spawn(watch(from, grpc));
        strangers.spawn(keep(from, http, "/openapi.json"));
    }
    for number in 0..IDLE_CONNECTIONS {
        strangers.spawn(keep([127, 0, 4, (number % ADDRESSES) as u8 + 1], ops, "/livez"));
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let mut report = Report { cycles: run.cycles, faults: strangers.len() as u64, ..Report::default() };
    honest.call(Duration::from_secs(run.cycles as u64), &environment, run, &mut report).await?;
    drop(strangers);
    Ok(report)
}

/// Watches health, again whenever that ends.
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

/// Asks once over HTTP and keeps the connection, again whenever that ends.
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
