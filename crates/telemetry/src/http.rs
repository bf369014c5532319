//! The span of a call over HTTP.

use axum::extract::{MatchedPath, Request};
use opentelemetry::trace::Status;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{SPANS, trace_context};

/// The span of a request with this method, which came by this scheme, as far as the method is known; disabled where nobody exports.
/// A trusted caller decides whether its trace is exported.
pub fn server(request: &Request, method: &'static str, scheme: &'static str, trusted: bool) -> Span {
    let span = tracing::info_span!(
        target: SPANS,
        "HTTP",
        otel.name = tracing::field::Empty,
        otel.kind = "server",
        http.request.method = if method == "unknown" { "_OTHER" } else { method },
        url.scheme = scheme,
        network.protocol.name = "http",
        network.protocol.version = "1.1",
    );
    if !span.is_disabled() {
        // A path that is not ours is whatever a caller sends: it is not repeated.
        match request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) {
            Some(route) => {
                span.record("otel.name", format!("{method} {route}"));
                span.set_attribute("http.route", route.to_owned());
                // A route has no variables.
                span.set_attribute("url.path", route.to_owned());
            }
            None => {
                span.record("otel.name", if method == "unknown" { "HTTP" } else { method });
            }
        }
        trace_context::enter(&span, request.headers(), trusted);
    }
    span
}

/// The answer was this one. `reason` is empty when it is no refusal.
pub fn answered(span: &Span, status: u16, reason: &str) {
    if span.is_disabled() {
        return;
    }
    span.set_attribute("http.response.status_code", i64::from(status));
    // The paths of the original API answer errors with 200: there the reason tells.
    if status >= 500 || ["INTERNAL", "DATABASE_UNAVAILABLE"].contains(&reason) {
        span.set_attribute("error.type", if reason.is_empty() { status.to_string() } else { reason.to_owned() });
        span.set_status(Status::error(""));
    }
}
