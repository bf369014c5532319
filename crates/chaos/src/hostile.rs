//! Hostile clients: connections that send nothing, half of the first bytes, too little or too slowly, and calls that never end. The module
//! also has new honest clients, and a server that never closes a connection.

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

/// Time between two bytes of a slow connection.
const BYTE_INTERVAL: Duration = Duration::from_millis(400);
/// Minimum share of honest calls that succeed, in percent.
const MIN_SUCCESS_PERCENT: u64 = 99;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An HTTP/2 server waits for streams after this frame.
const EMPTY_SETTINGS_FRAME: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const REQUEST_HEAD: &[u8] =
    b"POST /v1/access_tokens/show HTTP/1.1\r\nhost: somewhere-with-a-long-name\r\nx-slow: ........\r\n";
const UNFINISHED_BODY: &[u8] = b"content-length: 1000\r\n\r\n{";
const METHOD: &str = "/accesstoken.v1.AccessTokenService/ShowAccessToken";

/// Behaviour of a hostile connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hostility {
    /// Sends nothing.
    Silent,
    /// Sends half of the first bytes.
    Half,
    /// Sends the first bytes one at a time, again and again.
    Slow,
    /// Sends the first bytes and then nothing. Over HTTP these are the head of a request whose body never ends.
    FirstBytesOnly,
}

impl Hostility {
    /// Behaviours for which the service closes the connection within [`CLOSE_TIMEOUT`].
    pub(crate) const CLOSED: &[Self] = &[Self::Silent, Self::Half, Self::Slow];
    /// All behaviours.
    pub(crate) const ALL: &[Self] = &[Self::Silent, Self::Half, Self::Slow, Self::FirstBytesOnly];
}

/// Maximum time until the service closes a connection without complete first bytes.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener of the service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Address of the listener.
    pub(crate) address: SocketAddr,
    /// Whether it serves gRPC; otherwise it serves HTTP.
    pub(crate) grpc: bool,
}

impl Target {
    /// Returns both listeners of a process.
    pub(crate) fn of(environment: &Environment, replica: usize) -> Result<[Self; 2]> {
        let server = environment.server(replica)?;
        Ok([Self { address: server.address(), grpc: true }, Self { address: server.http_address(), grpc: false }])
    }

    /// Returns a listener of the same protocol at another address.
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

/// A hostile connection. It is closed when it is dropped.
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

    /// Returns a name for findings.
    pub(crate) fn name(&self) -> String {
        format!("{:?} at {}", self.hostility, if self.target.grpc { "gRPC" } else { "HTTP" })
    }

    /// Behaves in this way until the service closes the connection, for at most `limit`. Returns the time from the connection until
    /// the service closed it.
    pub(crate) async fn misbehave(&mut self, limit: Duration) -> Option<Duration> {
        let Self { stream, target, hostility, since } = self;
        let (mut reads, mut writes) = stream.split();
        let talk = async {
            let ledger_entry = target.first_bytes();
            let _ = match hostility {
                Hostility::Silent => Ok(()),
                Hostility::Half => writes.write_all(&ledger_entry[..ledger_entry.len() / 2]).await,
                Hostility::FirstBytesOnly => writes.write_all(&[ledger_entry, target.next_bytes()].concat()).await,
                Hostility::Slow => loop {
                    for byte in ledger_entry {
                        tokio::time::sleep(BYTE_INTERVAL).await;
                        // Reading detects that the connection was closed.
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
            () = tokio::time::sleep(limit) => None,
        }
    }
}

/// Opens `each` connections of each kind to each target. Returns for each the time until it was closed; `None`: it was not closed,
/// or could not be opened.
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
        // A pause, so that the accept queue of the system does not overflow.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    connections.join_all().await
}

/// Calls whose requests never end, each on its own connection. They end when this is dropped.
pub(crate) struct UnfinishedCalls {
    _calls: JoinSet<()>,
}

impl UnfinishedCalls {
    /// Starts `count` calls of an authenticated client. A refused call is repeated.
    pub(crate) fn calls(address: SocketAddr, client: &Client, count: usize) -> Result<Self> {
        let mut calls = JoinSet::new();
        for _ in 0..count {
            let channel = Channel::from_shared(format!("http://{address}"))?.connect_lazy();
            let bearer = format!("Bearer {}", client.session());
            calls.spawn(async move {
                loop {
                    // The message announces a hundred bytes and contains one.
                    let piece = Full::new(Bytes::from_static(&[0, 0, 0, 0, 100, 10]));
                    let body = piece.with_trailers(pending());
                    let request = Request::post(format!("http://{address}{METHOD}"))
                        .header("content-type", "application/grpc")
                        .header("te", "trailers")
                        .header("authorization", &bearer);
                    let Ok(request) = request.body(Body::new(body)) else { return };
                    let answer = channel.clone().oneshot(request).await;
                    // The call was refused, or answered before its request ended.
                    drop(answer);
                    tokio::time::sleep(BYTE_INTERVAL).await;
                }
            });
        }
        Ok(Self { _calls: calls })
    }
}

/// Honest clients that connect, call once and leave.
pub(crate) struct NewClients {
    task: JoinHandle<()>,
    counts: Arc<[AtomicU64; 2]>,
}

impl NewClients {
    /// Starts clients, one after the other, until [`finish`](Self::finish).
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

    /// Reports the number of clients that were served.
    pub(crate) fn finish(self, report: &mut Report) {
        self.task.abort();
        let [bad, good] = [0, 1].map(|place| self.counts[place].load(Ordering::Relaxed));
        report.expect(good * 100 >= (good + bad) * MIN_SUCCESS_PERCENT, || {
            format!("{bad} newcomers were refused, {good} were not")
        });
        report.note(format!("{good} of {} newcomers were served", good + bad));
    }
}

/// A server that never closes a connection. The mutation check uses it in place of the service.
pub(crate) struct UnresponsiveServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl UnresponsiveServer {
    /// Starts to listen.
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

    /// Returns its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for UnresponsiveServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the maximum number of open files of this process. Each connection takes one here and one in the service.
pub(crate) fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)).and_then(|soft| soft.parse().ok()).unwrap_or(1_024)
}
