//! HTTP/1 on a port: a bounded number of connections, until the process is asked to stop.
//!
//! The HTTP library gives each request the same time to arrive, whether it is the first one or a later one of a kept
//! connection. In this module the first request must arrive within five seconds of the first byte, and a connection may
//! be idle for longer between requests.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access_tokens_gateway::{Authenticated, Malformed, Network};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONNECTION, EXPECT};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::accept::{Acceptor, ConnectionLimits, ConnectionPermit};
use super::body_drain::BodyDrain;
use super::handshake::{HANDSHAKE_TIMEOUT, Handshake, HandshakenClient};
use super::parse_error_responder::{ParseErrorResponder, RejectMalformed};
use super::port::Port;

/// Maximum time that a connection of the gateway may be idle after an answer.
pub const IDLE_TIME: Duration = Duration::from_secs(60);
/// Size of the buffer for the head of a request, in bytes. Somewhat larger heads fit, since the library reads in steps. A query has at most 64 KiB.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Wraps a router in the log of its requests. Arguments: the router, the scheme of the port, and the trusted proxies.
pub(super) type LogLayer = fn(Router, &'static str, Arc<[Network]>) -> Router;

/// The service of an HTTP/1 port.
pub struct HttpService {
    /// Answers requests.
    pub router: Router,
    /// Answers requests that HTTP does not allow, before the router sees them.
    pub refuse: RejectMalformed,
    /// Wraps the router in the log of its requests.
    pub log: LogLayer,
    /// Maximum time that a connection may be idle.
    pub idle: Duration,
}

/// Serves requests until `stop`, and then until every request in progress is answered. Dropping the future closes the
/// connections.
pub async fn serve(port: Port, limits: ConnectionLimits, service: HttpService, stop: impl Future<Output = ()>) {
    let HttpService { router, refuse, log, idle } = service;
    let router = router.layer(from_fn(move |request, next| with_host(refuse, request, next)));
    let scheme = if port.tls.is_some() { "https" } else { "http" };
    let router = log(router, scheme, Arc::clone(&limits.trusted_proxies));
    let mut acceptor = Acceptor::new(port, limits, Handshake::Http1);
    let (stopping, stop_requested) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let (client, permit) = tokio::select! {
            arrival = acceptor.next() => arrival,
            () = &mut stop => break,
        };
        // Removes ended tasks. A panic was already reported.
        while connections.try_join_next().is_some() {}
        let service = HttpService { router: router.clone(), refuse, log, idle };
        connections.spawn(connection(client, permit, service, stop_requested.clone()));
    }
    drop(acceptor);
    let _ = stopping.send(true);
    while connections.join_next().await.is_some() {}
}

/// Refuses a request without exactly one valid `Host`.
async fn with_host(refuse: RejectMalformed, request: Request, next: Next) -> Response {
    match Malformed::of_host(&request) {
        Some(malformed) => refuse(malformed),
        None => next.run(request).await,
    }
}

