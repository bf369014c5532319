//! Work that continues after its caller has left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use access_tokens_domain::ports::BoxFuture;
use tokio::runtime::Handle;

/// The resources that work occupies until it ends, for example a permit.
pub(super) trait Occupied: Send + Sized + Unpin + 'static {
    /// Returns whether the work may be dropped unfinished, because it has begun nothing.
    fn may_be_dropped(&self) -> bool {
        false
    }

    /// Runs the rest of work whose caller has left.
    fn finish<T: Send + 'static>(self, rest: BoxFuture<'static, T>) -> impl Future<Output = ()> + Send + 'static {
        async move {
            rest.await;
            drop(self);
        }
    }
}

/// A future that continues in a task of its own when it is dropped before its end, because it may hold a database connection (ADR 7).
/// A future that is not dropped needs no task, and no task has to be woken for its result.
pub(super) struct DetachOnDrop<T: Send + 'static, O: Occupied> {
    rest: Option<BoxFuture<'static, T>>,
    occupied: Option<O>,
    /// The result of work that panics. The panic's own message is for the panic hook only: it may hold anything.
    on_panic: fn() -> T,
}

impl<T: Send + 'static, O: Occupied> DetachOnDrop<T, O> {
    pub(super) fn new(work: BoxFuture<'static, T>, occupied: O, on_panic: fn() -> T) -> Self {
        Self { rest: Some(work), occupied: Some(occupied), on_panic }
    }

    /// Drops the work. Only while the database is down, so that no connection that the work holds is used again.
    pub(super) fn abort(&mut self) {
        self.rest = None;
    }
}

impl<T: Send + 'static, O: Occupied> Future for DetachOnDrop<T, O> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| rest.as_mut().poll(context)));
        let polled = polled.unwrap_or_else(|_| Poll::Ready((self.on_panic)()));
        if polled.is_ready() {
            self.rest = None;
            self.occupied = None;
        }
        polled
    }
}

impl<T: Send + 'static, O: Occupied> Drop for DetachOnDrop<T, O> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end.
        if let (Some(rest), Some(occupied), Ok(runtime)) =
            (self.rest.take(), self.occupied.take(), Handle::try_current())
            && !occupied.may_be_dropped()
        {
            runtime.spawn(occupied.finish(rest));
        }
    }
}
