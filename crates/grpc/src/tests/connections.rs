//! Connections with and without calls in progress.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use crate::layer::InFlightLayer;
use futures::{Stream as Connections, StreamExt, future};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::{HealthReporter, health_reporter};
use tonic_types::StatusExt;
use tower::ServiceExt;
use tower::layer::layer_fn;

use access_tokens_gateway::Network;
use access_tokens_net::accept::ConnectionLimits;
use access_tokens_net::connections::{Connection, GOAWAY, Http2Limits, connections};
use access_tokens_net::handshake::{HANDSHAKE_TIMEOUT, PREFACE};
use access_tokens_net::port::Port;
use access_tokens_net::signals::StopSignal;

/// Time after which the tests close idle connections: long enough for a slow machine, short enough to wait for.
const IDLE: Duration = Duration::from_millis(400);
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn listen(idle: Duration) -> (impl Connections<Item = io::Result<Connection>> + Send + Unpin, SocketAddr) {
    listen_aged(idle, IDLE * 1_000).await
}

async fn listen_aged(
    idle: Duration,
    age: Duration,
) -> (impl Connections<Item = io::Result<Connection>> + Send + Unpin, SocketAddr) {
    listen_to(idle, age, &[]).await
}

async fn listen_to(
    idle: Duration,
    age: Duration,
    trusted_proxies: &[Network],
) -> (impl Connections<Item = io::Result<Connection>> + Send + Unpin, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    static NEVER: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));
    let limits = Http2Limits {
        connections: ConnectionLimits {
            max_connections: 10,
            anonymous_per_address: 10,
            trusted_proxies: trusted_proxies.into(),
        },
        age,
        idle,
        stop: StopSignal::by(NEVER.subscribe()),
    };
    (Box::pin(connections(Port::plain(listener), limits)), address)
}

async fn connected(address: SocketAddr, words: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(words).await.expect("sent");
    client
}

#[tokio::test]
async fn after_the_preface_a_client_may_think() {
    let (mut incoming, address) = listen(HANDSHAKE_TIMEOUT * 20).await;
    let mut client = connected(address, PREFACE).await;
    let mut connection = incoming.next().await.expect("a connection").expect("no error");
    connection.read_exact(&mut [0; PREFACE.len()]).await.expect("the preface");
    tokio::time::pause();
    tokio::time::advance(HANDSHAKE_TIMEOUT * 5).await;
    tokio::time::resume();
    client.write_all(b"x").await.expect("sent");
    assert_eq!(connection.read_u8().await.expect("one byte"), b'x');
}

