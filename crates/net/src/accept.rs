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

use super::greeting::{Greeted, Greeting, Greetings};
use super::party::Party;
use super::port::Port;
use crate::client_address::ClientAddress;
use crate::eviction::{EvictingSet, MemberId};
use crate::mutation::Guard;

/// Most clients that have not greeted yet. They have no place among the allowed connections.
const GREETINGS: usize = 2_048;
/// Most of those from one address.
const GREETINGS_PER_ADDRESS: usize = 512;
/// How long a connection that gives way may take before another one is told to.
const EVICTION_TIME: Duration = Duration::from_millis(200);
/// After the system had no file left for a connection. One that ends makes room.
const PAUSE: Duration = Duration::from_millis(50);
/// Failures with less between them are one trouble, and told once.
const CALM: Duration = Duration::from_secs(60);

/// How many connections a port has.
#[derive(Debug, Clone)]
pub struct Room {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections from one address over which no authenticated call has come.
    pub strangers_per_address: usize,
    /// Proxies that stand for many clients: the second bound is not for them.
    pub trusted_proxies: Arc<[Network]>,
}

/// A place among the allowed connections, for as long as it is kept.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    stranger: Option<Stranger>,
    /// Ends when the connection has to give way.
    evicted: Option<oneshot::Receiver<()>>,
    gone: bool,
}

impl Slot {
    /// Takes out what makes the connection one of a stranger. Once that is dropped, the connection does not give way to others.
    pub(super) fn take_stranger(&mut self) -> Option<Stranger> {
        self.stranger.take()
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
type Strangers = Arc<Mutex<EvictingSet<Party, oneshot::Sender<()>>>>;

/// Membership among the connections of strangers. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Stranger {
    strangers: Strangers,
    party: Party,
    id: MemberId,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).remove(self.party, self.id);
    }
}

/// Lets connections in, at most so many at once; further ones wait in the system's queue.
pub(super) struct Incoming {
    port: Port,
    slots: Arc<Semaphore>,
    strangers: Strangers,
    trusted_proxies: Arc<[Network]>,
    greetings: Greetings,
    /// Has greeted, and waits for a place. Kept here, so that it is not lost with a wait that is given up.
    arrived: Option<Greeted>,
    trouble: Trouble,
}

impl Incoming {
    pub(super) fn new(port: Port, room: Room, words: Greeting) -> Self {
        let (max, per_address) = match Guard::Handshakes.is_off() {
            true => (GREETINGS_PER_ADDRESS, GREETINGS_PER_ADDRESS),
            false => (GREETINGS, GREETINGS_PER_ADDRESS),
        };
        let greetings = Greetings::new(words, max, per_address, Arc::clone(&port.dropped));
        let strangers = EvictingSet::new(room.connections, room.strangers_per_address);
        Self {
            port,
            slots: Arc::new(Semaphore::new(room.connections)),
            strangers: Arc::new(Mutex::new(strangers)),
            trusted_proxies: room.trusted_proxies,
            greetings,
            arrived: None,
            trouble: Trouble::default(),
        }
    }

    /// The next connection, and its place. No connection waits for the handshake of another. Where there is no place, a stranger
    /// gives way: the oldest of the address that has most of them.
    pub(super) async fn next(&mut self) -> (Greeted, Slot) {
        if self.arrived.is_none() {
            self.arrived = Some(self.greeted().await);
        }
        let permit = self.permit().await;
        let greeted = self.arrived.take().expect("it has arrived");
        let slot = self.slot(permit, greeted.address.ip());
        (greeted, slot)
    }

    /// A place for the connection that has arrived.
    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return permit;
        }
        loop {
            self.make_room();
            if let Ok(slot) = timeout(EVICTION_TIME, Arc::clone(&self.slots).acquire_owned()).await {
                return slot.expect("nobody closes the semaphore");
            }
        }
    }

    fn slot(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> Slot {
        let trusted = self.trusted_proxies.iter().any(|network| network.contains(address));
        if trusted || Guard::Connections.is_off() {
            return Slot { _permit: permit, stranger: None, evicted: None, gone: false };
        }
        let party = Party::of_address(Some(ClientAddress::new(address)));
        let (evict, evicted) = oneshot::channel();
        let (id, displaced) = self.strangers.lock().unwrap_or_else(PoisonError::into_inner).insert(party, evict);
        self.close(displaced);
        let stranger = Stranger { strangers: Arc::clone(&self.strangers), party, id };
        Slot { _permit: permit, stranger: Some(stranger), evicted: Some(evicted), gone: false }
    }

    /// Tells a connection of a stranger to close, if there is one.
    fn make_room(&self) {
        loop {
            let evicted = self.strangers.lock().unwrap_or_else(PoisonError::into_inner).evict();
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

    async fn greeted(&mut self) -> Greeted {
        loop {
            tokio::select! {
                // Those who have greeted first: they are bounded, and whoever is accepted next may cut one that has not.
                biased;
                Some(greeted) = self.greetings.next() => return greeted,
                (stream, address) = accept(&self.port.listener, &mut self.trouble) => {
                    self.greetings.begin(stream, address, self.port.tls.clone());
                }
            }
        }
    }
}

async fn accept(listener: &TcpListener, trouble: &mut Trouble) -> (TcpStream, SocketAddr) {
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
                if trouble.is_news(Instant::now()) {
                    tracing::warn!(%error, "no further connection can be accepted");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// When it failed last. At its limit the system lets one in, and fails for the next: that is no news.
#[derive(Default)]
struct Trouble(Option<Instant>);

impl Trouble {
    fn is_news(&mut self, now: Instant) -> bool {
        self.0.replace(now).is_none_or(|last| now - last > CALM)
    }
}

#[cfg(test)]
mod tests;
