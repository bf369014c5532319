//! Who comes in: clients that have greeted, as many at once as are allowed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::greeting::{Greeted, Greeting, Greetings};
use super::port::Port;

/// Most clients that have not greeted yet. They have no place among the allowed connections.
const GREETINGS: usize = 512;
/// After the system had no file left for a connection. One that ends makes room.
const PAUSE: Duration = Duration::from_millis(50);
/// Failures with less between them are one trouble, and told once.
const CALM: Duration = Duration::from_secs(60);

/// A place among the allowed connections, for as long as it is kept.
pub(super) type Slot = OwnedSemaphorePermit;

/// Lets connections in, at most so many at once; further ones wait in the system's queue.
pub(super) struct Incoming {
    port: Port,
    slots: Arc<Semaphore>,
    greetings: Greetings,
    trouble: Trouble,
}

impl Incoming {
    pub(super) fn new(port: Port, limit: usize, words: Greeting) -> Self {
        Self {
            port,
            slots: Arc::new(Semaphore::new(limit)),
            greetings: Greetings::new(words, GREETINGS),
            trouble: Trouble::default(),
        }
    }

    /// The next connection, and its place. Nobody waits for the greeting of somebody else.
    pub(super) async fn next(&mut self) -> (Greeted, Slot) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("nobody closes the semaphore");
        loop {
            tokio::select! {
                // Those who have greeted first: they are bounded, and whoever is accepted next may cut one that has not.
                biased;
                Some(greeted) = self.greetings.next() => return (greeted, slot),
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
