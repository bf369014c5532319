//! Runs each call to completion after its client has left, so that a transaction is never dropped half-way (ADR 7). While the
//! database is away, calls are refused at once and calls in progress are dropped: no connection from before is used again. A call
//! that only reads and waits in a queue of the store has begun nothing, and is dropped with its client.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use access_tokens_telemetry::in_current_trace;
use futures::FutureExt;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::body::Body;
use tracing::{Instrument, Span};

use super::admitted::Admitted;
use super::method;
use super::middleware::{Handler, Middleware, Next};
use crate::status;

/// When to try again without a database.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct RunToCompletion {
    database_up: watch::Receiver<bool>,
}

impl RunToCompletion {
    /// As long as the database is present.
    pub(super) fn new(database_up: watch::Receiver<bool>) -> Self {
        Self { database_up }
    }
}

impl Middleware for RunToCompletion {
    async fn handle<N: Handler>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        if method::find(request.uri().path()).is_some_and(|method| method.probe) {
            // Whether the service is alive can be asked without a database.
            return Work::new(next.run_detached(request), None).await;
        }
        let mut database_up = self.database_up.clone();
        if !*database_up.borrow_and_update() {
            return status::from_error(&database_unavailable()).into_http();
        }
        let admitted = request.extensions().get::<Admitted>().cloned();
        let mut work = Work::new(next.run_detached(request), admitted);
        tokio::select! {
            biased;
            response = &mut work => response,
            () = database_down(&mut database_up) => {
                // What it holds, others may be waiting for when the database is back.
                work.cut();
                let text = "the database does not answer any more; the call may or may not have taken effect";
                status::from_error(&unavailable(text)).into_http()
            }
        }
    }
}

/// Ends when the database is away.
pub(super) async fn database_down(database_up: &mut watch::Receiver<bool>) {
    if database_up.wait_for(|database_up| !database_up).await.is_err() {
        // Nobody watches: it never is.
        std::future::pending().await
    }
}

/// The work of a call. When it is dropped before its end, the rest runs in a task of its own, unless the call waits in a queue to
/// read. Without that no task is needed, and none has to be woken for the answer.
struct Work {
    rest: Option<Pin<Box<dyn Future<Output = Response<Body>> + Send>>>,
    /// The permit is taken until the work ends.
    admitted: Option<Admitted>,
    span: Span,
}

impl Work {
    fn new(work: impl Future<Output = Response<Body>> + Send + 'static, admitted: Option<Admitted>) -> Self {
        // A panic's own message is for the panic hook only: it may hold anything.
        let panicked = |_| status::from_error(&Error::internal("a handler panicked")).into_http();
        let rest = AssertUnwindSafe(work).catch_unwind().map(move |done| done.unwrap_or_else(panicked));
        Self { rest: Some(Box::pin(rest)), admitted, span: Span::current() }
    }

    fn is_queued(&self) -> bool {
        self.admitted.as_ref().is_some_and(|admitted| admitted.state().is_queued())
    }

    /// Drops it.
    fn cut(mut self) {
        self.rest = None;
    }
}

impl Future for Work {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response<Body>> {
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        let done = rest.as_mut().poll(context);
        if done.is_ready() {
            self.rest = None;
        }
        done
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Without a runtime the process is at its end.
        if let Some(rest) = self.rest.take()
            && !self.is_queued()
            && let Ok(runtime) = Handle::try_current()
        {
            let admitted = self.admitted.take();
            let rest = async move {
                match &admitted {
                    Some(admitted) => _ = admitted.state().run_abandoned(rest).await,
                    None => _ = rest.await,
                }
            };
            runtime.spawn(in_current_trace(rest.instrument(self.span.clone())));
        }
    }
}

/// The error of calls that come while the database is away.
pub(super) fn database_unavailable() -> Error {
    unavailable("the database does not answer; try again")
}

fn unavailable(text: &'static str) -> Error {
    Error::new(Reason::DatabaseUnavailable, text).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::*;
    use access_tokens_net::limit_key::LimitKey;

    use crate::layer::permits::{PermitPool, PoolLimits, Wait};

    async fn admitted() -> Admitted {
        let limits = PoolLimits { permits: 1, per_party: 1, waiting: 1, waiting_per_party: 1, waiting_bytes: 0 };
        let wait = Wait { longest: Duration::from_secs(1), deadline: None };
        let permit = PermitPool::new(limits).acquire(LimitKey::of_address(None), 0, wait).await;
        Admitted::new(Instant::now(), permit.expect("a permit"))
    }

    /// A call that waits twice, the second time for a turn in a queue, where it may be dropped if it only reads. The receiver tells
    /// whether it has come to its end.
    async fn begin(reads: bool) -> (Work, [oneshot::Sender<()>; 2], oneshot::Receiver<()>) {
        let ((go, gone), (give, turn), (end, ended)) = (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let admitted = admitted().await;
        let call = admitted.clone();
        let work = async move {
            let _ = gone.await;
            let _ = if reads { call.state().queue(turn).await } else { turn.await };
            let _ = end.send(());
            Response::new(Body::empty())
        };
        (Work::new(work, Some(admitted)), [go, give], ended)
    }

    #[tokio::test]
    async fn a_read_that_waits_in_a_queue_is_dropped_with_its_client() {
        for queues in [true, false] {
            let (mut work, [go, give], ended) = begin(true).await;
            assert!(poll!(&mut work).is_pending());
            let mut go = Some(go);
            if queues {
                drop(go.take());
                assert!(poll!(&mut work).is_pending());
            }
            drop(work);
            assert_eq!(give.is_closed(), queues, "what it has begun goes on");
            drop(go);
            assert!(ended.await.is_err(), "it has not had its turn");
            assert!(give.is_closed());
        }
    }

    #[tokio::test]
    async fn other_work_runs_to_its_end() {
        let (mut work, [go, give], ended) = begin(false).await;
        drop(go);
        assert!(poll!(&mut work).is_pending());
        drop(work);
        drop(give);
        ended.await.expect("the work went on to its end");
    }
}
