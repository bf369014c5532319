//! Who comes in: clients that have greeted, as many at once as are allowed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use access_tokens_gateway::Network;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::handshake::{Handshake, HandshakenClient, Handshakes};
use super::limit_key::LimitKey;
use super::port::Port;
use crate::client_address::ClientAddress;
use crate::evicting_set::{EvictingSet, MemberId};
use crate::protection::Protection;

/// Most clients that have not greeted yet. They have no place among the allowed connections.
const MAX_HANDSHAKES: usize = 2_048;
/// Most of those from one address.
const MAX_HANDSHAKES_PER_ADDRESS: usize = 512;
/// How long a connection that gives way may take before another one is told to.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(200);
/// After the system had no file left for a connection. One that ends makes room.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Failures with less between them are one trouble, and told once.
const MIN_QUIET_TIME: Duration = Duration::from_secs(60);

/// How many connections a port has.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Maximum number of connections from one address over which no authenticated call has come.
    pub anonymous_per_address: usize,
    /// Proxies that stand for many clients: the second bound is not for them.
    pub trusted_proxies: Arc<[Network]>,
}

/// A place among the allowed connections, for as long as it is kept.
pub(super) struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    anonymous: Option<AnonymousConnection>,
    /// Ends when the connection has to give way.
    evicted: Option<oneshot::Receiver<()>>,
    gone: bool,
}

impl ConnectionPermit {
    /// Takes out what makes the connection one of a stranger. Once that is dropped, the connection does not give way to others.
    pub(super) fn take_anonymous(&mut self) -> Option<AnonymousConnection> {
        self.anonymous.take()
    }

    /// Ready when the connection has to close.
    pub(super) fn poll_evicted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(evicted) = &mut self.evicted
            && let Poll::Ready(told) = Pin::new(evicted).poll(context)
        {
            self.evicted = None;
            // A sender that is gone without a word: the connection has become one of a known caller.
            self.gone = told.is_ok();
        }
        if self.gone { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The connections over which no authenticated call has come, by address.
type AnonymousConnections = Arc<Mutex<EvictingSet<LimitKey, oneshot::Sender<()>>>>;

/// Membership among the connections of strangers. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct AnonymousConnection {
    anonymous_connections: AnonymousConnections,
    limit_key: LimitKey,
    id: MemberId,
}

impl Drop for AnonymousConnection {
    fn drop(&mut self) {
        self.anonymous_connections.lock().unwrap_or_else(PoisonError::into_inner).remove(self.limit_key, self.id);
    }
}

/// Lets connections in, at most so many at once; further ones wait in the system's queue.
pub(super) struct Acceptor {
    port: Port,
    permits: Arc<Semaphore>,
    anonymous_connections: AnonymousConnections,
    trusted_proxies: Arc<[Network]>,
    handshakes: Handshakes,
    /// Has greeted, and waits for a place. Kept here, so that it is not lost with a wait that is given up.
    arrived: Option<HandshakenClient>,
    failures: FailureLog,
}

impl Acceptor {
    pub(super) fn new(port: Port, limits: ConnectionLimits, handshake: Handshake) -> Self {
        let (max, per_address) = match Protection::Handshakes.is_off() {
            true => (MAX_HANDSHAKES_PER_ADDRESS, MAX_HANDSHAKES_PER_ADDRESS),
            false => (MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS),
        };
        let handshakes = Handshakes::new(handshake, max, per_address, Arc::clone(&port.dropped));
        let anonymous_connections = EvictingSet::new(limits.max_connections, limits.anonymous_per_address);
        Self {
            port,
            permits: Arc::new(Semaphore::new(limits.max_connections)),
            anonymous_connections: Arc::new(Mutex::new(anonymous_connections)),
            trusted_proxies: limits.trusted_proxies,
            handshakes,
            arrived: None,
            failures: FailureLog::default(),
        }
    }

    /// The next connection, and its place. No connection waits for the handshake of another. Where there is no place, a stranger
    /// gives way: the oldest of the address that has most of them.
    pub(super) async fn next(&mut self) -> (HandshakenClient, ConnectionPermit) {
        if self.arrived.is_none() {
            self.arrived = Some(self.next_client().await);
        }
        let permit = self.permit().await;
        let client = self.arrived.take().expect("it has arrived");
        let permit = self.connection_permit(permit, client.address.ip());
        (client, permit)
    }

    /// A place for the connection that has arrived.
    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return permit;
        }
        loop {
            self.make_room();
            if let Ok(permit) = timeout(EVICTION_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await {
                return permit.expect("nobody closes the semaphore");
            }
        }
    }

    fn connection_permit(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> ConnectionPermit {
        let trusted = self.trusted_proxies.iter().any(|network| network.contains(address));
        if trusted || Protection::Connections.is_off() {
            return ConnectionPermit { _permit: permit, anonymous: None, evicted: None, gone: false };
        }
        let limit_key = LimitKey::of_address(Some(ClientAddress::new(address)));
        let (evict, evicted) = oneshot::channel();
        let (id, displaced) =
            self.anonymous_connections.lock().unwrap_or_else(PoisonError::into_inner).insert(limit_key, evict);
        self.close(displaced);
        let anonymous =
            AnonymousConnection { anonymous_connections: Arc::clone(&self.anonymous_connections), limit_key, id };
        ConnectionPermit { _permit: permit, anonymous: Some(anonymous), evicted: Some(evicted), gone: false }
    }

    /// Tells a connection of a stranger to close, if there is one.
    fn make_room(&self) {
        loop {
            let evicted = self.anonymous_connections.lock().unwrap_or_else(PoisonError::into_inner).evict();
            // One whose connection has ended has not made room.
            if evicted.is_none() || self.close(evicted) {
                return;
            }
        }
    }

    /// Tells a connection to close. Returns whether it was still there.
    fn close(&self, connection: Option<oneshot::Sender<()>>) -> bool {
        let closed = connection.is_some_and(|connection| connection.send(()).is_ok());
        if closed {
            self.port.dropped.connection();
        }
        closed
    }

    async fn next_client(&mut self) -> HandshakenClient {
        loop {
            tokio::select! {
                // Those who have greeted first: they are bounded, and whoever is accepted next may cut one that has not.
                biased;
                Some(client) = self.handshakes.next() => return client,
                (stream, address) = accept(&self.port.listener, &mut self.failures) => {
                    self.handshakes.begin(stream, address, self.port.tls.clone());
                }
            }
        }
    }
}

async fn accept(listener: &TcpListener, failures: &mut FailureLog) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without it answers wait for acknowledgements. A failure costs time only.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if failures.should_log(Instant::now()) {
                    tracing::warn!(%error, "no further connection can be accepted");
                }
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// When it failed last. At its limit the system lets one in, and fails for the next: that is no news.
#[derive(Default)]
struct FailureLog(Option<Instant>);

impl FailureLog {
    fn should_log(&mut self, now: Instant) -> bool {
        self.0.replace(now).is_none_or(|last| now - last > MIN_QUIET_TIME)
    }
}

#[cfg(test)]
mod tests;
