//! Answers before the end of a body, over real connections.

use std::net::SocketAddr;

use access_tokens_gateway::Malformed;
use axum::Router;
use axum::body::to_bytes;
use axum::routing::{get, post};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::accept::ConnectionLimits;
use crate::http1::{HttpService, IDLE_TIME, serve};
use crate::port::Port;

/// A server that answers without reading the body, after it has read a part, or after it has read all.
async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let some = async |body: Body| {
        let mut body = body;
        body.frame().await;
        StatusCode::PAYLOAD_TOO_LARGE
    };
    let all = async |body: Body| to_bytes(body, usize::MAX).await.expect("a body").len().to_string();
    let keeping = async |body: Body| {
        tokio::spawn(async move {
            let _body = body;
            std::future::pending::<()>().await;
        });
        "kept"
    };
    let late = async |body: Body| {
        tokio::time::sleep(DRAIN_TIME + Duration::from_secs(1)).await;
        drop(body);
        StatusCode::REQUEST_TIMEOUT
    };
    let router = Router::new()
        .route("/get", get(async || "got"))
        .route("/refused", post(async || StatusCode::UNAUTHORIZED))
        .route("/some", post(some))
        .route("/all", post(all))
        .route("/keeping", post(keeping))
        .route("/late", post(late));
    let limits =
        ConnectionLimits { max_connections: 100, anonymous_per_address: 100, trusted_proxies: Default::default() };
    let service = HttpService { router, refuse: Malformed::answer, log: |router, _, _| router, idle: IDLE_TIME };
    tokio::spawn(serve(Port::plain(listener), limits, service, std::future::pending()));
    address
}

/// Reads the head and the body of one answer. Empty: the connection is closed.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).await.unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let expected = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if length == 0 || (text.contains("\r\n\r\n") && expected.unwrap_or(0) <= body.len()) {
            return text;
        }
    }
}

async fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// The next call on the same connection works.
async fn assert_usable(stream: &mut TcpStream, what: &str) {
    stream.write_all(b"POST /all HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc").await.expect("sent");
    let next = answer(stream).await;
    assert!(next.starts_with("HTTP/1.1 200") && next.ends_with("3"), "{what}: {next:?}");
}

#[tokio::test]
async fn a_connection_outlives_every_answer_that_comes_before_the_body() {
    let address = start().await;
    for (verb, path, status) in [
        ("POST", "/nowhere", 404),
        ("PUT", "/nowhere", 404),
        ("POST", "/get", 405),
        ("DELETE", "/get", 405),
        ("PATCH", "/all", 405),
        ("POST", "/refused", 401),
        ("POST", "/some", 413),
    ] {
        for (framing, parts) in [
            ("content-length: 10", ["01234", "56789"]),
            ("content-length: 10", ["", "0123456789"]),
            ("transfer-encoding: chunked", ["5\r\n01234\r\n", "5\r\n56789\r\n0\r\n\r\n"]),
        ] {
            let what = format!("{verb} {path} {framing} {parts:?}");
            let head = format!("{verb} {path} HTTP/1.1\r\nhost: h\r\n{framing}\r\n\r\n");
            let mut stream = connect(address, &head).await;
            for part in parts {
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.write_all(part.as_bytes()).await.expect("sent");
            }
            let text = answer(&mut stream).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {text}");
            assert!(!text.contains("connection: close"), "{what}: {text}");
            assert_usable(&mut stream, &what).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_within_the_bounds_is_the_last_of_its_connection() {
    let address = start().await;
    let too_large = MAX_DRAINED_BYTES + 1_000_000;
    for (path, head) in [
        ("/nowhere", "content-length: 10"),
        ("/refused", "transfer-encoding: chunked"),
        ("/keeping", "content-length: 10"),
        ("/late", "content-length: 10"),
        ("/nowhere", "content-length: 10\r\nexpect: 100-continue"),
    ] {
        let mut stream = connect(address, &format!("POST {path} HTTP/1.1\r\nhost: h\r\n{head}\r\n\r\n")).await;
        // The server has the request before the time moves.
        tokio::time::sleep(Duration::from_millis(50)).await;
        tokio::time::pause();
        let text = answer(&mut stream).await;
        tokio::time::resume();
        assert!(text.contains("connection: close"), "{path} {head}: {text}");
        // The library closes a connection when its body is dropped, which that handler never does.
        if path != "/keeping" {
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "{path} is closed");
        }
    }
    let head = format!("POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: {too_large}\r\n\r\n");
    let mut stream = connect(address, &head).await;
    let (mut reader, mut writer) = stream.split();
    let sent = async {
        let part = vec![b'x'; 64 * 1024];
        while writer.write_all(&part).await.is_ok() {}
    };
    let mut text = vec![0; 4096];
    let length = tokio::select! {
        read = reader.read(&mut text) => read.unwrap_or(0),
        () = sent => 0,
    };
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    assert!(text.is_empty() || (text.starts_with("HTTP/1.1 404") && text.contains("connection: close")), "{text}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_the_answer_without_sending_a_body() {
    let address = start().await;
    let head = "POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    let text = answer(&mut connect(address, head).await).await;
    assert!(text.starts_with("HTTP/1.1 404") && text.contains("connection: close"), "{text}");
    let head = "POST /all HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    let mut stream = connect(address, head).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"abc").await.expect("sent");
    assert!(answer(&mut stream).await.ends_with('3'));
    assert_usable(&mut stream, "after 100").await;
}
