//! Middleware: code that sees each call before and after the service.
//!
//! The module exists beside `tower` because of the cost of a call (ADR 22). The future of a `tower::Service` is `'static`, so a layer
//! clones all layers inside of it and boxes its future, for each call. Here a layer borrows the rest: the 11 layers of a call are one
//! future, which is allocated once by `InFlight`, and no layer is cloned. That matters where a whole read takes 55 µs.
//! Towards tonic and the listeners the stack is a `tower::Service` again.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// A `tower` service that answers every call, if necessary with an error status, and is always ready.
pub trait GrpcService:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> GrpcService for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Answers calls by shared reference: a middleware with everything inside of it, or the service.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one call.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// The service inside of all middleware.
#[derive(Debug, Clone)]
pub struct Endpoint<S>(pub(super) S);

impl<S: GrpcService> Handler for Endpoint<S> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.0.clone().call(request).await;
        response
    }
}

/// A handler behind an `Arc`, which [`Next::run_detached`] clones at no cost.
impl<N: Handler> Handler for Arc<N> {
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        N::handle(self, request)
    }
}

/// One layer: it sees the call, passes it on or answers it, and sees the response.
pub trait Middleware: Clone + Send + Sync + 'static {
    /// Takes one call.
    fn handle<N: Handler>(
        &self,
        request: Request<Body>,
        next: Next<'_, N>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The layers inside of a middleware, and the service.
#[derive(Debug)]
pub struct Next<'a, N>(&'a N);

impl<N: Handler> Next<'_, N> {
    /// Passes the call on.
    pub(super) fn run(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        self.0.handle(request)
    }

    /// Passes the call on in a future that may outlive the outer layers. It clones the inner ones.
    pub(super) fn run_detached(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<N> {
        let rest = self.0.clone();
        async move { rest.handle(request).await }
    }
}

/// A middleware around a handler.
#[derive(Debug, Clone)]
pub struct Stack<M, N> {
    pub(super) middleware: M,
    pub(super) inner: N,
}

impl<M: Middleware, N: Handler> Handler for Stack<M, N> {
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        self.middleware.handle(request, Next(&self.inner))
    }
}
