//! Which connections have calls in progress: one that has had none for long is closed.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::body::Body;

use super::unsent::PER_CONNECTION;
use super::{Around, Handler, Layered, Next};
use crate::tls::Peer;

/// What a connection tells of itself, along with every call that comes over it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Who is at its other end.
    pub(crate) peer: Peer,
    /// Its calls.
    pub(crate) activity: Arc<Activity>,
}

/// How many calls of a connection are in progress, since when there are none, and room for answers that wait.
#[derive(Debug)]
pub(crate) struct Activity {
    counts: Mutex<Counts>,
    unsent: Arc<Semaphore>,
}

#[derive(Debug)]
struct Counts {
    in_progress: usize,
    since: Instant,
    used: bool,
}

impl Activity {
    /// There has been no call yet.
    pub(crate) fn new() -> Self {
        let counts = Counts { in_progress: 0, since: Instant::now(), used: false };
        Self { counts: Mutex::new(counts), unsent: Arc::new(Semaphore::new(PER_CONNECTION)) }
    }

    /// Since when there is no call in progress. None while there is one.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let counts = self.state();
        (counts.in_progress == 0).then_some(counts.since)
    }

    /// Has there ever been a call?
    pub(crate) fn used(&self) -> bool {
        self.state().used
    }

    /// Room for its answers that wait.
    pub(super) fn unsent(&self) -> &Arc<Semaphore> {
        &self.unsent
    }

    fn state(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call in progress.
#[derive(Debug)]
pub(super) struct Call {
    activity: Arc<Activity>,
    ended: AtomicBool,
}

impl Call {
    fn begin(activity: Arc<Activity>) -> Self {
        let mut counts = activity.state();
        (counts.in_progress, counts.used) = (counts.in_progress + 1, true);
        drop(counts);
        Self { activity, ended: AtomicBool::new(false) }
    }

    /// It counts no longer, whatever is left of it.
    pub(super) fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let mut counts = self.activity.state();
            (counts.in_progress, counts.since) = (counts.in_progress - 1, Instant::now());
        }
    }

    /// The calls of its connection.
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end();
    }
}

/// Marks the calls of connections, up to the end of their answers. Calls of this process have none.
#[derive(Debug, Clone, Copy)]
pub struct Occupy;

impl Around for Occupy {
    fn around<S: Handler>(
        self,
        mut request: Request<Body>,
        next: Next<S>,
    ) -> impl Future<Output = Response<Body>> + Send {
        let extensions = request.extensions_mut();
        // At once, and not when it is polled: in between, the connection would seem to be idle.
        let call = extensions.remove::<Origin>().map(|Origin { peer, activity }| {
            extensions.insert(peer);
            let call = Arc::new(Call::begin(activity));
            extensions.insert(Arc::clone(&call));
            call
        });
        async move {
            let response = next.run(request).await;
            let Some(call) = call else { return response };
            response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    // Held until the body goes: some stream for as long as the caller likes.
                    let _ = &call;
                    frame
                }))
            })
        }
    }
}

impl<S: Handler> tower::Layer<S> for Occupy {
    type Service = Layered<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Layered { around: *self, inner }
    }
}
