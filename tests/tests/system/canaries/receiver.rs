//! A receiver of notifications that fails at first, and records their secrets when they are sent again.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_testapp::canary::Kind;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::recorder::Recorder;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);
const NOTIFIED: &str = "notified secret";

/// Starts a receiver. It ends with the runtime.
pub(super) async fn start(recorder: &Arc<Recorder>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let recorder = Arc::clone(recorder);
    tokio::spawn(async move {
        let mut seen = HashSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            receive(stream, &recorder, &mut seen).await;
        }
    });
    address
}

/// Waits until this number of notifications was received.
pub(super) async fn wait_for(recorder: &Recorder, count: usize) {
    let started = Instant::now();
    while recorder.canaries.count_of(NOTIFIED) < count {
        assert!(
            started.elapsed() < DELIVERY_TIMEOUT,
            "of {count} notifications came {}",
            recorder.canaries.count_of(NOTIFIED)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn receive(mut stream: TcpStream, recorder: &Recorder, seen: &mut HashSet<String>) {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    let (head, body) = loop {
        let length = stream.read(&mut buffer).await.expect("a request");
        assert!(length > 0, "half a notification");
        text.push_str(std::str::from_utf8(&buffer[..length]).expect("text"));
        // The body is one object, so it is complete as soon as it can be parsed.
        let parts = text.split_once("\r\n\r\n");
        if let Some((head, Ok(body))) = parts.map(|(head, body)| (head, serde_json::from_str::<Value>(body))) {
            break (head.to_owned(), body);
        }
    };
    let id = head.lines().find(|line| line.starts_with("x-access-tokens-delivery: ")).expect("an id").to_owned();
    let again = !seen.insert(id);
    if again {
        recorder.canaries.add(Kind::Secret, NOTIFIED, body["secret"].as_str().expect("a secret"));
    }
    let status = if again { "204 No Content" } else { "503 Service Unavailable" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.expect("answered");
}
