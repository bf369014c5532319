//! Runs each call to completion after its client has disconnected, so that a transaction is never dropped half-way (ADR 7). While the
//! database is down, calls are refused at once and calls in progress are dropped: no connection from before is used again. A call that
//! only reads and waits in a queue of the store has begun nothing, and is dropped with its client.

use std::time::Duration;

use access_tokens_domain::ports::BoxFuture;
use access_tokens_domain::{Error, Reason};
use access_tokens_telemetry::in_current_trace;
use http::{Request, Response};
use tokio::sync::watch;
use tonic::body::Body;
use tracing::{Instrument, Span};

use super::admitted::Admitted;
use super::detach_on_drop::{DetachOnDrop, Occupied};
use super::method;
use super::middleware::{Handler, Middleware, Next};
use crate::status;

/// Time after which a call that found the database down may be tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct RunToCompletion {
    database_up: watch::Receiver<bool>,
}

impl RunToCompletion {
    pub(super) fn new(database_up: watch::Receiver<bool>) -> Self {
        Self { database_up }
    }
}

impl Middleware for RunToCompletion {
    async fn handle<N: Handler>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        if method::find(request.uri().path()).is_some_and(|method| method.probe) {
            // Probes are answered without a database.
            return run(next.run_detached(request), None).await;
        }
        let mut database_up = self.database_up.clone();
        if !*database_up.borrow_and_update() {
            return status::from_error(&database_unavailable()).into_http();
        }
        let admitted = request.extensions().get::<Admitted>().cloned();
        let mut call = run(next.run_detached(request), admitted);
        tokio::select! {
            biased;
            response = &mut call => response,
            () = database_down(&mut database_up) => {
                // Other calls may wait for what this one holds when the database is back.
                call.abort();
                let text = "the database does not answer any more; the call may or may not have taken effect";
                status::from_error(&unavailable(text)).into_http()
            }
        }
    }
}

/// Waits until the database is down.
pub(super) async fn database_down(database_up: &mut watch::Receiver<bool>) {
    if database_up.wait_for(|database_up| !database_up).await.is_err() {
        // The database is no longer watched, so that it never counts as down.
        std::future::pending().await
    }
}

type Call = DetachOnDrop<Response<Body>, CallInProgress>;

fn run(call: impl Future<Output = Response<Body>> + Send + 'static, admitted: Option<Admitted>) -> Call {
    let on_panic = || status::from_error(&Error::internal("a handler panicked")).into_http();
    DetachOnDrop::new(Box::pin(call), CallInProgress { admitted, span: Span::current() }, on_panic)
}

/// The resources that a call occupies until it ends.
struct CallInProgress {
    /// Permit of the call, held until the work ends. None for probes.
    admitted: Option<Admitted>,
    span: Span,
}

impl Occupied for CallInProgress {
    fn may_be_dropped(&self) -> bool {
        self.admitted.as_ref().is_some_and(|admitted| admitted.state().is_queued())
    }

    fn finish<T: Send + 'static>(self, rest: BoxFuture<'static, T>) -> impl Future<Output = ()> + Send + 'static {
        let Self { admitted, span } = self;
        let rest = async move {
            match &admitted {
                Some(admitted) => _ = admitted.state().run_abandoned(rest).await,
                None => _ = rest.await,
            }
        };
        in_current_trace(rest.instrument(span))
    }
}

/// Returns the error of calls that arrive while the database is down.
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

    use crate::layer::permits::{PermitPool, PoolLimits};

    async fn admitted() -> Admitted {
        let limits = PoolLimits { permits: 1, per_party: 1, waiting: 1, waiting_per_party: 1, waiting_bytes: 0 };
        let end = Instant::now() + Duration::from_secs(1);
        let permit = PermitPool::new(limits).acquire(LimitKey::of_address(None), 0, end).await;
        Admitted::new(Instant::now(), permit.expect("a permit"))
    }

    /// A call that waits twice, the second time for its turn in a queue, where it may be dropped if it only reads. The receiver resolves
    /// when the call has run to its end.
    async fn begin(reads: bool) -> (Call, [oneshot::Sender<()>; 2], oneshot::Receiver<()>) {
        let ((go, gone), (give, turn), (end, ended)) = (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let admitted = admitted().await;
        let call = admitted.clone();
        let work = async move {
            let _ = gone.await;
            let _ = if reads { call.state().queue(turn).await } else { turn.await };
            let _ = end.send(());
            Response::new(Body::empty())
        };
        (run(work, Some(admitted)), [go, give], ended)
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
