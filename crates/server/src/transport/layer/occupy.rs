//! Which connections have calls in progress: one that has had none for long is closed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::unsent::PER_CONNECTION;
use super::{Answers, Handler, Innermost};
use crate::tls::Peer;
use crate::transport::RemoteAddress;

/// What a connection tells of itself, along with every call that comes over it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Who is at its other end.
    pub(crate) peer: Peer,
    /// Its calls.
    pub(crate) activity: Arc<Activity>,
    /// Where it comes from.
    pub(crate) remote: RemoteAddress,
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
#[derive(Debug)]
pub struct Occupy<N> {
    inner: Arc<N>,
}

impl<N> Occupy<N> {
    /// Around all other layers.
    pub(super) fn new(inner: N) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl<N> Clone for Occupy<N> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// Occupies around a service alone.
#[derive(Debug, Clone, Copy)]
pub struct OccupyLayer;

impl<S: Handler> tower::Layer<S> for OccupyLayer {
    type Service = Occupy<Innermost<S>>;

    fn layer(&self, service: S) -> Self::Service {
        Occupy::new(Innermost(service))
    }
}

impl<N: Answers> Service<Request<Body>> for Occupy<N> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // At once, and not when it is polled: in between, the connection would seem to be idle.
        let call = request.extensions_mut().remove::<Origin>().map(|Origin { peer, activity, remote }| {
            let address = remote.client(request.headers());
            let extensions = request.extensions_mut();
            extensions.insert(address);
            extensions.insert(peer);
            let call = Arc::new(Call::begin(activity));
            extensions.insert(Arc::clone(&call));
            call
        });
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let response = inner.answer(request).await;
            let Some(call) = call else { return Ok(response) };
            Ok(response.map(|body| Body::new(Occupied { body, _call: call })))
        })
    }
}

/// An answer that holds its call until it goes: some stream for as long as the caller likes.
struct Occupied {
    body: Body,
    _call: Arc<Call>,
}

impl HttpBody for Occupied {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
