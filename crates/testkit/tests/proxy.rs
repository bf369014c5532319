//! Tests of the fault proxy before a server that echoes.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use access_tokens_testkit::proxy::FaultProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SILENCE_TIME: Duration = Duration::from_millis(150);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                tokio::io::copy(&mut reads, &mut writes).await
            });
        }
    });
    address
}

async fn proxy() -> FaultProxy {
    FaultProxy::start(echo_server().await).await.expect("proxy")
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.expect("connect")
}

/// Sends a text and reads an answer of the same length.
async fn ask(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    timeout(RESPONSE_TIMEOUT, stream.read_exact(&mut answer)).await??;
    Ok(String::from_utf8(answer).expect("an echo"))
}

#[tokio::test]
async fn without_faults_it_forwards_both_ways_to_the_end() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, "hello").await.expect("echo"), "hello");
    let big = "x".repeat(1_000_000);
    let (mut reads, mut writes) = stream.split();
    let send = async {
        writes.write_all(big.as_bytes()).await?;
        writes.shutdown().await
    };
    let mut answer = String::new();
    let (sent, received) = tokio::join!(send, reads.read_to_string(&mut answer));
    sent.expect("sent");
    received.expect("a clean end");
    assert_eq!(answer, big);
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn answers_are_delayed_and_questions_are_not() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    proxy.delay_answers(SILENCE_TIME);
    let start = Instant::now();
    assert_eq!(ask(&mut stream, "slow").await.expect("echo"), "slow");
    assert!(start.elapsed() >= SILENCE_TIME);
    proxy.delay_answers(Duration::ZERO);
    let start = Instant::now();
    ask(&mut stream, "fast").await.expect("echo");
    assert!(start.elapsed() < SILENCE_TIME);
}

#[tokio::test]
async fn a_black_hole_holds_everything_until_it_heals() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, "before").await.expect("echo");
    proxy.black_hole(true);
    stream.write_all(b"lost?").await.expect("the proxy still listens");
    let mut answer = [0; 5];
    timeout(SILENCE_TIME, stream.read_exact(&mut answer)).await.expect_err("nothing arrives");
    let mut second = timeout(RESPONSE_TIMEOUT, connect(&proxy)).await.expect("connections are still accepted");
    proxy.heal();
    timeout(RESPONSE_TIMEOUT, stream.read_exact(&mut answer)).await.expect("in time").expect("held back, not lost");
    assert_eq!(&answer, b"lost?");
    assert_eq!(ask(&mut second, "after").await.expect("echo"), "after");
}

#[tokio::test]
async fn an_answer_is_cut_after_so_many_bytes() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, "before").await.expect("echo");
    proxy.cut_after(3);
    stream.write_all(b"answer").await.expect("sent");
    let mut answer = Vec::new();
    let end = timeout(RESPONSE_TIMEOUT, stream.read_to_end(&mut answer)).await.expect("in time");
    assert_eq!(end.expect_err("no clean end").kind(), ErrorKind::ConnectionReset);
    assert!(b"ans".starts_with(&answer), "a reset may overtake what was sent before it: {answer:?}");

    let mut later = connect(&proxy).await;
    ask(&mut later, "nothing passes any more").await.expect_err("cut");
    proxy.heal();
    let mut healed = connect(&proxy).await;
    assert_eq!(ask(&mut healed, "again").await.expect("echo"), "again");
}

#[tokio::test]
async fn a_connection_is_cut_at_one_question() {
    let proxy = proxy().await;
    for forwarded in [true, false] {
        let (mut stream, mut other) = (connect(&proxy).await, connect(&proxy).await);
        proxy.cut_at_question("COMMIT", forwarded);
        assert_eq!(ask(&mut stream, "BEGIN").await.expect("echo"), "BEGIN");
        assert!(proxy.waits_for_question());
        ask(&mut stream, "a COMMIT").await.expect_err("cut");
        assert!(!proxy.waits_for_question());
        assert_eq!(ask(&mut other, "COMMIT").await.expect("it was meant once"), "COMMIT");
    }
}

#[tokio::test]
async fn all_connections_are_reset_and_new_ones_are_welcome() {
    let proxy = proxy().await;
    let mut streams = [connect(&proxy).await, connect(&proxy).await];
    for stream in &mut streams {
        ask(stream, "before").await.expect("echo");
    }
    proxy.reset_all();
    for stream in &mut streams {
        let end = timeout(RESPONSE_TIMEOUT, stream.read_u8()).await.expect("in time");
        assert_eq!(end.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(ask(&mut connect(&proxy).await, "again").await.expect("echo"), "again");
}

#[tokio::test]
async fn dropped_it_takes_its_connections_along() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, "before").await.expect("echo");
    let address = proxy.address();
    drop(proxy);
    timeout(RESPONSE_TIMEOUT, stream.read_u8()).await.expect("in time").expect_err("closed");
    TcpStream::connect(address).await.expect_err("nobody listens");
}

#[tokio::test]
async fn urls_are_led_through_it() {
    let upstream = echo_server().await;
    let proxy = FaultProxy::start(upstream).await.expect("proxy");
    let url = proxy.through(&format!("postgres://role@{upstream}/test_1"));
    assert_eq!(url, format!("postgres://role@{}/test_1", proxy.address()));
}
