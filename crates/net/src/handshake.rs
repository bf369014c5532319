//! The first words of clients: who does not say them in time is let in nowhere.
//!
//! The HTTP library waits for ever for a client that connects and says nothing, so whoever opens enough of such
//! connections would shut all others out. Here a bounded number finishes its handshake first, outside of these places. Of too many
//! from one address the oldest of that address goes, so that an honest client with a slow link has its time whatever others do.

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

/// How long a client may take for its handshake and its first words, both together.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a client of HTTP/2 says first.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What has to be said.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handshake {
    /// [`PREFACE`].
    Http2,
    /// Anything: HTTP/1 begins with the request itself.
    Http1,
}

/// A client that has greeted.
pub(super) struct HandshakenClient {
    pub(super) stream: Stream,
    /// From where it comes.
    pub(super) address: SocketAddr,
    /// Who shows a certificate.
    pub(super) peer: Peer,
}

/// Clients that have not greeted yet, beside each other. They go with it.
pub(super) struct Handshakes {
    handshake: Handshake,
    tasks: JoinSet<Option<HandshakenClient>>,
    waiting: EvictingSet<LimitKey, AbortHandle>,
    /// Which member of `waiting` each task is.
    members: HashMap<Id, (LimitKey, MemberId)>,
    dropped: Arc<DropCounters>,
}

impl Handshakes {
    /// At most `max` clients, of which `max_per_address` from one address.
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

    /// The next one that has greeted. None where nobody is there to greet.
    pub(super) async fn next(&mut self) -> Option<HandshakenClient> {
        loop {
            // One that was cut, or has told of its panic, is as one that failed.
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
    let read_first_bytes = async {
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
    match timeout(HANDSHAKE_TIMEOUT, read_first_bytes).await {
        Ok(Ok(client)) => Some(client),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a greeting failed");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "a greeting took too long");
            None
        }
    }
}

impl Handshake {
    /// Waits for the words. Whoever reads the stream then will read them, too.
    async fn read_first_bytes(self, stream: &mut Stream) -> io::Result<()> {
        match self {
            Self::Http1 => match stream.wait_readable().await? {
                true => Ok(()),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            },
            Self::Http2 => {
                let mut missing = &PREFACE[..];
                while !missing.is_empty() {
                    let mut handshake = [0; PREFACE.len()];
                    let length = stream.read(&mut handshake[..missing.len()]).await?;
                    if length == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let rest = missing.strip_prefix(&handshake[..length]);
                    missing = rest.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not HTTP/2"))?;
                }
                stream.prepend(PREFACE);
                Ok(())
            }
        }
    }
}
