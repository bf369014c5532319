//! Calls that nobody waits for any more.
//!
//! What a call has begun comes to its end without its caller, too: a transaction may be open, or an attempt must be
//! counted. But one that only reads, and has waited for its turn so far, has begun nothing. To drop it then makes room
//! for somebody who waits.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

tokio::task_local! {
    static CALL: Call;
}

/// What is known of a call while it runs. Clones are of the same call.
#[derive(Debug, Clone, Default)]
pub struct Call(Arc<State>);

/// Changed and looked at by whoever polls the call, or drops it: never by two at a time.
#[derive(Debug, Default)]
struct State {
    reads: AtomicBool,
    queues: AtomicBool,
    left: AtomicBool,
}

impl Call {
    /// Runs it.
    pub fn around<T>(self, call: impl Future<Output = T>) -> impl Future<Output = T> {
        CALL.scope(self, call)
    }

    /// May it be dropped? It only reads ([`may_lag`](crate::may_lag)), and waits for its turn.
    pub fn is_idle(&self) -> bool {
        self.0.reads.load(Ordering::Relaxed) && self.0.queues.load(Ordering::Relaxed)
    }

    /// Goes on with the rest of it for nobody, until it is done or idle. In the latter case there is no answer.
    pub async fn alone<T>(self, rest: impl Future<Output = T>) -> Option<T> {
        self.0.left.store(true, Ordering::Relaxed);
        let mut rest = pin!(rest);
        poll_fn(|context| match rest.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.is_idle() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// Waits for a turn, as part of a call. Until there is one the call may be dropped, if it only reads. One that only reads
/// for nobody does not even begin to wait, and never ends here.
pub async fn queued<T>(turn: impl Future<Output = T>) -> T {
    let Ok(call) = CALL.try_with(Call::clone) else { return turn.await };
    let _queues = Queues::begin(&call);
    if call.is_idle() && call.0.left.load(Ordering::Relaxed) {
        return pending().await;
    }
    turn.await
}

/// Says of the call that this is part of that it only reads.
pub(crate) fn only_reads() {
    let _ = CALL.try_with(|call| call.0.reads.store(true, Ordering::Relaxed));
}

/// A wait for a turn.
struct Queues<'a>(&'a Call);

impl<'a> Queues<'a> {
    fn begin(call: &'a Call) -> Self {
        call.0.queues.store(true, Ordering::Relaxed);
        Self(call)
    }
}

impl Drop for Queues<'_> {
    fn drop(&mut self) {
        self.0.0.queues.store(false, Ordering::Relaxed);
    }
}
