//! Connections, as many as are allowed and as long as they behave.
//!
//! The HTTP library waits for ever for a client that connects and says nothing, so whoever opens enough of such
//! connections shuts everybody else out. Here a client has five seconds to say that it speaks HTTP/2. (HTTP/1 has its own
//! patience, in [`super::http`].)

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a client may take for the first words of HTTP/2.
const PREFACE_TIME: Duration = Duration::from_secs(5);
/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`
const PREFACE_BYTES: usize = 24;
/// After the system had no file left for a connection. One that ends makes room.
const PAUSE: Duration = Duration::from_millis(50);

/// HTTP/2 connections of a listener, at most `limit` at once. Never ends.
pub(super) fn connections(listener: Arc<TcpListener>, limit: usize) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold(Acceptor::new(listener, limit), |acceptor| async move {
        let (stream, _, slot) = acceptor.next().await;
        Some((Ok(Connection::new(stream, slot)), acceptor))
    })
}

/// A place among the allowed connections, for as long as it is kept.
pub(super) type Slot = OwnedSemaphorePermit;

/// Accepts connections, at most so many at once; further ones wait in the system's queue.
pub(super) struct Acceptor {
    listener: Arc<TcpListener>,
    slots: Arc<Semaphore>,
}

impl Acceptor {
    pub(super) fn new(listener: Arc<TcpListener>, limit: usize) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(limit)) }
    }

    /// The next connection, from where it comes, and its place.
    pub(super) async fn next(&self) -> (TcpStream, SocketAddr, Slot) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("nobody closes the semaphore");
        let (stream, peer) = accept(&self.listener).await;
        (stream, peer, slot)
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut complained = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it answers wait for acknowledgements. A failure costs time only.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !complained {
                    tracing::warn!(%error, "no further connection can be accepted");
                }
                complained = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A connection with its place among the allowed ones.
pub(super) struct Connection {
    stream: TcpStream,
    greeting: Option<Greeting>,
    _slot: Slot,
}

/// What has yet to come, and until when.
struct Greeting {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, slot: Slot) -> Self {
        let deadline = Box::pin(tokio::time::sleep(PREFACE_TIME));
        Self { stream, greeting: Some(Greeting { missing: PREFACE_BYTES, deadline }), _slot: slot }
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
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn listen() -> (Arc<TcpListener>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (Arc::new(listener), address)
    }

    #[tokio::test]
    async fn silence_and_slow_talk_end_after_five_seconds() {
        let (listener, address) = listen().await;
        let mut incoming = Box::pin(connections(listener, 10));
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
        let (listener, address) = listen().await;
        let mut incoming = Box::pin(connections(listener, 10));
        let mut client = TcpStream::connect(address).await.expect("connected");
        let mut connection = incoming.next().await.expect("a connection").expect("no error");
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        connection.read_exact(&mut [0; PREFACE_BYTES]).await.expect("the preface");
        tokio::time::pause();
        tokio::time::advance(PREFACE_TIME * 10).await;
        tokio::time::resume();
        client.write_all(b"x").await.expect("sent");
        assert_eq!(connection.read_u8().await.expect("one byte"), b'x');
    }

    #[tokio::test]
    async fn no_more_than_allowed_at_once() {
        let (listener, address) = listen().await;
        let mut incoming = Box::pin(connections(listener, 1));
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
