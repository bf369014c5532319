//! Calls whose messages never end, of methods with and without a session, over gRPC and HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::Request;
use http_body_util::StreamBody;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::ServiceExt;

use super::outsiders::{self, HonestCallers, channel, connect};
use crate::environment::Kind;
use crate::report::Report;
use crate::run::{Run, Scenario, ScenarioFuture};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "unfinished_bodies",
    number: None,
    title: "unauthenticated clients open calls over gRPC and HTTP whose messages never end",
    sizes: &[(Kind::Sqlite, 5, 60), (Kind::Postgres, 5, 60)],
    mutation: "a call gets its permit before its message is complete",
    execute: |run| -> ScenarioFuture<'_> { Box::pin(execute(run)) },
};

/// Number of hostile addresses, of connections of each, and of calls on each connection.
const ADDRESSES: u8 = 6;
const CONNECTIONS_PER_ADDRESS: usize = 2;
const CALLS_PER_CONNECTION: usize = 128;
/// Number of HTTP connections of each address.
const POSTS_PER_ADDRESS: usize = 100;
/// Time between the hostile calls and the honest ones.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Time between two bytes of a slow message.
const TRICKLE_INTERVAL: Duration = Duration::from_secs(1);

const METHODS: [&str; 3] = [
    "/accesstoken.v1.AuthenticationService/Login",
    "/accesstoken.v1.AuthenticationService/LoginWithApiKey",
    "/grpc.health.v1.Health/Watch",
];
/// Beginnings of messages: nothing, a length without a message, and a message that is shorter than its length.
const BEGINNINGS: [&[u8]; 3] = [b"", b"\0\0\0\0\x40", b"\0\0\0\x10\0\x0a\x03abc"];

async fn execute(run: &Run) -> Result<Report> {
    let Some(mut environment) = outsiders::environment(run, "admission", Vec::new()).await? else {
        return Ok(Report::skipped("a release has no guard that can be off"));
    };
    let honest = HonestCallers::seed(&mut environment).await?;
    let (grpc, http) = (environment.server(0)?.address(), environment.server(0)?.http_address());
    let mut hostile = JoinSet::new();
    for address in 1..=ADDRESSES {
        let from = [127, 0, 3, address];
        for _ in 0..CONNECTIONS_PER_ADDRESS {
            let channel = channel(from, grpc)?;
            for call in 0..CALLS_PER_CONNECTION {
                hostile.spawn(unfinished(channel.clone(), grpc, call));
            }
        }
        for post in 0..POSTS_PER_ADDRESS {
            hostile.spawn(unfinished_post(from, http, post));
        }
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let mut report = Report { cycles: run.cycles, faults: hostile.len() as u64, ..Report::default() };
    honest.call(Duration::from_secs(run.cycles as u64), &environment, run, &mut report).await?;
    drop(hostile);
    Ok(report)
}

/// Makes a call again and again whose message does not end. Every second one sends a byte per second.
async fn unfinished(channel: Channel, to: SocketAddr, number: usize) {
    loop {
        let beginning =
            stream::iter([Ok::<_, tonic::Status>(Bytes::from_static(BEGINNINGS[number % BEGINNINGS.len()]))]);
        let trickle = stream::unfold(number, |number| async move {
            if number % 2 == 0 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(TRICKLE_INTERVAL).await;
            Some((Ok(Bytes::from_static(b"\x0a")), number))
        });
        let frames = beginning.chain(trickle).map(|bytes| bytes.map(http_body::Frame::data));
        let request = Request::post(format!("http://{to}{}", METHODS[number % METHODS.len()]))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let Ok(request) = request.body(Body::new(StreamBody::new(Box::pin(frames)))) else { return };
        drop(channel.clone().oneshot(request).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Announces a body over HTTP and does not send it, or not completely.
async fn unfinished_post(from: [u8; 4], to: SocketAddr, number: usize) {
    let path = ["/v1/authentication/token", "/v1/access_tokens/show"][number % 2];
    let kind =
        ["content-length: 1000\r\n", "transfer-encoding: chunked\r\n", "content-length: 9\r\nexpect: 100-continue\r\n"];
    let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\n{}\r\n", kind[number % kind.len()]);
    loop {
        if let Ok(mut stream) = connect(from, to).await
            && stream.write_all(head.as_bytes()).await.is_ok()
        {
            let mut answer = [0; 512];
            while let Ok(1..) = stream.read(&mut answer).await {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
