//! Work that comes to its end after its caller has gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use access_tokens_domain::ports::BoxFuture;
use access_tokens_domain::{Error, Result};
use tokio::runtime::Handle;

use super::permits::Permit;

/// The check of a credential. When it is dropped before its end, the rest runs in a task of its own, because it may hold a
/// database connection (ADR 7). Its permit is taken until then.
pub(super) struct DetachOnDrop<T: Send + 'static> {
    rest: Option<BoxFuture<'static, Result<T>>>,
    permit: Option<Permit>,
}

impl<T: Send + 'static> DetachOnDrop<T> {
    pub(super) fn new(work: BoxFuture<'static, Result<T>>, permit: Permit) -> Self {
        Self { rest: Some(work), permit: Some(permit) }
    }

    /// Drops the work. Only while there is no database, so that it holds no connection that is used again.
    pub(super) fn cut(&mut self) {
        self.rest = None;
    }
}

impl<T: Send + 'static> Future for DetachOnDrop<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        // A panic's own message is for the panic hook only: it may hold anything.
        let polled = catch_unwind(AssertUnwindSafe(|| rest.as_mut().poll(context)));
        let polled = polled.unwrap_or_else(|_| Poll::Ready(Err(Error::internal("the check of a credential panicked"))));
        if polled.is_ready() {
            self.rest = None;
            self.permit = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for DetachOnDrop<T> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end.
        if let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            let permit = self.permit.take();
            runtime.spawn(async move {
                let _ = rest.await;
                drop(permit);
            });
        }
    }
}
