//! Which connections have calls in progress: one that has had none for long is closed.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::unsent::PER_CONNECTION;
use super::{Answers, Handler, Innermost, method};
use crate::tls::Peer;
use crate::transport::{RemoteAddress, status};

/// What the paths of probes begin with.
const PROBES: &str = "/grpc.";
/// After this time a stream of a probe does not keep its connection from being idle.
const LONG_LIVED_IDLE: Duration = Duration::from_secs(60);

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
    /// When streams that could last for ever end.
    ends: Instant,
    /// Whether the connection is none of a stranger: there was an authenticated call, or its peer is a trusted proxy.
    authenticated: AtomicBool,
    /// Number of calls that began while it was one of a stranger and that nothing has looked at.
    unseen: AtomicUsize,
    /// Woken when there are none.
    reader: AtomicWaker,
    /// Dropped with the first authenticated call.
    stranger: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

#[derive(Debug)]
struct Counts {
    in_progress: usize,
    begun: u64,
    since: Instant,
}

impl Activity {
    /// Of a new connection without calls, whose streams end at this age. `stranger` is dropped with its first authenticated call.
    pub(crate) fn of_connection(age: Duration, stranger: Option<impl Debug + Send + Sync + 'static>) -> Self {
        let (now, authenticated) = (Instant::now(), AtomicBool::new(stranger.is_none()));
        let stranger = stranger.map(|stranger| Box::new(stranger) as Box<dyn Debug + Send + Sync>);
        Self {
            counts: Mutex::new(Counts { in_progress: 0, begun: 0, since: now }),
            unsent: Arc::new(Semaphore::new(PER_CONNECTION)),
            ends: now + age,
            authenticated,
            unseen: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
            stranger: Mutex::new(stranger),
        }
    }

    /// The same, that nothing depends on.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::of_connection(Duration::from_secs(3_600), None::<()>)
    }

    /// An authenticated call has come over the connection.
    pub(super) fn authenticate(&self) {
        if !self.authenticated.load(Ordering::Relaxed) && !self.authenticated.swap(true, Ordering::Relaxed) {
            drop(self.stranger.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Is the connection one of a stranger, over which no authenticated call has come?
    pub(crate) fn is_stranger(&self) -> bool {
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
    pub(crate) fn idle_since(&self) -> Option<Instant> {
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
    came: Instant,
    ended: AtomicBool,
    /// Whether it counts as unseen.
    unseen: AtomicBool,
}

impl Call {
    fn begin(activity: Arc<Activity>) -> Self {
        let mut counts = activity.state();
        (counts.in_progress, counts.begun) = (counts.in_progress + 1, counts.begun + 1);
        drop(counts);
        let unseen = activity.is_stranger();
        if unseen {
            activity.unseen.fetch_add(1, Ordering::Relaxed);
        }
        Self { activity, came: Instant::now(), ended: AtomicBool::new(false), unseen: AtomicBool::new(unseen) }
    }

    /// It has been looked at: it is answered, or waits for something.
    fn seen(&self) {
        if self.unseen.load(Ordering::Relaxed) && self.unseen.swap(false, Ordering::Relaxed) {
            self.activity.unseen.fetch_sub(1, Ordering::Release);
            self.activity.reader.wake();
        }
    }

    /// Returns when the call came. tonic counts its caller's deadline from this moment.
    pub(super) fn came(&self) -> Instant {
        self.came
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
        self.seen();
        self.end();
    }
}

/// Stands in the extensions of calls over connections of trusted proxies.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrustedProxy;

/// Marks the calls of connections, up to the end of their answers. Calls of this process have none. What leaves here is complete:
/// every error has its details.
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
            if remote.is_trusted_proxy() {
                extensions.insert(TrustedProxy);
            }
            let call = Arc::new(Call::begin(activity));
            extensions.insert(Arc::clone(&call));
            call
        });
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let long_lived = is_long_lived(request.uri().path());
            let mut answer = pin!(inner.answer(request));
            let begun = futures::poll!(&mut answer);
            call.iter().for_each(|call| call.seen());
            let mut response = match begun {
                Poll::Ready(response) => response,
                Poll::Pending => answer.await,
            };
            status::complete(response.headers_mut());
            let Some(call) = call else { return Ok(response) };
            let limits = long_lived.then(|| LongLived::begin(&call));
            Ok(response.map(|body| Body::new(Occupied { body, limits, ended: false, _call: call })))
        })
    }
}

/// Is the answer a stream without an end of its own?
fn is_long_lived(path: &str) -> bool {
    path.starts_with(PROBES) && method::find(path).is_some_and(|method| method.long_lived)
}

/// Ends a stream with its connection, and lets the connection count as idle before.
#[derive(Debug)]
struct LongLived {
    end: Pin<Box<Sleep>>,
    idle: AbortHandle,
}

impl LongLived {
    fn begin(call: &Arc<Call>) -> Self {
        let watched = Arc::downgrade(call);
        // In a task of its own: while a client takes no answers, nothing asks the stream for them.
        let idle = tokio::spawn(async move {
            sleep(LONG_LIVED_IDLE).await;
            if let Some(call) = watched.upgrade() {
                call.end();
            }
        });
        Self { end: Box::pin(sleep_until(call.activity.ends)), idle: idle.abort_handle() }
    }
}

impl Drop for LongLived {
    fn drop(&mut self) {
        self.idle.abort();
    }
}

/// An answer that holds its call until it goes.
struct Occupied {
    body: Body,
    limits: Option<LongLived>,
    ended: bool,
    _call: Arc<Call>,
}

impl HttpBody for Occupied {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(mut frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some(Ok(frame)) = &mut frame
                && let Some(trailers) = frame.trailers_mut()
            {
                status::complete(trailers);
            }
            return Poll::Ready(frame);
        }
        let Some(limits) = &mut self.limits else { return Poll::Pending };
        ready!(limits.end.as_mut().poll(context));
        self.ended = true;
        let mut trailers = HeaderMap::new();
        // Its details are no more than a header holds.
        let _ = status::from_error(&status::connection_closing()).add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
