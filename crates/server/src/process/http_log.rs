//! Logs one line for each HTTP call: method, path, status, time, ids. It never logs the query, headers or bodies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use access_tokens_gateway::{ClientAddress, Network, RewrittenPath};
use access_tokens_grpc::layer::RequestId;
use access_tokens_telemetry as telemetry;
use access_tokens_telemetry::elapsed_ms;
use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method};
use opentelemetry::trace::TraceId;
use tracing::field::display;
use tracing::{Instrument, Span};

use super::ops_paths::ROUTINE;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ERROR_REASON: HeaderName = HeaderName::from_static("x-error-reason");

/// Returns the router with a log line and an id for each call. `scheme` is that of the listener. Trusted proxies name the client address.
pub(super) fn with_request_log(router: Router, scheme: &'static str, trusted_proxies: Arc<[Network]>) -> Router {
    router.layer(from_fn(move |request: Request, next| {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let client = peer.map(|peer| ClientAddress::resolve(peer, request.headers(), &trusted_proxies));
        let trusted = peer.is_some_and(|peer| trusted_proxies.iter().any(|network| network.contains(peer)));
        log(scheme, client, trusted, request, next)
    }))
}

async fn log(
    scheme: &'static str,
    client: Option<ClientAddress>,
    trusted: bool,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers().get(REQUEST_ID));
    let method = method(request.method());
    let path = request.extensions().get::<MatchedPath>();
    let span = match path {
        Some(path) if ROUTINE.contains(&path.as_str()) => Span::none(),
        _ => telemetry::http::server(&request, method, scheme, trusted),
    };
    let mut line = RequestLine {
        started: Instant::now(),
        method,
        // An unknown path is arbitrary text of a caller, so it is not logged.
        path: path.cloned(),
        rewritten: None,
        trace_id: telemetry::trace_id(&span, request.headers()),
        request_id: id.clone(),
        client,
        answer: None,
    };
    let echo = HeaderValue::from_str(id.as_str());
    if let Ok(id) = &echo {
        request.headers_mut().insert(REQUEST_ID, id.clone());
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(id) = echo {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let reason = response.headers().get(ERROR_REASON).and_then(|reason| reason.to_str().ok());
    let (status, reason) = (response.status().as_u16(), reason.unwrap_or_default().to_owned());
    telemetry::http::record_answer(&span, status, &reason);
    line.answer = Some((status, reason));
    line.rewritten = response.extensions().get::<RewrittenPath>().cloned();
    response
}

/// Returns the name of a standard method. Other names are arbitrary texts of callers.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "unknown",
    }
}

/// The line of a call. It is logged when it is dropped, so also when the caller disconnects before the answer.
struct RequestLine {
    started: Instant,
    method: &'static str,
    path: Option<MatchedPath>,
    /// The path of the contract, where the caller wrote it in another form.
    rewritten: Option<RewrittenPath>,
    trace_id: Option<TraceId>,
    request_id: RequestId,
    client: Option<ClientAddress>,
    /// Status and reason.
    answer: Option<(u16, String)>,
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        let ms = elapsed_ms(self.started);
        let (method, request_id) = (self.method, self.request_id.as_str());
        let rewritten = self.rewritten.as_ref().map(|path| &*path.0);
        let path = self.path.as_ref().map(MatchedPath::as_str).or(rewritten).unwrap_or("unknown");
        let trace_id = self.trace_id.map(display);
        let address = self.client.map(display);
        match &self.answer {
            Some((status, _)) if ROUTINE.contains(&path) => {
                tracing::debug!(method, path, status, ms, request_id, address, trace_id, "answered");
            }
            None => tracing::info!(method, path, ms, request_id, address, trace_id, "the caller has gone"),
            // The paths of the original API answer errors with 200, so that the reason decides.
            Some((status, reason)) if *status >= 500 || ["INTERNAL", "DATABASE_UNAVAILABLE"].contains(&&**reason) => {
                tracing::warn!(method, path, status, reason, ms, request_id, address, trace_id, "answered");
            }
            Some((status, reason)) => {
                let reason = Some(reason.as_str()).filter(|reason| !reason.is_empty());
                tracing::info!(method, path, status, reason, ms, request_id, address, trace_id, "answered");
            }
        }
    }
}
