//! Acceptance of connections: a bounded number of clients that have completed their handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
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
use crate::evicting_set::{Membership, SharedEvictingSet};
use crate::protection::Protection;

/// Maximum number of clients that have not completed their handshake. They do not count as connections.
const MAX_HANDSHAKES: usize = 2_048;
/// Maximum number of such clients from one address.
const MAX_HANDSHAKES_PER_ADDRESS: usize = 512;
/// Time that a displaced connection has to close before the next one is displaced.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(200);
/// Delay after the system had no file descriptor for a connection. A connection that ends frees one.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Minimum time between two failures for the second one to be logged. Failures that follow each other faster are logged
/// once.
const MIN_QUIET_TIME: Duration = Duration::from_secs(60);

/// Limits on the connections of a port.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Maximum number of anonymous connections from one address: connections over which no authenticated call has come.
    pub anonymous_per_address: usize,
    /// Proxies, which carry the calls of many clients: `anonymous_per_address` does not apply to them.
    pub trusted_proxies: Arc<[Network]>,
}

/// Permit for one connection. It is held as long as the connection is open.
pub(super) struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    anonymous: Option<AnonymousConnection>,
    /// Receives a message when the connection must close to make room for another one.
    evicted: Option<oneshot::Receiver<()>>,
    displaced: bool,
}

impl ConnectionPermit {
    /// Takes the membership among anonymous connections. Once that is dropped, the connection is not displaced any
    /// more.
    pub(super) fn take_anonymous(&mut self) -> Option<AnonymousConnection> {
        self.anonymous.take()
    }

    /// Completes when the connection must close to make room for another one.
    pub(super) fn poll_evicted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(evicted) = &mut self.evicted
            && let Poll::Ready(message) = Pin::new(evicted).poll(context)
        {
            self.evicted = None;
            // A sender that was dropped without a message: the connection has become authenticated.
            self.displaced = message.is_ok();
        }
        if self.displaced { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Membership of a connection among the anonymous ones.
type AnonymousConnection = Membership<LimitKey, oneshot::Sender<()>>;

/// Accepts connections up to a limit. Further ones wait in the queue of the operating system.
pub(super) struct Acceptor {
    port: Port,
    permits: Arc<Semaphore>,
    /// Connections over which no authenticated call has come, by address.
    anonymous_connections: SharedEvictingSet<LimitKey, oneshot::Sender<()>>,
    trusted_proxies: Arc<[Network]>,
    handshakes: Handshakes,
    /// A client that has completed its handshake and waits for a permit. It is kept here, so that it is not lost when
    /// the wait is cancelled.
    waiting_client: Option<HandshakenClient>,
    failures: FailureLog,
}

impl Acceptor {
    pub(super) fn new(port: Port, limits: ConnectionLimits, handshake: Handshake) -> Self {
        let (max, per_address) = match Protection::Handshakes.is_off() {
            true => (MAX_HANDSHAKES_PER_ADDRESS, MAX_HANDSHAKES_PER_ADDRESS),
            false => (MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS),
        };
        let handshakes = Handshakes::new(handshake, max, per_address, Arc::clone(&port.dropped));
        let anonymous_connections = SharedEvictingSet::new(limits.max_connections, limits.anonymous_per_address);
        Self {
            port,
            permits: Arc::new(Semaphore::new(limits.max_connections)),
            anonymous_connections,
            trusted_proxies: limits.trusted_proxies,
            handshakes,
            waiting_client: None,
            failures: FailureLog::default(),
        }
    }

    /// Returns the next connection and its permit. No connection waits for the handshake of another one. If there is no
    /// permit, an anonymous connection is displaced: the oldest one of the address that has most of them.
    pub(super) async fn next(&mut self) -> (HandshakenClient, ConnectionPermit) {
        if self.waiting_client.is_none() {
            self.waiting_client = Some(self.next_client().await);
        }
        let permit = self.permit().await;
        let client = self.waiting_client.take().expect("it has arrived");
        let permit = self.connection_permit(permit, client.address.ip());
        (client, permit)
    }

    /// Waits for a permit for the client that has arrived.
    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return permit;
        }
        loop {
            self.make_room();
            if let Ok(permit) = timeout(EVICTION_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await {
                return permit.expect("the semaphore is never closed");
            }
        }
    }

    fn connection_permit(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> ConnectionPermit {
        let trusted = self.trusted_proxies.iter().any(|network| network.contains(address));
        if trusted || Protection::Connections.is_off() {
            return ConnectionPermit { _permit: permit, anonymous: None, evicted: None, displaced: false };
        }
        let limit_key = LimitKey::of_address(Some(ClientAddress::new(address)));
        let (evict, evicted) = oneshot::channel();
        let (anonymous, evicted_member) = self.anonymous_connections.join(limit_key, evict);
        self.close(evicted_member);
        ConnectionPermit { _permit: permit, anonymous: Some(anonymous), evicted: Some(evicted), displaced: false }
    }

    /// Requests the closing of an anonymous connection, if there is one.
    fn make_room(&self) {
        loop {
            let evicted = self.anonymous_connections.evict();
            // A connection that has already ended makes no room.
            if evicted.is_none() || self.close(evicted) {
                return;
            }
        }
    }

    /// Requests the closing of a connection. Returns whether it was still open.
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
                // Completed handshakes come first. They are bounded, and a newly accepted client may displace one that
                // is not complete.
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
                // Without this option answers wait for acknowledgements. A failure costs time only.
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

/// Time of the last failure. At its limit of files the system accepts one connection and fails for the next one, again
/// and again: only the first failure is logged.
#[derive(Default)]
struct FailureLog(Option<Instant>);

impl FailureLog {
    fn should_log(&mut self, now: Instant) -> bool {
        self.0.replace(now).is_none_or(|last| now - last > MIN_QUIET_TIME)
    }
}

#[cfg(test)]
mod tests;
