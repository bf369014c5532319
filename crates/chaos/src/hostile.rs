//! Callers who mean no good: connections that say nothing, half of something, too little or too slowly, and calls that
//! never come to their end. Beside them honest newcomers, and somebody who never closes a connection.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use anyhow::{Context, Result};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tonic::body::Body;
use tonic::transport::Channel;
use tower::ServiceExt;

use crate::environment::Environment;
use crate::report::Report;

/// Between two bytes of somebody slow.
const BYTE_INTERVAL: Duration = Duration::from_millis(400);
/// So many of a hundred honest calls succeed.
const MIN_SUCCESS_PERCENT: u64 = 99;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// After which an HTTP/2 server waits for streams.
const EMPTY_SETTINGS_FRAME: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const REQUEST_HEAD: &[u8] =
    b"POST /v1/access_tokens/show HTTP/1.1\r\nhost: somewhere-with-a-long-name\r\nx-slow: ........\r\n";
const UNFINISHED_BODY: &[u8] = b"content-length: 1000\r\n\r\n{";
const METHOD: &str = "/accesstoken.v1.AccessTokenService/ShowAccessToken";

/// How somebody is hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hostility {
    /// Says nothing.
    Silent,
    /// Says half of the first words.
    Half,
    /// Says the first words, a byte at a time, again and again.
    Slow,
    /// Says all of the first words and then nothing. By HTTP that is the head of a request whose body never ends.
    Greeted,
}

impl Hostility {
    /// Those whom the service gets rid of within [`CLOSE_TIMEOUT`].
    pub(crate) const CLOSED: &[Self] = &[Self::Silent, Self::Half, Self::Slow];
    /// All.
    pub(crate) const ALL: &[Self] = &[Self::Silent, Self::Half, Self::Slow, Self::Greeted];
}

/// Within which time a connection that has not said its first words is closed.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where somebody comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// By gRPC; otherwise by HTTP.
    pub(crate) grpc: bool,
}

impl Target {
    /// Both doors of a process.
    pub(crate) fn of(environment: &Environment, replica: usize) -> Result<[Self; 2]> {
        let server = environment.server(replica)?;
        Ok([Self { address: server.address(), grpc: true }, Self { address: server.http_address(), grpc: false }])
    }

    /// The same door of somebody else.
    pub(crate) fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    fn first_bytes(self) -> &'static [u8] {
        if self.grpc { PREFACE } else { REQUEST_HEAD }
    }

    fn next_bytes(self) -> &'static [u8] {
        if self.grpc { EMPTY_SETTINGS_FRAME } else { UNFINISHED_BODY }
    }
}

/// Somebody hostile, connected. Dropped, the connection is closed.
pub(crate) struct HostileConnection {
    stream: TcpStream,
    target: Target,
    hostility: Hostility,
    since: Instant,
}

impl HostileConnection {
    /// Connects.
    pub(crate) async fn connect(target: Target, hostility: Hostility) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        Ok(Self { stream, target, hostility, since: Instant::now() })
    }

    /// For findings.
    pub(crate) fn name(&self) -> String {
        format!("{:?} at {}", self.hostility, if self.target.grpc { "gRPC" } else { "HTTP" })
    }

    /// Behaves like that until the service closes the connection, for so long at most. Answers after which time since
    /// it was there it was closed.
    pub(crate) async fn misbehave(&mut self, patience: Duration) -> Option<Duration> {
        let Self { stream, target, hostility, since } = self;
        let (mut reads, mut writes) = stream.split();
        let talk = async {
            let ledger_entry = target.first_bytes();
            let _ = match hostility {
                Hostility::Silent => Ok(()),
                Hostility::Half => writes.write_all(&ledger_entry[..ledger_entry.len() / 2]).await,
                Hostility::Greeted => writes.write_all(&[ledger_entry, target.next_bytes()].concat()).await,
                Hostility::Slow => loop {
                    for byte in ledger_entry {
                        tokio::time::sleep(BYTE_INTERVAL).await;
                        // Whether it was closed is seen by reading.
                        let _ = writes.write_all(&[*byte]).await;
                    }
                },
            };
            pending::<()>().await
        };
        let closed = async {
            let mut buffer = [0; 256];
            while let Ok(1..) = reads.read(&mut buffer).await {}
        };
        tokio::select! {
            () = closed => Some(since.elapsed()),
            () = talk => None,
            () = tokio::time::sleep(patience) => None,
        }
    }
}

