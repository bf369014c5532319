//! The HTTP API of the original, over the gRPC service: a client written for the old API changes its host name only. The crate knows the
//! contract, and neither services nor sessions nor the database.
//!
//! Everything is read from the contract: the paths from its `google.api.http` annotations, requests and responses from its messages,
//! releases from its options. One handler serves all methods, so a new method needs its annotation and its messages, and nothing here.
//!
//! A request becomes the bytes of a message (`request`), the service is called with them (`upstream`), and the bytes of its response
//! become JSON (`response`). Errors of the service and of the gateway have one form (`error`).

mod address;
mod call;
mod config;
mod docs;
mod error;
mod json;
mod malformed;
mod names;
mod openapi;
mod path_normalization;
mod release;
mod request;
mod request_headers;
mod response;
mod response_headers;
mod route;
mod upstream;

use std::collections::HashSet;
use std::sync::Arc;

use access_tokens_proto::v1::ErrorReason;
use axum::Router;
use axum::body::Body;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use tower::{BoxError, Service, ServiceExt};

pub use access_tokens_domain::time::TimeZone;
pub use address::{ClientAddress, FORWARDED_FOR};
pub use call::Authenticated;
pub use config::{GatewayConfig, InvalidNetwork, Network};
pub use malformed::Malformed;
pub use path_normalization::RewrittenPath;
pub use release::{InvalidRelease, Release};

use call::Gateway;
use error::ApiError;
use route::{Mount, Route};
use upstream::Upstream;

/// Returns the HTTP API over a service: one in this process, or a channel to one elsewhere.
///
/// `/openapi.json` describes it and `/docs` is a page for people, unless the configuration switches both off. The address of the client is
/// passed on if the server provides it as `ConnectInfo<SocketAddr>`.
pub fn router<S, B>(service: S, config: GatewayConfig) -> Router
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + Sync + 'static,
    B: axum::body::HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (routes, plans) = route::routes(config.release);
    let mut router = Router::new();
    if config.docs {
        router = docs::mount(router, &openapi::document(&routes, config.release));
    }
    let gateway = Arc::new(Gateway { upstream: Upstream::new(service), config, plans });
    let legacy = routes.iter().filter(|route| route.mount == Mount::Legacy);
    let legacy: Arc<HashSet<Arc<str>>> = Arc::new(legacy.map(|route| route.path.as_str().into()).collect());
    for route in routes {
        router = mount(router, &gateway, route);
    }
    let usual = router.clone();
    router.fallback(move |request: Request<Body>| other_path(usual.clone(), Arc::clone(&legacy), request))
}

/// Answers a request whose path is not literally in the contract. The path may be an unusual spelling of one that is.
async fn other_path(routes: Router, legacy: Arc<HashSet<Arc<str>>>, mut request: Request<Body>) -> Response<Body> {
    let Some(usual) = path_normalization::normalized(request.uri().path()) else { return unknown_path() };
    let Some(path) = legacy.get(usual.trim_end_matches('/')).cloned() else { return unknown_path() };
    let path_and_query = match request.uri().query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(&*path),
    };
    let Ok(path_and_query) = path_and_query else { return unknown_path() };
    *request.uri_mut() = Uri::from(path_and_query);
    let Ok(mut response) = routes.oneshot(request).await;
    response.extensions_mut().insert(RewrittenPath(path));
    response
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
    let error = ApiError::new(ErrorReason::MethodNotFound, StatusCode::METHOD_NOT_ALLOWED, message);
    error.with_allowed_methods(verbs).into_response(Mount::Canonical)
}

/// Returns the response for a path without a method. It has HTTP status 404, also below the paths of the original API.
fn unknown_path() -> Response<Body> {
    let error = ApiError::new(ErrorReason::MethodNotFound, StatusCode::NOT_FOUND, "there is no method at this path");
    error.into_response(Mount::Canonical)
}
