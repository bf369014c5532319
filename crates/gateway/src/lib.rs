//! The HTTP API of the original, over the gRPC service: a client written for the old API changes its host name only.
//!
//! Everything is read from the contract: the paths from its `google.api.http` annotations, requests and answers from its
//! messages, releases from its options. There is one handler for all methods, so a new method needs its annotation and its
//! messages, and nothing here.
//!
//! A request becomes the bytes of a message (`request`), the service is called with them (`upstream`), and the bytes of
//! its answer become JSON (`answer`). Errors of the service and of the gateway have one form (`error`).

mod address;
mod answer;
mod call;
mod config;
mod docs;
mod error;
mod forward;
mod json;
mod names;
mod openapi;
mod release;
mod request;
mod route;
mod upstream;

use std::sync::Arc;

use access_tokens_proto::v1::ErrorReason;
use axum::Router;
use axum::body::Body;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use tower::{BoxError, Service};

pub use access_tokens_domain::time::TimeZone;
pub use address::{ClientAddress, FORWARDED_FOR};
pub use call::Authenticated;
pub use config::{GatewayConfig, InvalidNetwork, Network};
pub use release::{InvalidRelease, Release};

use call::Gateway;
use error::Refusal;
use route::{Mount, Route};
use upstream::Upstream;

/// The HTTP API over a service: one in this process, or a channel to one elsewhere.
///
/// `/openapi.json` describes it, `/docs` is a page for people. The address of the client is passed on where the server
/// gives it as `ConnectInfo<SocketAddr>`.
pub fn router<S, B>(service: S, config: GatewayConfig) -> Router
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + Sync + 'static,
    B: axum::body::HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (routes, plans) = route::routes(config.release);
    let description = openapi::document(&routes, config.release);
    let gateway = Arc::new(Gateway { upstream: Upstream::new(service), config, plans });
    let mut router = docs::mount(Router::new(), &description);
    for route in routes {
        router = mount(router, &gateway, route);
    }
    router.fallback(unknown_path)
}

/// Adds a route, with and without a slash at its end.
fn mount(router: Router, gateway: &Arc<Gateway>, route: Route) -> Router {
    let route = Arc::new(route);
    let (filter, verbs) =
        if route.verb == Method::GET { (MethodFilter::GET, "GET, HEAD") } else { (MethodFilter::POST, "POST") };
    let path = route.path.clone();
    let gateway = Arc::clone(gateway);
    let handler = on(filter, move |request: Request<Body>| call::answer(gateway, route, request));
    let handler = handler.fallback(move || async move { wrong_verb(verbs) });
    router.route(&format!("{path}/"), handler.clone()).route(&path, handler)
}

fn wrong_verb(verbs: &'static str) -> Response<Body> {
    let message = format!("this method is called by {verbs}");
    let refusal = Refusal::new(ErrorReason::MethodNotFound, StatusCode::METHOD_NOT_ALLOWED, message);
    refusal.allowing(verbs).into_response(Mount::Canonical)
}

/// Where there is no method, it is HTTP that fails, below the paths of the original API too.
async fn unknown_path() -> Response<Body> {
    let refusal = Refusal::new(ErrorReason::MethodNotFound, StatusCode::NOT_FOUND, "there is no method at this path");
    refusal.into_response(Mount::Canonical)
}
