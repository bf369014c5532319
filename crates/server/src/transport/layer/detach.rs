//! Goes on with each call when nobody waits for it any more, as long as there is a database. Without one a call is refused at
//! once, and those under way are cut: the one moment in which any work may be dropped, as no connection of before is used
//! again. What only reads, and has not been asked of the database yet, goes with whoever waits for it.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use access_tokens_storage::Call;
use futures::FutureExt;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::body::Body;
use tracing::{Instrument, Span};

use super::admit::Admitted;
use super::{Answers, Around, Next, method};
use crate::telemetry::carried;
use crate::transport::status;

/// When to try again without a database.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Detach {
    present: watch::Receiver<bool>,
}

impl Detach {
    /// As long as the database is present.
    pub(super) fn new(present: watch::Receiver<bool>) -> Self {
        Self { present }
    }
}

impl Around for Detach {
    async fn around<N: Answers>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        if method::find(request.uri().path()).is_some_and(|method| method.probe) {
            // Whether the service is alive can be asked without a database.
            return Work::new(next.run_detached(request)).await;
        }
        let mut present = self.present.clone();
        if !*present.borrow_and_update() {
            return status::from_error(&away()).into_http();
        }
        let place = request.extensions_mut().remove::<Admitted>();
        let response = next.run_detached(request);
        let mut work = Work::new(async move {
            let response = response.await;
            // The place is taken until the work is done, whoever still waits for it.
            drop(place);
            response
        });
        tokio::select! {
            biased;
            response = &mut work => response,
            () = lost(&mut present) => {
                // What it holds, others may be waiting for when the database is back.
                work.cut();
                let text = "the database does not answer any more; the call may or may not have taken effect";
                status::from_error(&unavailable(text)).into_http()
            }
        }
    }
}

/// Ends when the database is away.
pub(super) async fn lost(present: &mut watch::Receiver<bool>) {
    if present.wait_for(|present| !present).await.is_err() {
        // Nobody watches: it never is.
        std::future::pending().await
    }
}

/// Work that is not dropped with whoever waits for it, unless it is idle: what is left of it then goes on in a task of its
/// own. Until then it needs none, and nobody has to be woken for its answer.
struct Work {
    rest: Option<Pin<Box<dyn Future<Output = Response<Body>> + Send>>>,
    call: Call,
    span: Span,
}

impl Work {
    fn new(work: impl Future<Output = Response<Body>> + Send + 'static) -> Self {
        // A panic's own message is for the panic hook only: it may hold anything.
        let panicked = |_| status::from_error(&Error::internal("a handler panicked")).into_http();
        let call = Call::default();
        let rest =
            AssertUnwindSafe(call.clone().around(work)).catch_unwind().map(move |done| done.unwrap_or_else(panicked));
        Self { rest: Some(Box::pin(rest)), call, span: Span::current() }
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
            && !self.call.is_idle()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(carried(self.call.clone().alone(rest).instrument(self.span.clone())));
        }
    }
}

/// The error of calls that come while the database is away.
pub(super) fn away() -> Error {
    unavailable("the database does not answer; try again")
}

fn unavailable(text: &'static str) -> Error {
    Error::new(Reason::DatabaseUnavailable, text).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use access_tokens_storage::{may_lag, queued};
    use futures::poll;
    use tokio::sync::oneshot;

    use super::*;

    /// A call that waits twice, the second time for its turn. Tells what has become of it.
    fn begin(reads: bool) -> (Work, [oneshot::Sender<()>; 2], oneshot::Receiver<()>) {
        let ((go, gone), (give, turn), (end, ended)) = (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let work = Work::new(async move {
            if reads {
                may_lag();
            }
            let _ = gone.await;
            let _ = queued(turn).await;
            let _ = end.send(());
            Response::new(Body::empty())
        });
        (work, [go, give], ended)
    }

    #[tokio::test]
    async fn what_only_reads_and_waits_for_its_turn_goes_with_its_caller() {
        for queues in [true, false] {
            let (mut work, [go, give], ended) = begin(true);
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
    async fn whatever_else_comes_to_its_end() {
        let (mut work, [go, give], ended) = begin(false);
        drop(go);
        assert!(poll!(&mut work).is_pending());
        drop(work);
        drop(give);
        ended.await.expect("the work went on to its end");
    }
}
