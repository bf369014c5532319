//! The server before there is a database: it says that it is not ready, to probes and to callers.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use access_tokens_proto::v1::access_token_service_server::SERVICE_NAME as ACCESS_TOKENS;
use access_tokens_proto::v1::authentication_service_server::SERVICE_NAME as AUTHENTICATION;
use access_tokens_proto::v1::directory_service_server::SERVICE_NAME as DIRECTORY;
use http::{Request, Response};
use tonic::body::Body;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;
use tower::layer::layer_fn;
use tower::{Service, ServiceExt};

use super::connections::{Bounds, connections};
use super::port::Port;
use crate::transport::layer::OccupyLayer;
use crate::transport::status;

/// What a probe asks.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Serves health, and refuses everything else with DATABASE_UNAVAILABLE, until `stop`.
pub(super) async fn serve(port: Port, bounds: Bounds, stop: impl Future<Output = ()>) {
    let (reporter, health) = health_reporter();
    for name in ["", ACCESS_TOKENS, AUTHENTICATION, DIRECTORY] {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
    let server = Server::builder()
        .layer(OccupyLayer)
        .layer(layer_fn(|inner| OnlyHealth { inner }))
        .add_service(health)
        .serve_with_incoming_shutdown(connections(port, bounds), stop);
    if let Err(error) = server.await {
        tracing::warn!(%error, "connections were cut while starting");
    }
}

/// The answer to a call that comes before there is a service.
pub(super) fn refusal() -> Response<Body> {
    let error = Error::new(Reason::DatabaseUnavailable, "the service is starting: the database does not answer");
    status::from_error(&error.retry_after(Duration::from_secs(1))).into_http()
}

#[derive(Clone)]
struct OnlyHealth<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for OnlyHealth<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.inner.clone();
        Box::pin(async move {
            if request.uri().path().starts_with(HEALTH) {
                return inner.oneshot(request).await;
            }
            Ok(refusal())
        })
    }
}
