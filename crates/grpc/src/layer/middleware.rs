//! Layers that share one future: a call passes through all of them by reference, so that none of them is copied for it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// A service that answers every call, be it with an error, and is always ready for one.
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

/// What answers calls, by shared reference: for one call no layer is copied, and all of them are one future.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one call.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// The service inside of all layers.
#[derive(Debug, Clone)]
pub struct Endpoint<S>(pub(super) S);

impl<S: GrpcService> Handler for Endpoint<S> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.0.clone().call(request).await;
        response
    }
}

/// Shared where a layer needs to own the rest.
impl<N: Handler> Handler for Arc<N> {
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        N::handle(self, request)
    }
}

/// One layer: sees the call, hands it on or refuses it, and sees the answer.
pub trait Middleware: Clone + Send + Sync + 'static {
    /// Takes one call.
    fn handle<N: Handler>(
        &self,
        request: Request<Body>,
        next: Next<'_, N>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The rest of the layers and the service.
#[derive(Debug)]
pub struct Next<'a, N>(&'a N);

impl<N: Handler> Next<'_, N> {
    /// Hands the call on.
    pub(super) fn run(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        self.0.handle(request)
    }

    /// Hands the call on in a future that may outlive the outer layers.
    pub(super) fn run_detached(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<N> {
        let rest = self.0.clone();
        async move { rest.handle(request).await }
    }
}

/// What answers calls, inside of a layer.
#[derive(Debug, Clone)]
pub struct Stack<A, N> {
    pub(super) middleware: A,
    pub(super) inner: N,
}

impl<A: Middleware, N: Handler> Handler for Stack<A, N> {
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        self.middleware.handle(request, Next(&self.inner))
    }
}
