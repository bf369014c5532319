//! Who comes in: as many connections as are allowed, each with its handshake behind it where there is one.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::port::Port;
use crate::tls::{LiveTls, Peer, TlsConnection};

/// How long a client may take for its handshake and the first words after it, both together.
pub(super) const GREETING_TIME: Duration = Duration::from_secs(5);
/// Most handshakes at once. Beyond it the oldest one goes: those that stall are the oldest.
const HANDSHAKES: usize = 512;
/// After the system had no file left for a connection. One that ends makes room.
const PAUSE: Duration = Duration::from_millis(50);

/// A place among the allowed connections, for as long as it is kept.
pub(super) type Slot = OwnedSemaphorePermit;

/// A connection that may speak now.
pub(super) struct Arrival {
    pub(super) stream: Stream,
    /// From where it comes.
    pub(super) address: SocketAddr,
    /// Who shows a certificate.
    pub(super) peer: Peer,
    /// Until when it must have said something.
    pub(super) deadline: Instant,
    pub(super) slot: Slot,
}

/// Lets connections in, at most so many at once; further ones wait in the system's queue.
pub(super) struct Incoming {
    port: Port,
    slots: Arc<Semaphore>,
    handshakes: Handshakes,
}

impl Incoming {
    pub(super) fn new(port: Port, limit: usize) -> Self {
        Self { port, slots: Arc::new(Semaphore::new(limit)), handshakes: Handshakes::new(HANDSHAKES) }
    }

    /// The next connection. Nobody waits for the handshake of somebody else.
    pub(super) async fn next(&mut self) -> Arrival {
        loop {
            tokio::select! {
                arrival = accept(&self.port.listener, &self.slots) => match &self.port.tls {
                    None => return arrival,
                    Some(tls) => self.handshakes.begin(tls, arrival),
                },
                Some(arrival) = self.handshakes.next() => return arrival,
            }
        }
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Arrival {
    let slot = Arc::clone(slots).acquire_owned().await.expect("nobody closes the semaphore");
    let mut complained = false;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without it answers wait for acknowledgements. A failure costs time only.
                let _ = stream.set_nodelay(true);
                let (stream, deadline) = (Stream::Plain(stream), Instant::now() + GREETING_TIME);
                return Arrival { stream, address, peer: Peer::default(), deadline, slot };
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

/// Handshakes under way. They end with it.
struct Handshakes {
    tasks: JoinSet<Option<Arrival>>,
    /// The oldest first; some of them may have ended.
    order: VecDeque<AbortHandle>,
    max: usize,
}

impl Handshakes {
    fn new(max: usize) -> Self {
        Self { tasks: JoinSet::new(), order: VecDeque::new(), max }
    }

    fn begin(&mut self, tls: &Arc<LiveTls>, arrival: Arrival) {
        self.order.retain(|handshake| !handshake.is_finished());
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(shake_hands(Arc::clone(tls), arrival)));
    }

    /// The next one that succeeds. None where there are none.
    async fn next(&mut self) -> Option<Arrival> {
        loop {
            // One that was cut, or has told of its panic, is as one that failed.
            if let Some(arrival) = self.tasks.join_next().await?.ok().flatten() {
                return Some(arrival);
            }
        }
    }
}

async fn shake_hands(tls: Arc<LiveTls>, arrival: Arrival) -> Option<Arrival> {
    let Stream::Plain(stream) = arrival.stream else { return Some(arrival) };
    match timeout_at(arrival.deadline, tls.accept(stream)).await {
        Ok(Ok((stream, peer))) => Some(Arrival { stream: Stream::Tls(Box::new(stream)), peer, ..arrival }),
        Ok(Err(error)) => {
            tracing::debug!(address = %arrival.address, %error, "a handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(address = %arrival.address, "a handshake took too long");
            None
        }
    }
}

/// What HTTP is spoken over.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsConnection>),
}

/// Does the same with whichever it is.
macro_rules! either {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $do,
            Stream::Tls($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::config::TlsSettings;
    use crate::tls::HTTP2;

    /// A port with a certificate.
    async fn port(directory: &std::path::Path) -> (Port, SocketAddr) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let [certificate, key] = ["certificate", "key"].map(|name| directory.join(name));
        std::fs::write(&certificate, made.cert.pem()).expect("written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        let settings = TlsSettings { certificate: Some(certificate), key: Some(key), ..TlsSettings::default() };
        let tls = LiveTls::start(&settings, "grpc.tls", HTTP2).expect("a good pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (Port { listener: Arc::new(listener), tls }, address)
    }

    /// Is the connection closed by the server?
    async fn closed(client: &mut TcpStream, within: Duration) -> bool {
        tokio::time::timeout(within, client.read_to_end(&mut Vec::new())).await.is_ok()
    }

    #[tokio::test]
    async fn of_too_many_handshakes_the_oldest_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let (port, address) = port(directory.path()).await;
        let mut incoming = Incoming::new(port, 100);
        incoming.handshakes.max = 2;
        let serving = tokio::spawn(async move { drop(incoming.next().await) });
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(TcpStream::connect(address).await.expect("connected"));
        }
        for old in &mut clients[..2] {
            assert!(closed(old, Duration::from_secs(3)).await, "it is the oldest");
        }
        for young in &mut clients[2..] {
            assert!(!closed(young, Duration::from_millis(100)).await, "it has time");
        }
        serving.abort();
    }

    #[tokio::test]
    async fn handshakes_that_stall_end_in_time_and_give_their_places_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let (port, address) = port(directory.path()).await;
        let mut incoming = Incoming::new(port, 1);
        let serving = tokio::spawn(async move { drop(incoming.next().await) });
        let mut clients = [
            TcpStream::connect(address).await.expect("connected"),
            TcpStream::connect(address).await.expect("connected"),
        ];
        assert!(!closed(&mut clients[0], Duration::from_millis(100)).await, "it has time");
        tokio::time::pause();
        for client in &mut clients {
            // The second one gets in, and has to go, only after the first one.
            assert!(closed(client, GREETING_TIME + Duration::from_secs(1)).await);
        }
        serving.abort();
    }
}
