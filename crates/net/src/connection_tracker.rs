//! Calls of a connection: how many are in progress, and whether one of them was authenticated.

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

/// Maximum number of bytes of larger answers of one connection that wait.
pub const UNSENT_BYTES_PER_CONNECTION: usize = 16 * 1024 * 1024;

/// What a connection tells of itself, along with every call that comes over it.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Who is at its other end.
    pub peer: Peer,
    /// Its calls.
    pub tracker: Arc<ConnectionTracker>,
    /// Where it comes from.
    pub remote: RemoteAddress,
}

/// How many calls of a connection are in progress, since when there are none, and room for answers that wait.
#[derive(Debug)]
pub struct ConnectionTracker {
    counts: Mutex<Counts>,
    unsent: Arc<Semaphore>,
    /// When streams that could last for ever end.
    ends: Instant,
    /// Whether the connection is none of a stranger: there was an authenticated call, or its peer is a trusted proxy.
    authenticated: AtomicBool,
    /// Number of calls that began while it was one of a stranger and that nothing has looked at.
    unseen: AtomicUsize,
    /// Woken when there are none.
    reader: AtomicWaker,
    /// Dropped with the first authenticated call.
    anonymous: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

#[derive(Debug)]
struct Counts {
    in_progress: usize,
    begun: u64,
    since: Instant,
}

impl ConnectionTracker {
    /// Of a new connection without calls, whose streams end at this age. `anonymous` is dropped with its first authenticated call.
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

    /// The same, that nothing depends on.
    pub fn detached() -> Self {
        Self::of_connection(Duration::from_secs(3_600), None::<()>)
    }

    /// An authenticated call has come over the connection.
    pub fn mark_authenticated(&self) {
        if !self.authenticated.load(Ordering::Relaxed) && !self.authenticated.swap(true, Ordering::Relaxed) {
            drop(self.anonymous.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Is the connection one of a stranger, over which no authenticated call has come?
    pub(crate) fn is_anonymous(&self) -> bool {
        !self.authenticated.load(Ordering::Relaxed)
    }

    /// Ready when there is no call of a stranger that nothing has looked at.
    pub(crate) fn poll_all_seen(&self, cx: &Context<'_>) -> Poll<()> {
        if self.unseen.load(Ordering::Acquire) == 0 {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        // The last one may have been seen meanwhile.
        if self.unseen.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Since when there is no call in progress. None while there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        let counts = self.state();
        (counts.in_progress == 0).then_some(counts.since)
    }

    /// Has there ever been a call?
    pub(crate) fn used(&self) -> bool {
        self.calls() > 0
    }

    /// Returns how many calls have come.
    pub(crate) fn calls(&self) -> u64 {
        self.state().begun
    }

    /// Room for its answers that wait.
    pub fn unsent(&self) -> &Arc<Semaphore> {
        &self.unsent
    }

    /// Returns when streams that could last for ever end.
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
    /// Whether it counts as unseen.
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

    /// It has been looked at: it is answered, or waits for something.
    pub fn seen(&self) {
        if self.unseen.load(Ordering::Relaxed) && self.unseen.swap(false, Ordering::Relaxed) {
            self.tracker.unseen.fetch_sub(1, Ordering::Release);
            self.tracker.reader.wake();
        }
    }

    /// Returns when the call came. tonic counts its caller's deadline from this moment.
    pub fn came(&self) -> Instant {
        self.came
    }

    /// It counts no longer, whatever is left of it.
    pub fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let mut counts = self.tracker.state();
            (counts.in_progress, counts.since) = (counts.in_progress - 1, Instant::now());
        }
    }

    /// The calls of its connection.
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
