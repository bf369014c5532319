//! Handshakes: TLS, and the first bytes of HTTP. A client that does not complete them in time is not accepted.
//!
//! The HTTP library waits without limit for a client that connects and sends nothing, so a sufficient number of such
//! connections would exclude all other clients. This module lets a bounded number of clients complete the handshake
//! first, without a connection permit. If one address has too many unfinished handshakes, its oldest one is closed. So
//! other addresses cannot shorten the time of an honest client on a slow link.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::timeout;

use super::drop_counters::DropCounters;
use super::limit_key::LimitKey;
use super::stream::Stream;
use crate::client_address::ClientAddress;
use crate::evicting_set::{EvictingSet, MemberId};
use crate::protection::Protection;
use crate::tls::{Peer, ReloadingTls};

/// Time within which a client must complete TLS and send its first bytes.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The first bytes of an HTTP/2 client.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Protocol of a port, which defines the first bytes that a client must send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handshake {
    /// [`PREFACE`].
    Http2,
    /// Any byte: HTTP/1 begins with the request itself.
    Http1,
}

/// A client that has completed its handshake.
pub(super) struct HandshakenClient {
    pub(super) stream: Stream,
    /// Address of the client.
    pub(super) address: SocketAddr,
    /// The identity in its certificate, if it has one.
    pub(super) peer: Peer,
}

/// Handshakes in progress, each in its own task. Dropping this ends them.
pub(super) struct Handshakes {
    handshake: Handshake,
    tasks: JoinSet<Option<HandshakenClient>>,
    waiting: EvictingSet<LimitKey, AbortHandle>,
    /// The member of `waiting` that belongs to each task.
    members: HashMap<Id, (LimitKey, MemberId)>,
    dropped: Arc<DropCounters>,
}

impl Handshakes {
    /// Allows `max` handshakes at a time, and `max_per_address` from one address.
    pub(super) fn new(handshake: Handshake, max: usize, max_per_address: usize, dropped: Arc<DropCounters>) -> Self {
        let waiting = EvictingSet::new(max, max_per_address);
        Self { handshake, tasks: JoinSet::new(), waiting, members: HashMap::new(), dropped }
    }

    pub(super) fn begin(&mut self, stream: TcpStream, address: SocketAddr, tls: Option<Arc<ReloadingTls>>) {
        let task = self.tasks.spawn(run_handshake(stream, address, tls, self.handshake));
        let client = (!Protection::Handshakes.is_off()).then(|| ClientAddress::new(address.ip()));
        let (limit_key, id) = (LimitKey::of_address(client), task.id());
        let (member, displaced) = self.waiting.insert(limit_key, task);
        self.members.insert(id, (limit_key, member));
        if let Some(displaced) = displaced {
            displaced.abort();
            self.dropped.handshake();
        }
    }

    /// Waits for the next completed handshake. Returns None if none is in progress.
    pub(super) async fn next(&mut self) -> Option<HandshakenClient> {
        loop {
            // A task that was aborted or has panicked counts as a failed handshake.
            let (id, client) = match self.tasks.join_next_with_id().await? {
                Ok((id, client)) => (id, client),
                Err(ended) => (ended.id(), None),
            };
            if let Some((limit_key, member)) = self.members.remove(&id) {
                self.waiting.remove(limit_key, member);
            }
            if client.is_some() {
                return client;
            }
        }
    }
}

async fn run_handshake(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<ReloadingTls>>,
    handshake: Handshake,
) -> Option<HandshakenClient> {
    let complete = async {
        let (mut stream, peer) = match tls {
            None => (Stream::plain(stream), Peer::default()),
            Some(tls) => {
                let (stream, peer) = tls.accept(stream).await?;
                (Stream::tls(stream), peer)
            }
        };
        handshake.read_first_bytes(&mut stream).await?;
        Ok::<_, io::Error>(HandshakenClient { stream, address, peer })
    };
    let completed = timeout(HANDSHAKE_TIMEOUT, complete).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    completed.inspect_err(|error| tracing::debug!(%address, %error, "a handshake failed")).ok()
}

impl Handshake {
    /// Waits for the first bytes. They stay in the stream for its reader.
    async fn read_first_bytes(self, stream: &mut Stream) -> io::Result<()> {
        match self {
            Self::Http1 => match stream.wait_readable().await? {
                true => Ok(()),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            },
            Self::Http2 => {
                let mut missing = &PREFACE[..];
                while !missing.is_empty() {
                    let mut bytes = [0; PREFACE.len()];
                    let length = stream.read(&mut bytes[..missing.len()]).await?;
                    if length == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let rest = missing.strip_prefix(&bytes[..length]);
                    missing = rest.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not HTTP/2"))?;
                }
                stream.prepend(PREFACE);
                Ok(())
            }
        }
    }
}
