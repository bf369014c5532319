//! Connections of gRPC, as long as they behave.
//!
//! The HTTP library waits for ever for a client that connects and says nothing, so whoever opens enough of such
//! connections shuts everybody else out. Here a client has five seconds to say that it speaks HTTP/2, its handshake
//! included. (HTTP/1 has its own patience, in [`super::http1`].)

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::{self, Stream as Connections};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};
use tonic::transport::server::Connected;

use super::accept::{Arrival, Incoming, Slot, Stream};
use super::port::Port;
use crate::tls::Peer;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`
const PREFACE_BYTES: usize = 24;

/// HTTP/2 connections of a port, at most `limit` at once. Never ends.
pub(super) fn connections(port: Port, limit: usize) -> impl Connections<Item = io::Result<Connection>> {
    stream::unfold(Incoming::new(port, limit), |mut incoming| async move {
        let arrival = incoming.next().await;
        Some((Ok(Connection::new(arrival)), incoming))
    })
}

/// A connection with its place among the allowed ones.
pub(super) struct Connection {
    stream: Stream,
    peer: Peer,
    greeting: Option<Greeting>,
    _slot: Slot,
}

/// What has yet to come, and until when.
struct Greeting {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(arrival: Arrival) -> Self {
        let Arrival { stream, peer, deadline, slot, .. } = arrival;
        let greeting = Greeting { missing: PREFACE_BYTES, deadline: Box::pin(sleep_until(deadline)) };
        Self { stream, peer, greeting: Some(greeting), _slot: slot }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(greeting) = &mut this.greeting else { return Pin::new(&mut this.stream).poll_read(cx, buffer) };
        if greeting.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 preface in time")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        greeting.missing = greeting.missing.saturating_sub(buffer.filled().len() - before);
        if greeting.missing == 0 {
            this.greeting = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::accept::GREETING_TIME;
    use super::*;

    async fn listen() -> (Port, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (Port::plain(listener), address)
    }

    #[tokio::test]
    async fn silence_and_slow_talk_end_after_five_seconds() {
        let (port, address) = listen().await;
        let mut incoming = Box::pin(connections(port, 10));
        for first_words in [&b""[..], b"PRI * HTTP/2"] {
            let mut client = TcpStream::connect(address).await.expect("connected");
            client.write_all(first_words).await.expect("sent");
            let mut connection = incoming.next().await.expect("a connection").expect("no error");
            tokio::time::pause();
            let error = connection.read_to_end(&mut Vec::new()).await.expect_err("too slow");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn after_the_preface_a_client_may_think() {
        let (port, address) = listen().await;
        let mut incoming = Box::pin(connections(port, 10));
        let mut client = TcpStream::connect(address).await.expect("connected");
        let mut connection = incoming.next().await.expect("a connection").expect("no error");
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        connection.read_exact(&mut [0; PREFACE_BYTES]).await.expect("the preface");
        tokio::time::pause();
        tokio::time::advance(GREETING_TIME * 10).await;
        tokio::time::resume();
        client.write_all(b"x").await.expect("sent");
        assert_eq!(connection.read_u8().await.expect("one byte"), b'x');
    }

    #[tokio::test]
    async fn no_more_than_allowed_at_once() {
        let (port, address) = listen().await;
        let mut incoming = Box::pin(connections(port, 1));
        let _clients = [
            TcpStream::connect(address).await.expect("connected"),
            TcpStream::connect(address).await.expect("connected"),
        ];
        let first = incoming.next().await.expect("a connection");
        assert!(futures::poll!(incoming.next()).is_pending());
        drop(first);
        incoming.next().await.expect("a connection").expect("no error");
    }
}
