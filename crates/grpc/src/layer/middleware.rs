//! Layers that share one future: a call passes through all of them by reference, so that none of them is copied for it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// A service that answers every call, be it with an error, and is always ready for one.
pub trait Handler:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Handler for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// What answers calls, by shared reference: for one call no layer is copied, and all of them are one future.
pub trait Answers: Clone + Send + Sync + 'static {
    /// Answers one call.
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// The service inside of all layers.
#[derive(Debug, Clone)]
pub struct Innermost<S>(pub(super) S);

impl<S: Handler> Answers for Innermost<S> {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.0.clone().call(request).await;
        response
    }
}

/// Shared where a layer needs to own the rest.
impl<N: Answers> Answers for Arc<N> {
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        N::answer(self, request)
    }
}

/// One layer: sees the call, hands it on or refuses it, and sees the answer.
pub trait Around: Clone + Send + Sync + 'static {
    /// Takes one call.
    fn around<N: Answers>(
        &self,
        request: Request<Body>,
        next: Next<'_, N>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The rest of the layers and the service.
#[derive(Debug)]
pub struct Next<'a, N>(&'a N);

impl<N: Answers> Next<'_, N> {
    /// Hands the call on.
    pub(super) fn run(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        self.0.answer(request)
    }

    /// Hands the call on in a future that may outlive the outer layers.
    pub(super) fn run_detached(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<N> {
        let rest = self.0.clone();
        async move { rest.answer(request).await }
    }
}

/// What answers calls, inside of a layer.
#[derive(Debug, Clone)]
pub struct Layered<A, N> {
    pub(super) around: A,
    pub(super) inner: N,
}

impl<A: Around, N: Answers> Answers for Layered<A, N> {
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        self.around.around(request, Next(&self.inner))
    }
}