async fn connection(
    client: HandshakenClient,
    mut permit: ConnectionPermit,
    service: HttpService,
    mut stop_requested: watch::Receiver<bool>,
) {
    let (HandshakenClient { stream, address, .. }, HttpService { router, refuse, idle, .. }) = (client, service);
    let has_request = AtomicBool::new(false);
    let anonymous = Mutex::new(permit.take_anonymous());
    let (has_request, anonymous) = (&has_request, &anonymous);
    let current = &BodyDrain::new();
    let service = service_fn(move |request: http::Request<Incoming>| {
        has_request.store(true, Ordering::Relaxed);
        let (started_at, awaits_continue) = (Instant::now(), request.headers().contains_key(EXPECT));
        let mut request = request.map(|body| current.wrap(body));
        request.extensions_mut().insert(ConnectInfo(address));
        let answer = router.clone().oneshot(request);
        async move {
            let mut answer = answer.await?;
            if answer.extensions().get::<Authenticated>().is_some() {
                drop(anonymous.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
            if !current.drain(started_at, awaits_continue).await {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(ParseErrorResponder::new(stream, address, refuse)), service);
    let mut connection = pin!(connection);
    let mut first_request_timeout = pin!(sleep(HANDSHAKE_TIMEOUT));
    let (mut awaits_first_request, mut stopping) = (true, false);
    loop {
        tokio::select! {
            // The connection has ended. Errors of the client need no action.
            _ = &mut connection => return,
            () = poll_fn(|context| permit.poll_evicted(context)) => return,
            () = &mut first_request_timeout, if awaits_first_request => {
                awaits_first_request = false;
                if !has_request.load(Ordering::Relaxed) {
                    return;
                }
            }
            _ = stop_requested.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                if !has_request.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::middleware::map_response;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &[u8] = b"GET /peer HTTP/1.1\r\nhost: h\r\n\r\n";

    /// Stands for a log: adds the scheme to each answer.
    fn with_scheme(router: Router, scheme: &'static str, _: Arc<[Network]>) -> Router {
        router.layer(map_response(move |mut response: Response| async move {
            response.headers_mut().insert("x-scheme", HeaderValue::from_static(scheme));
            response
        }))
    }

    struct Running {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        server: JoinHandle<()>,
    }

    async fn start(limit: usize) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string();
        let slow = async || {
            sleep(Duration::from_millis(300)).await;
            "slow"
        };
        let known = async || (axum::Extension(Authenticated), "known");
        let router = Router::new().route("/peer", get(peer)).route("/slow", get(slow)).route("/known", get(known));
        let (stop, told) = oneshot::channel();
        let service = HttpService { router, refuse: Malformed::answer, log: with_scheme, idle: IDLE_TIME };
        let limits = ConnectionLimits {
            max_connections: limit,
            anonymous_per_address: limit,
            trusted_proxies: Default::default(),
        };
        let server = tokio::spawn(serve(Port::plain(listener), limits, service, async { drop(told.await) }));
        Running { address, stop, server }
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.expect("connected")
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await.expect("an answer");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[tokio::test]
    async fn silence_and_half_a_request_end_after_five_seconds() {
        let running = start(10).await;
        for first_words in [&b""[..], b"GET / HT"] {
            let mut client = connect(running.address).await;
            client.write_all(first_words).await.expect("sent");
            // The connection was accepted: a second client is answered.
            let mut other = connect(running.address).await;
            other.write_all(REQUEST).await.expect("sent");
            answer(&mut other).await;
            tokio::time::pause();
            let started = Instant::now();
            let _ = client.read_to_end(&mut Vec::new()).await;
            assert!(started.elapsed() <= HANDSHAKE_TIMEOUT + Duration::from_secs(1), "{:?}", started.elapsed());
            tokio::time::resume();
        }
    }

    /// Sends a request, and returns all answers until the server closes the connection.
    async fn exchange(address: SocketAddr, request: &[u8]) -> String {
        let mut client = connect(address).await;
        // The server may close the connection before it has read everything.
        let _ = client.write_all(request).await;
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.expect("no reset");
        String::from_utf8(answers).expect("text")
    }

    #[tokio::test]
    async fn a_request_names_one_host() {
        let running = start(10).await;
        let close = "connection: close\r\n\r\n";
        for (head, status) in [
            ("GET /peer HTTP/1.1\r\n", 400),
            ("GET /peer HTTP/1.1\r\nhost: h\r\nhost: h\r\n", 400),
            ("GET /peer HTTP/1.1\r\nHost: a b\r\n", 400),
            ("GET /nothing HTTP/1.1\r\nHost: h:x\r\n", 400),
            ("GET http://other/peer HTTP/1.1\r\n", 400),
            ("GET http://other/peer HTTP/1.1\r\nhost: h\r\n", 200),
            ("GET /peer HTTP/1.1\r\nhost:\r\n", 200),
            ("GET /peer HTTP/1.1\r\nHOST: h:80\r\n", 200),
            ("GET /peer HTTP/1.0\r\n", 200),
            ("GET /peer HTTP/1.0\r\nhost: h\r\nhost: i\r\n", 400),
        ] {
            let answer = exchange(running.address, format!("{head}{close}").as_bytes()).await;
            assert!(answer.get(9..12) == Some(&status.to_string()), "{head}: {answer}");
            assert_eq!(
                answer.contains("INVALID_FIELD_VALUE") && answer.contains("Host: must"),
                status == 400,
                "{answer}"
            );
        }
        // The connection can still be used.
        let mut client = connect(running.address).await;
        client.write_all(b"GET /peer HTTP/1.1\r\n\r\n").await.expect("sent");
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 400"));
        client.write_all(REQUEST).await.expect("sent");
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn refusals_of_the_http_library_have_a_reason() {
        let running = start(10).await;
        let large = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(3 * MAX_HEAD_BYTES));
        let many = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: y\r\n".repeat(500));
        let long = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "p".repeat(70_000));
        for (request, status, reason) in [
            (&*large, "431", "REQUEST_TOO_LARGE"),
            (&many, "431", "REQUEST_TOO_LARGE"),
            (&long, "414", "REQUEST_TOO_LARGE"),
            ("GET / HTTP/1.1\r\nhost : h\r\n\r\n", "400", "INVALID_FIELD_VALUE"),
            ("GET / HTTP/1.1\r\nhost: h\r\n folded: x\r\n\r\n", "400", "INVALID_FIELD_VALUE"),
            ("GET / HTTP/9.9\r\nhost: h\r\n\r\n", "400", "INVALID_FIELD_VALUE"),
            ("G\0T / HTTP/1.1\r\nhost: h\r\n\r\n", "400", "INVALID_FIELD_VALUE"),
            (
                "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
                "400",
                "INVALID_FIELD_VALUE",
            ),
        ] {
            for pipelined in ["", "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n"] {
                let shown = &request[..request.len().min(80)];
                let answers = exchange(running.address, format!("{pipelined}{request}").as_bytes()).await;
                let last = answers.rfind("HTTP/1.1 ").expect("an answer");
                assert_eq!(last > 0, !pipelined.is_empty(), "{shown:?}: {answers}");
                let (head, body) = answers[last..].split_once("\r\n\r\n").expect("a head");
                assert!(head.contains(status) && head.contains("connection: close"), "{shown:?}: {head}");
                assert!(head.contains(&format!("x-error-reason: {reason}")), "{shown:?}: {head}");
                assert!(head.contains(&format!("content-length: {}", body.len())), "{shown:?}: {head}");
                let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
                assert!(body["status"]["message"].is_string(), "{shown:?}: {body}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_may_be_idle_between_requests_and_its_address_is_known() {
        let running = start(10).await;
        let mut client = connect(running.address).await;
        let from = client.local_addr().expect("an address").to_string();
        for _ in 0..2 {
            client.write_all(REQUEST).await.expect("sent");
            let answer = answer(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&from), "{answer}");
            assert!(answer.contains("x-scheme: http\r\n"), "{answer}");
            tokio::time::pause();
            tokio::time::advance(HANDSHAKE_TIMEOUT * 2).await;
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn without_a_free_permit_an_anonymous_connection_is_displaced_and_an_authenticated_one_stays() {
        let running = start(1).await;
        let mut first = connect(running.address).await;
        first.write_all(REQUEST).await.expect("sent");
        answer(&mut first).await;
        let mut second = connect(running.address).await;
        second.write_all(b"GET /known HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sent");
        assert!(answer(&mut second).await.starts_with("HTTP/1.1 200"));
        assert_eq!(first.read(&mut [0]).await.expect("closed"), 0);
        let mut third = connect(running.address).await;
        third.write_all(REQUEST).await.expect("sent");
        assert!(tokio::time::timeout(Duration::from_millis(300), third.readable()).await.is_err());
        drop(second);
        assert!(answer(&mut third).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn stopping_answers_requests_in_progress_and_closes_other_connections() {
        let running = start(10).await;
        let (mut silent, mut half, mut idle, mut busy) = (
            connect(running.address).await,
            connect(running.address).await,
            connect(running.address).await,
            connect(running.address).await,
        );
        half.write_all(b"GET / HT").await.expect("sent");
        idle.write_all(REQUEST).await.expect("sent");
        answer(&mut idle).await;
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sent");
        sleep(Duration::from_millis(100)).await;
        running.stop.send(()).expect("it listens");
        assert!(answer(&mut busy).await.ends_with("slow"));
        tokio::time::timeout(Duration::from_secs(1), running.server).await.expect("soon").expect("no panic");
        for stream in [&mut silent, &mut half, &mut idle] {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        assert!(TcpStream::connect(running.address).await.is_err());
    }
}