#[tokio::test]
async fn who_does_not_call_is_asked_to_go_and_then_cut() {
    let limit = HANDSHAKE_TIMEOUT * 5;
    let (mut incoming, address) = listen(limit).await;
    let _client = connected(address, PREFACE).await;
    let mut connection = incoming.next().await.expect("a connection").expect("no error");
    connection.read_exact(&mut [0; PREFACE.len()]).await.expect("the preface");
    tokio::time::pause();
    let started = Instant::now();
    let mut farewell = [0; GOAWAY.len()];
    connection.read_exact(&mut farewell).await.expect("a frame");
    assert_eq!(farewell, GOAWAY);
    assert!(started.elapsed() >= limit - Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(connection.read(&mut farewell).await.expect("the end"), 0);
    assert!(started.elapsed() <= limit + HANDSHAKE_TIMEOUT + Duration::from_secs(1), "{:?}", started.elapsed());
}

/// A server of health whose checks take time.
struct Running {
    address: SocketAddr,
    reporter: HealthReporter,
    connections: Arc<AtomicUsize>,
}

async fn start(check: Duration) -> Running {
    start_aged(check, IDLE * 1_000).await
}

async fn start_aged(check: Duration, age: Duration) -> Running {
    let (incoming, address) = listen_aged(IDLE, age).await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let incoming = incoming.inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (reporter, health) = health_reporter();
    let slowly = layer_fn(move |inner: Routes| {
        ServiceExt::<http::Request<Body>>::then(inner, move |answer| async move {
            sleep(check).await;
            answer
        })
    });
    let server = Server::builder().layer(InFlightLayer).layer(slowly).add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    Running { address, reporter, connections }
}

impl Running {
    fn client(&self) -> HealthClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL");
        HealthClient::new(endpoint.connect_lazy())
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn check(client: &mut HealthClient<Channel>) {
    client.check(HealthCheckRequest::default()).await.expect("answered");
}

#[tokio::test]
async fn a_silent_client_hears_goodbye_and_one_within_a_frame_hears_nothing() {
    let running = start(Duration::ZERO).await;
    for (words, goodbye) in [(SETTINGS, true), (&[], true), (&SETTINGS[..4], false)] {
        let started = Instant::now();
        let mut client = connected(running.address, &[&PREFACE[..], words].concat()).await;
        let mut heard = Vec::new();
        timeout(IDLE * 5, client.read_to_end(&mut heard)).await.expect("in time").expect("no reset");
        assert!(started.elapsed() >= IDLE, "{:?}", started.elapsed());
        // GOAWAY without an error, which says that no call was processed.
        let last = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(heard.ends_with(&last), goodbye, "{heard:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_its_client_comes_again() {
    let running = start(Duration::ZERO).await;
    let mut client = running.client();
    for _ in 0..6 {
        check(&mut client).await;
        sleep(IDLE / 3).await;
    }
    assert_eq!(running.connections(), 1, "it was used all the time");
    sleep(IDLE * 2).await;
    check(&mut client).await;
    assert_eq!(running.connections(), 2);
}

#[tokio::test]
async fn a_connection_with_a_long_call_is_not_idle() {
    let running = start(IDLE * 4).await;
    let mut client = running.client();
    check(&mut client).await;
    check(&mut client).await;
    assert_eq!(running.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_watches_is_not_idle() {
    let running = start(Duration::ZERO).await;
    let mut client = running.client();
    let mut watched = client.watch(HealthCheckRequest::default()).await.expect("watched").into_inner();
    watched.message().await.expect("an answer").expect("a status");
    sleep(IDLE * 4).await;
    running.reporter.set_service_status("", ServingStatus::NotServing).await;
    let news = timeout(IDLE, watched.message()).await.expect("soon").expect("still open").expect("a status");
    assert_eq!(news.status, tonic_health::pb::health_check_response::ServingStatus::NotServing as i32);
    assert_eq!(running.connections(), 1);
    drop(watched);
    sleep(IDLE * 2).await;
    check(&mut client).await;
    assert_eq!(running.connections(), 2, "it ends when nobody watches any more");
}

#[tokio::test]
async fn a_watch_ends_with_the_age_of_its_connection_and_counts_as_idle_before() {
    let running = start_aged(Duration::ZERO, IDLE).await;
    let mut client = running.client();
    let mut watched = client.watch(HealthCheckRequest::default()).await.expect("watched").into_inner();
    watched.message().await.expect("an answer").expect("a status");
    let started = Instant::now();
    let ended = timeout(IDLE * 5, watched.message()).await.expect("in time").expect_err("it ends");
    assert_eq!(ended.code(), tonic::Code::Unavailable, "{ended:?}");
    let info = ended.get_details_error_info().expect("details");
    assert_eq!(info.reason, "CONNECTION_CLOSING");
    assert!(started.elapsed() <= IDLE * 3, "{:?}", started.elapsed());

    let running = start(Duration::ZERO).await;
    let mut client = running.client();
    let mut watched = client.watch(HealthCheckRequest::default()).await.expect("watched").into_inner();
    watched.message().await.expect("an answer").expect("a status");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let ended = timeout(IDLE * 10, watched.message()).await.expect("in time");
    assert!(ended.is_err() || ended.is_ok_and(|message| message.is_none()), "its connection was idle");
}

/// Returns the error codes of the GOAWAY frames among the bytes that a server has sent.
fn goaways(mut heard: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    while let Some((head, rest)) = heard.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if head[3] == 7 {
            found.push(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
        }
        heard = rest;
    }
    found
}

#[tokio::test]
async fn a_flood_of_control_frames_is_told_to_calm_down() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let running = start(Duration::ZERO).await;
    let frames: [(&str, &[u8]); 5] = [
        ("PING", &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("SETTINGS", SETTINGS),
        ("PRIORITY", &[0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 3, 16]),
        ("WINDOW_UPDATE", &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("unknown", &[0, 0, 3, 0x42, 0, 0, 0, 0, 5, 1, 2, 3]),
    ];
    for (name, frame) in frames {
        for (count, floods) in [(600, false), (20_000, true)] {
            let client = connected(running.address, &[&PREFACE[..], SETTINGS].concat()).await;
            let (mut hears, mut says) = client.into_split();
            let flood = frame.repeat(count);
            // The frame is cut in the middle.
            let said = tokio::spawn(async move {
                let _ = says.write_all(&flood).await;
                says
            });
            let mut heard = Vec::new();
            let _ = timeout(IDLE * 10, hears.read_to_end(&mut heard)).await.expect("it is closed, or idle");
            drop(said);
            assert_eq!(
                goaways(&heard).contains(&ENHANCE_YOUR_CALM),
                floods,
                "{count} of {name}: {:?}",
                goaways(&heard)
            );
        }
    }
}

/// A call with this number of additional header fields. All but one of them take one byte each.
fn call(stream: u32, fields: usize) -> Vec<u8> {
    let mut list = vec![0x83, 0x86, 0x84, 0x40, 1, b'x', 0];
    list.extend(std::iter::repeat_n(0xbe, fields - 1));
    let length = u32::try_from(list.len()).expect("short").to_be_bytes();
    [&length[1..], &[1, 4], &stream.to_be_bytes(), &list].concat()
}

#[tokio::test]
async fn a_list_of_too_many_fields_ends_its_connection() {
    let running = start(Duration::ZERO).await;
    for (fields, closes) in [(10, false), (250, false), (260, true), (10_000, true)] {
        let mut client = connected(running.address, &[&PREFACE[..], SETTINGS, &call(1, fields)].concat()).await;
        let (mut heard, began) = (Vec::new(), Instant::now());
        let _ = timeout(IDLE * 10, client.read_to_end(&mut heard)).await.expect("it is closed, or idle");
        assert_eq!(began.elapsed() < IDLE / 2, closes, "{fields} fields: {:?}", began.elapsed());
        // The library answers a call without a method.
        let answered = heard.windows(9).any(|frame| frame[3] == 1 && frame[5..] == [0, 0, 0, 1]);
        assert_eq!(answered, !closes, "{fields} fields: {heard:?}");
    }
}

/// Reads this number of bytes from a connection. Returns the number of waits, and the largest number of bytes of one read.
async fn reads(connection: &mut Connection, mut bytes: usize) -> (usize, usize) {
    let (mut waits, mut most, mut space) = (0, 0, [0; 8_192]);
    while bytes > 0 {
        let mut buffer = ReadBuf::new(&mut space);
        match futures::poll!(future::poll_fn(|cx| Pin::new(&mut *connection).poll_read(cx, &mut buffer))) {
            Poll::Ready(read) => {
                read.expect("no error");
                let count = buffer.filled().len();
                (bytes, most) = (bytes - count, most.max(count));
            }
            Poll::Pending => {
                waits += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    (waits, most)
}

#[tokio::test]
async fn others_run_between_two_calls_of_a_stranger() {
    const CALLS: u32 = 16;
    let words: Vec<u8> = (0..CALLS).flat_map(|n| call(2 * n + 1, 20)).collect();
    let words = [PREFACE, SETTINGS, &words].concat();
    let everybody = ["127.0.0.0/8".parse::<Network>().expect("a network")];
    for (trusted, least_waits) in [(&[][..], CALLS as usize - 1), (&everybody, 0)] {
        let (mut incoming, address) = listen_to(IDLE * 100, IDLE * 100, trusted).await;
        let _client = connected(address, &words).await;
        let mut connection = incoming.next().await.expect("a connection").expect("no error");
        sleep(IDLE / 4).await;
        let (waits, most) = reads(&mut connection, words.len()).await;
        if trusted.is_empty() {
            assert!(waits >= least_waits && most < 40, "{waits} waits, {most} bytes");
        } else {
            assert!(waits < 3 && most == words.len() - PREFACE.len(), "{waits} waits, {most} bytes");
        }
    }
}
