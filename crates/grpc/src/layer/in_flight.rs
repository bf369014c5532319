//! Counts the calls in progress of each connection, so that a connection that has been idle for long can be closed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use access_tokens_net::connection_tracker::{ConnectionInfo, InFlightCall};
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::method;
use super::middleware::{Endpoint, GrpcService, Handler};
use crate::status;

/// The beginning of the paths of probes.
const PROBES: &str = "/grpc.";
/// Time after which a stream of a probe no longer keeps its connection from being idle.
const LONG_LIVED_IDLE: Duration = Duration::from_secs(60);

/// Marks, in the extensions, a call over the connection of a trusted proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrustedProxy;

/// Counts calls as in progress on their connections, up to the end of their responses. Calls from within this process have no
/// connection. It also adds the missing details to every error that leaves.
#[derive(Debug)]
pub struct InFlight<N> {
    inner: Arc<N>,
}

impl<N> InFlight<N> {
    /// Returns the layer around all others.
    pub(super) fn new(inner: N) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl<N> Clone for InFlight<N> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// Wraps a service in [`InFlight`], without any other layer.
#[derive(Debug, Clone, Copy)]
pub struct InFlightLayer;

impl<S: GrpcService> tower::Layer<S> for InFlightLayer {
    type Service = InFlight<Endpoint<S>>;

    fn layer(&self, service: S) -> Self::Service {
        InFlight::new(Endpoint(service))
    }
}

impl<N: Handler> Service<Request<Body>> for InFlight<N> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The tracker is notified before the future below is created: otherwise the connection would seem to be idle until the first poll
        // of that future.
        let call =
            request.extensions_mut().remove::<ConnectionInfo>().map(|ConnectionInfo { peer, tracker, remote }| {
                let address = remote.client(request.headers());
                let extensions = request.extensions_mut();
                extensions.insert(address);
                extensions.insert(peer);
                if remote.is_trusted_proxy() {
                    extensions.insert(TrustedProxy);
                }
                let call = Arc::new(InFlightCall::begin(tracker));
                extensions.insert(Arc::clone(&call));
                call
            });
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let long_lived = is_long_lived(request.uri().path());
            let mut answer = pin!(inner.handle(request));
            let begun = futures::poll!(&mut answer);
            call.iter().for_each(|call| call.mark_processed());
            let mut response = match begun {
                Poll::Ready(response) => response,
                Poll::Pending => answer.await,
            };
            status::add_missing_details(response.headers_mut());
            let Some(call) = call else { return Ok(response) };
            let limits = long_lived.then(|| LongLived::begin(&call));
            Ok(response.map(|body| Body::new(InFlightBody { body, limits, ended: false, _call: call })))
        })
    }
}

/// Returns whether the response is a stream without an end of its own.
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
    fn begin(call: &Arc<InFlightCall>) -> Self {
        let watched = Arc::downgrade(call);
        // In a task of its own, because the stream is not polled while its client reads no responses.
        let idle = tokio::spawn(async move {
            sleep(LONG_LIVED_IDLE).await;
            if let Some(call) = watched.upgrade() {
                call.end();
            }
        });
        Self { end: Box::pin(sleep_until(call.tracker().stream_deadline())), idle: idle.abort_handle() }
    }
}

impl Drop for LongLived {
    fn drop(&mut self) {
        self.idle.abort();
    }
}

/// A response body that keeps its call in progress until it is dropped.
struct InFlightBody {
    body: Body,
    limits: Option<LongLived>,
    ended: bool,
    _call: Arc<InFlightCall>,
}

impl HttpBody for InFlightBody {
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
                status::add_missing_details(trailers);
            }
            return Poll::Ready(frame);
        }
        let Some(limits) = &mut self.limits else { return Poll::Pending };
        ready!(limits.end.as_mut().poll(context));
        self.ended = true;
        let mut trailers = HeaderMap::new();
        // The details of this error fit into a header.
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
