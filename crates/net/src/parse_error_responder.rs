//! Adds a body with the reason to the answers of the HTTP library to requests that it cannot read.
//!
//! The library answers such a request with a status only, and closes the connection. No handler can answer it, because
//! there is no request for a handler. So the answer is replaced while it is written.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use access_tokens_gateway::Malformed;
use axum::response::Response;
use futures::FutureExt;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Makes the answer to a request that cannot be read.
pub(super) type RejectMalformed = fn(Malformed) -> Response;

/// Maximum size in bytes of an answer of the library: a status and three headers.
const MAX_LIBRARY_RESPONSE_BYTES: usize = 256;
/// Time in which a client that still sends its request may read such an answer. If the connection is closed earlier,
/// the system of the client discards the answer.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Maximum number of bytes of the request that are read in that time.
const MAX_LINGER_BYTES: usize = 4 << 20;

/// A connection on which answers of the library are replaced.
pub(super) struct ParseErrorResponder<S> {
    stream: S,
    address: SocketAddr,
    refuse: RejectMalformed,
    /// The answer that is written instead of the library's answer, and the number of its bytes that are written.
    answer: Vec<u8>,
    written: usize,
    linger: Option<Linger>,
}

/// State of a connection after a request that could not be read.
struct Linger {
    end: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<S> ParseErrorResponder<S> {
    pub(super) fn new(stream: S, address: SocketAddr, refuse: RejectMalformed) -> Self {
        Self { stream, address, refuse, answer: Vec::new(), written: 0, linger: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ParseErrorResponder<S> {
    /// Takes the bytes that the library writes, if they are an answer of its own. The library writes nothing after such
    /// an answer.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let Some(head) = parse_library_response(bytes) else { return false };
        let malformed = match head.status {
            431 => Malformed::HeadTooLarge,
            414 => Malformed::TargetTooLong,
            _ => Malformed::Syntax,
        };
        self.answer = head.with_body((self.refuse)(malformed));
        let address = self.address.ip();
        tracing::info!(status = head.status, %address, "refused a request that cannot be read");
        self.linger = Some(Linger { end: Box::pin(sleep(LINGER_TIME)), bytes: 0 });
        true
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.answer.len() {
            let rest = &self.answer[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and discards what the client still sends.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(linger) = &mut self.linger else { return Poll::Ready(()) };
        let mut bytes = [0; 4_096];
        while linger.bytes < MAX_LINGER_BYTES && linger.end.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => linger.bytes += buffer.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        self.linger = None;
        Poll::Ready(())
    }
}

/// The head of an answer that the library has made.
struct Head<'a> {
    status: u16,
    /// The status and the headers, without the length of the body.
    lines: Vec<&'a str>,
}

/// Parses an answer of the library. None for an answer of a handler: those have more headers.
fn parse_library_response(bytes: &[u8]) -> Option<Head<'_>> {
    if bytes.len() > MAX_LIBRARY_RESPONSE_BYTES || !bytes.starts_with(b"HTTP/1.") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    let status: u16 = first.get(9..12)?.parse().ok()?;
    let mut kept = vec![first];
    for line in lines {
        match line.split_once(": ")? {
            ("content-length", "0") => {}
            ("connection" | "date", _) => kept.push(line),
            _ => return None,
        }
    }
    matches!(status, 400 | 414 | 431).then_some(Head { status, lines: kept })
}

impl Head<'_> {
    /// Returns the whole answer, with the headers and the body of `answer`.
    fn with_body(&self, answer: Response) -> Vec<u8> {
        let (parts, body) = answer.into_parts();
        // The body is complete: errors are not streamed.
        let body = body.collect().now_or_never().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
        let mut bytes = self.lines.join("\r\n").into_bytes();
        for (name, value) in &parts.headers {
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes.extend_from_slice(format!("\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ParseErrorResponder<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ParseErrorResponder<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.take(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        ready!(self.poll_linger(cx));
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // An answer of the library has no body, and is written alone.
        if let [head] = slices
            && self.take(head)
        {
            return Poll::Ready(Ok(head.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