/// So many connections of each kind to each door. Answers after which time each of them was closed; `None`: it was not,
/// or there was no connection at all.
pub(crate) async fn attack(targets: &[Target], kinds: &[Hostility], each: usize) -> Vec<(String, Option<Duration>)> {
    let mut connections = JoinSet::new();
    for _ in 0..each {
        for (target, hostility) in targets.iter().flat_map(|target| kinds.iter().map(|kind| (*target, *kind))) {
            connections.spawn(async move {
                match HostileConnection::connect(target, hostility).await {
                    Ok(mut connection) => {
                        (connection.name(), connection.misbehave(CLOSE_TIMEOUT + Duration::from_secs(2)).await)
                    }
                    Err(error) => (format!("{hostility:?}: {error}"), None),
                }
            });
        }
        // A queue of the system that overflows would be somebody else's fault.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    connections.join_all().await
}

/// Calls whose requests never end, each on a connection of its own and at work until this is dropped.
pub(crate) struct UnfinishedCalls {
    _calls: JoinSet<()>,
}

impl UnfinishedCalls {
    /// So many of them, of somebody who may call. The calls are made anew when they are refused.
    pub(crate) fn calls(address: SocketAddr, client: &Client, count: usize) -> Result<Self> {
        let mut calls = JoinSet::new();
        for _ in 0..count {
            let channel = Channel::from_shared(format!("http://{address}"))?.connect_lazy();
            let bearer = format!("Bearer {}", client.session());
            calls.spawn(async move {
                loop {
                    // A message of a hundred bytes is announced; one comes.
                    let piece = Full::new(Bytes::from_static(&[0, 0, 0, 0, 100, 10]));
                    let body = piece.with_trailers(pending());
                    let request = Request::post(format!("http://{address}{METHOD}"))
                        .header("content-type", "application/grpc")
                        .header("te", "trailers")
                        .header("authorization", &bearer);
                    let Ok(request) = request.body(Body::new(body)) else { return };
                    let answer = channel.clone().oneshot(request).await;
                    // Refused, or answered before it was at its end.
                    drop(answer);
                    tokio::time::sleep(BYTE_INTERVAL).await;
                }
            });
        }
        Ok(Self { _calls: calls })
    }
}

/// Honest callers who come, call once and go.
pub(crate) struct NewClients {
    task: JoinHandle<()>,
    counts: Arc<[AtomicU64; 2]>,
}

impl NewClients {
    /// They come until they leave.
    pub(crate) async fn start(environment: &Environment) -> Result<Self> {
        let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let (count, address) = (Arc::clone(&counts), environment.entry_address(0));
        let session = environment.direct_client(0).await?.session().to_owned();
        let task = tokio::spawn(async move {
            loop {
                let client = Client::connect(address).with_session(&session).with_deadline(Duration::from_secs(2));
                let good = client.try_call("ListClassifications", json!({})).await.is_ok();
                count[usize::from(good)].fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Self { task, counts })
    }

    /// Notes how many of them were served.
    pub(crate) fn finish(self, report: &mut Report) {
        self.task.abort();
        let [bad, good] = [0, 1].map(|place| self.counts[place].load(Ordering::Relaxed));
        report.expect(good * 100 >= (good + bad) * MIN_SUCCESS_PERCENT, || {
            format!("{bad} newcomers were refused, {good} were not")
        });
        report.note(format!("{good} of {} newcomers were served", good + bad));
    }
}

/// Somebody who never closes a connection: in red mode, in place of the service.
pub(crate) struct UnresponsiveServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl UnresponsiveServer {
    /// Listens.
    pub(crate) async fn start() -> Result<Self> {
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

    /// Where.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for UnresponsiveServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How many files a process may have open. Each connection takes one, here and in the service.
pub(crate) fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)).and_then(|soft| soft.parse().ok()).unwrap_or(1_024)
}
