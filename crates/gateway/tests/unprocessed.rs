//! Calls that fail before the service receives them, and the rule which of them are sent again. The server speaks HTTP/2 byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use access_tokens_gateway::{GatewayConfig, router};
use axum::body::Body;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Channel;
use tower::ServiceExt;

const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;

// Types and flags of frames, RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

// Error codes, section 7.
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The behaviour of the server at its first call.
#[derive(Debug, Clone, Copy)]
enum First {
    /// Ends the connection before a call comes.
    GoAwayAtOnce,
    /// Closes the connection before a call comes.
    CloseAtOnce,
    /// Names this last stream and this error; the connection stays open.
    GoAway(u32, u32),
    /// Names this last stream and this error, and closes the connection.
    GoAwayAndClose(u32, u32),
    /// Closes the connection.
    Close,
    /// Ends the stream.
    Reset(u32),
    /// Begins to answer and ends the stream then.
    AnswerAndReset(u32),
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn go_away(last: u32, error: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), error.to_be_bytes()].concat())
}

/// Returns the headers of a gRPC response: `:status: 200` from the static table, the others as literals.
fn head(status: Option<&str>) -> Vec<u8> {
    let literal = |name: &str, value: &str| {
        let (name_length, value_length) = (name.len() as u8, value.len() as u8);
        [&[0, name_length], name.as_bytes(), &[value_length], value.as_bytes()].concat()
    };
    let status = status.map(|code| literal("grpc-status", code)).unwrap_or_default();
    [vec![0x88], literal("content-type", "application/grpc"), status].concat()
}

/// Reads a frame: type, flags, stream.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, u8, u32)> {
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await.ok()?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    Some((header[3], header[4], id))
}

/// Serves a connection. Answers NOT_FOUND to all calls but the first of the server.
async fn connection(mut stream: TcpStream, first: First, number: usize, calls: Arc<AtomicUsize>) -> Option<()> {
    if number == 0 && matches!(first, First::CloseAtOnce) {
        return None;
    }
    stream.read_exact(&mut [0; PREFACE_BYTES]).await.ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
    if number == 0 && matches!(first, First::GoAwayAtOnce) {
        stream.write_all(&go_away(0, NO_ERROR)).await.ok()?;
    }
    loop {
        let (kind, flags, id) = read_frame(&mut stream).await?;
        if kind == SETTINGS && flags & ACK == 0 {
            stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.ok()?;
        }
        if kind != DATA || flags & END_STREAM == 0 {
            continue;
        }
        let answer = frame(HEADERS, END_HEADERS | END_STREAM, id, &head(Some("5")));
        let at_once = matches!(first, First::CloseAtOnce | First::GoAwayAtOnce);
        let words = match first {
            _ if calls.fetch_add(1, Ordering::SeqCst) > 0 || at_once => answer,
            First::GoAway(last, error) | First::GoAwayAndClose(last, error) => go_away(last, error),
            First::Reset(error) => frame(RST_STREAM, 0, id, &error.to_be_bytes()),
            First::AnswerAndReset(error) => {
                let begun = frame(HEADERS, END_HEADERS, id, &head(None));
                [begun, frame(RST_STREAM, 0, id, &error.to_be_bytes())].concat()
            }
            First::Close | First::CloseAtOnce | First::GoAwayAtOnce => return None,
        };
        stream.write_all(&words).await.ok()?;
        if matches!(first, First::GoAwayAndClose(..)) && calls.load(Ordering::SeqCst) == 1 {
            return None;
        }
    }
}

async fn serve(first: First) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(connection(stream, first, number, Arc::clone(&counted)));
        }
    });
    (address, calls)
}

/// Calls once through the gateway. Returns the HTTP status, and the number of times that the server received the whole call.
async fn call(first: First) -> (StatusCode, usize) {
    let (address, calls) = serve(first).await;
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy();
    let request = Request::post("/v1/access_tokens/show").body(Body::from(r#"{"access_token_identifier":{"id":"1"}}"#));
    let answer = router(channel, GatewayConfig::default()).oneshot(request.expect("valid")).await.expect("infallible");
    (answer.status(), calls.load(Ordering::SeqCst))
}

#[tokio::test]
async fn what_the_server_has_not_processed_is_sent_again() {
    for first in [
        First::GoAway(0, NO_ERROR),
        First::GoAwayAndClose(0, NO_ERROR),
        First::GoAwayAndClose(0, ENHANCE_YOUR_CALM),
        First::GoAwayAndClose(0, INTERNAL_ERROR),
        First::Reset(REFUSED_STREAM),
    ] {
        assert_eq!(call(first).await, (StatusCode::NOT_FOUND, 2), "{first:?}");
    }
    for first in [First::GoAwayAtOnce, First::CloseAtOnce] {
        // The gateway may already have sent the call.
        let (status, calls) = call(first).await;
        assert!(status == StatusCode::NOT_FOUND && calls <= 2, "{first:?}: {status}, {calls}");
    }
}

#[tokio::test]
async fn what_may_have_taken_effect_is_not_sent_again() {
    for first in [
        First::Close,
        First::GoAwayAndClose(1, NO_ERROR),
        First::GoAwayAndClose(1, ENHANCE_YOUR_CALM),
        First::GoAwayAndClose(0x7fff_ffff, NO_ERROR),
        First::Reset(CANCEL),
        First::Reset(INTERNAL_ERROR),
        First::Reset(NO_ERROR),
        First::AnswerAndReset(REFUSED_STREAM),
        First::AnswerAndReset(CANCEL),
    ] {
        let (status, calls) = call(first).await;
        assert_eq!(calls, 1, "{first:?}");
        assert!(status.is_server_error(), "{first:?}: {status}");
    }
}
