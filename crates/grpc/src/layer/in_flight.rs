//! Counts the calls in progress of each connection, so that a connection that has been idle for long can be closed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use access_tokens_net::connection_tracker::{ConnectionInfo, InFlightCall};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Frame};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::deadline::end_at;
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
            Ok(response.map(|body| in_progress(body, call, long_lived)))
        })
    }
}

/// Returns whether the response is a stream without an end of its own.
fn is_long_lived(path: &str) -> bool {
    path.starts_with(PROBES) && method::find(path).is_some_and(|method| method.long_lived)
}

/// Returns a body that keeps its call in progress until it is dropped. A long-lived one ends with its connection, and lets the connection
/// count as idle before.
fn in_progress(body: Body, call: Arc<InFlightCall>, long_lived: bool) -> Body {
    let (body, timer) = match long_lived && !body.is_end_stream() {
        true => (end_at(call.tracker().stream_deadline(), body, closing_trailers), Some(idle_timer(&call))),
        false => (body, None),
    };
    let held_until_drop = (call, timer);
    Body::new(body.map_frame(move |mut frame| {
        let _held = &held_until_drop;
        if let Some(trailers) = frame.trailers_mut() {
            status::add_missing_details(trailers);
        }
        frame
    }))
}

/// Ends a call after [`LONG_LIVED_IDLE`], unless the timer is dropped before. It is a task of its own, because the stream is not polled
/// while its client reads no responses.
fn idle_timer(call: &Arc<InFlightCall>) -> JoinSet<()> {
    let watched = Arc::downgrade(call);
    let mut timer = JoinSet::new();
    timer.spawn(async move {
        sleep(LONG_LIVED_IDLE).await;
        if let Some(call) = watched.upgrade() {
            call.end();
        }
    });
    timer
}

/// Returns the last frame of a stream that ends with its connection.
fn closing_trailers() -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    // The details of this error fit into a header.
    let _ = status::from_error(&status::connection_closing()).add_header(&mut trailers);
    Ok(Frame::trailers(trailers))
}
