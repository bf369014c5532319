//! Tracks the calls of a connection: the number in progress, and whether one of them was authenticated.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::client_address::RemoteAddress;
use crate::tls::Peer;

/// Maximum number of bytes of large answers of one connection that wait to be sent.
pub const UNSENT_BYTES_PER_CONNECTION: usize = 16 * 1024 * 1024;

/// Facts about a connection. Every call that comes over the connection carries them.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The client, as its certificate identifies it.
    pub peer: Peer,
    /// The calls of the connection.
    pub tracker: Arc<ConnectionTracker>,
    /// The address of the client.
    pub remote: RemoteAddress,
}

/// The calls of one connection: the number in progress, the time since which there is none, and the memory for answers
/// that wait.
#[derive(Debug)]
pub struct ConnectionTracker {
    counts: Mutex<Counts>,
    unsent: Arc<Semaphore>,
    /// Time at which streams that could last without limit end.
    ends: Instant,
    /// Whether the connection does not count as anonymous: an authenticated call has come over it, or its peer is a
    /// trusted proxy.
    authenticated: AtomicBool,
    /// Number of calls that began while the connection was anonymous and that have not been processed yet.
    unseen: AtomicUsize,
    /// Woken when that number becomes 0.
    reader: AtomicWaker,
    /// Membership among the anonymous connections. It is dropped with the first authenticated call.
    anonymous: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

#[derive(Debug)]
struct Counts {
    in_progress: usize,
    begun: u64,
    since: Instant,
}

impl ConnectionTracker {
    /// Tracks a new connection. Its streams end at this age. `anonymous` is dropped with the first authenticated call.
    pub(crate) fn of_connection(age: Duration, anonymous: Option<impl Debug + Send + Sync + 'static>) -> Self {
        let (now, authenticated) = (Instant::now(), AtomicBool::new(anonymous.is_none()));
        let anonymous = anonymous.map(|anonymous| Box::new(anonymous) as Box<dyn Debug + Send + Sync>);
        Self {
            counts: Mutex::new(Counts { in_progress: 0, begun: 0, since: now }),
            unsent: Arc::new(Semaphore::new(UNSENT_BYTES_PER_CONNECTION)),
            ends: now + age,
            authenticated,
            unseen: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
            anonymous: Mutex::new(anonymous),
        }
    }

    /// Tracks no real connection, for tests.
    pub fn detached() -> Self {
        Self::of_connection(Duration::from_secs(3_600), None::<()>)
    }

    /// Records that an authenticated call has come over the connection.
    pub fn mark_authenticated(&self) {
        if !self.authenticated.load(Ordering::Relaxed) && !self.authenticated.swap(true, Ordering::Relaxed) {
            drop(self.anonymous.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Returns whether the connection is anonymous: no authenticated call has come over it.
    pub(crate) fn is_anonymous(&self) -> bool {
        !self.authenticated.load(Ordering::Relaxed)
    }

    /// Completes when every call of an anonymous connection has been processed.
    pub(crate) fn poll_all_seen(&self, cx: &Context<'_>) -> Poll<()> {
        if self.unseen.load(Ordering::Acquire) == 0 {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        // The last call may have been processed in between.
        if self.unseen.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns the time since which no call is in progress. None while there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        let counts = self.state();
        (counts.in_progress == 0).then_some(counts.since)
    }

    /// Returns whether there has been a call.
    pub(crate) fn used(&self) -> bool {
        self.calls() > 0
    }

    /// Returns how many calls have come.
    pub(crate) fn calls(&self) -> u64 {
        self.state().begun
    }

    /// Returns the bytes that are free for answers that wait to be sent.
    pub fn unsent(&self) -> &Arc<Semaphore> {
        &self.unsent
    }

    /// Returns the time at which streams that could last without limit end.
    pub fn ends(&self) -> Instant {
        self.ends
    }

    fn state(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call in progress.
#[derive(Debug)]
pub struct InFlightCall {
    tracker: Arc<ConnectionTracker>,
    came: Instant,
    ended: AtomicBool,
    /// Whether the call counts as not processed.
    unseen: AtomicBool,
}

impl InFlightCall {
    /// Begins a call over a connection.
    pub fn begin(tracker: Arc<ConnectionTracker>) -> Self {
        let mut counts = tracker.state();
        (counts.in_progress, counts.begun) = (counts.in_progress + 1, counts.begun + 1);
        drop(counts);
        let unseen = tracker.is_anonymous();
        if unseen {
            tracker.unseen.fetch_add(1, Ordering::Relaxed);
        }
        Self { tracker, came: Instant::now(), ended: AtomicBool::new(false), unseen: AtomicBool::new(unseen) }
    }

    /// Records that the call has been processed: it is answered, or it waits for something else than its connection.
    pub fn seen(&self) {
        if self.unseen.load(Ordering::Relaxed) && self.unseen.swap(false, Ordering::Relaxed) {
            self.tracker.unseen.fetch_sub(1, Ordering::Release);
            self.tracker.reader.wake();
        }
    }

    /// Returns the time at which the call came. tonic counts the deadline of the caller from this time.
    pub fn came(&self) -> Instant {
        self.came
    }

    /// Ends the call. What is left of its answer does not count.
    pub fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let mut counts = self.tracker.state();
            (counts.in_progress, counts.since) = (counts.in_progress - 1, Instant::now());
        }
    }

    /// Returns the tracker of the connection.
    pub fn tracker(&self) -> &ConnectionTracker {
        &self.tracker
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        self.seen();
        self.end();
    }
}
