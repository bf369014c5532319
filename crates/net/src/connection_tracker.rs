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
    unsent_budget: Arc<Semaphore>,
    /// Time at which streams that could last without limit end.
    stream_deadline: Instant,
    /// Whether the connection does not count as anonymous: an authenticated call has come over it, or its peer is a
    /// trusted proxy.
    authenticated: AtomicBool,
    /// Number of calls that began while the connection was anonymous and that have not been processed yet.
    unprocessed: AtomicUsize,
    /// Woken when that number becomes 0.
    waker: AtomicWaker,
    /// Membership among the anonymous connections. It is dropped with the first authenticated call.
    anonymous: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

#[derive(Debug)]
struct Counts {
    in_progress: usize,
    started: u64,
    idle_since: Instant,
}

impl ConnectionTracker {
    /// Tracks a new connection. Its streams end at this age. `anonymous` is dropped with the first authenticated call.
    pub(crate) fn of_connection(age: Duration, anonymous: Option<impl Debug + Send + Sync + 'static>) -> Self {
        let (now, authenticated) = (Instant::now(), AtomicBool::new(anonymous.is_none()));
        let anonymous = anonymous.map(|anonymous| Box::new(anonymous) as Box<dyn Debug + Send + Sync>);
        Self {
            counts: Mutex::new(Counts { in_progress: 0, started: 0, idle_since: now }),
            unsent_budget: Arc::new(Semaphore::new(UNSENT_BYTES_PER_CONNECTION)),
            stream_deadline: now + age,
            authenticated,
            unprocessed: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
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
    pub(crate) fn poll_all_processed(&self, cx: &Context<'_>) -> Poll<()> {
        if self.unprocessed.load(Ordering::Acquire) == 0 {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // The last call may have been processed in between.
        if self.unprocessed.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns the time since which no call is in progress. None while there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        let counts = self.state();
        (counts.in_progress == 0).then_some(counts.idle_since)
    }

    /// Returns whether there has been a call.
    pub(crate) fn has_calls(&self) -> bool {
        self.call_count() > 0
    }

    /// Returns how many calls have come.
    pub(crate) fn call_count(&self) -> u64 {
        self.state().started
    }

    /// Returns the bytes that are free for answers that wait to be sent.
    pub fn unsent_budget(&self) -> &Arc<Semaphore> {
        &self.unsent_budget
    }

    /// Returns the time at which streams that could last without limit end.
    pub fn stream_deadline(&self) -> Instant {
        self.stream_deadline
    }

    fn state(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call in progress.
#[derive(Debug)]
pub struct InFlightCall {
    tracker: Arc<ConnectionTracker>,
    received_at: Instant,
    ended: AtomicBool,
    /// Whether the call counts as not processed.
    unprocessed: AtomicBool,
}

impl InFlightCall {
    /// Begins a call over a connection.
    pub fn begin(tracker: Arc<ConnectionTracker>) -> Self {
        let mut counts = tracker.state();
        (counts.in_progress, counts.started) = (counts.in_progress + 1, counts.started + 1);
        drop(counts);
        let unprocessed = tracker.is_anonymous();
        if unprocessed {
            tracker.unprocessed.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            tracker,
            received_at: Instant::now(),
            ended: AtomicBool::new(false),
            unprocessed: AtomicBool::new(unprocessed),
        }
    }

    /// Records that the call has been processed: it is answered, or it waits for something else than its connection.
    pub fn mark_processed(&self) {
        if self.unprocessed.load(Ordering::Relaxed) && self.unprocessed.swap(false, Ordering::Relaxed) {
            self.tracker.unprocessed.fetch_sub(1, Ordering::Release);
            self.tracker.waker.wake();
        }
    }

    /// Returns the time at which the call came. tonic counts the deadline of the caller from this time.
    pub fn received_at(&self) -> Instant {
        self.received_at
    }

    /// Ends the call. The rest of its answer may still be sent, but does not count as a call.
    pub fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let mut counts = self.tracker.state();
            (counts.in_progress, counts.idle_since) = (counts.in_progress - 1, Instant::now());
        }
    }

    /// Returns the tracker of the connection.
    pub fn tracker(&self) -> &ConnectionTracker {
        &self.tracker
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        self.mark_processed();
        self.end();
    }
}
