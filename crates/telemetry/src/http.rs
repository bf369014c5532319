//! Spans of HTTP requests.

use axum::extract::{MatchedPath, Request};
use opentelemetry::trace::Status;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{SPANS, trace_context};

/// Returns the span of a request. `method` is `unknown` for a method that is not standard. The span is disabled if
/// nothing is exported. A trusted caller decides whether its trace is exported.
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
        // A path that is no route is chosen by the caller. It is not repeated.
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

/// Records the answer of a request. `reason` is empty if the request was not refused.
pub fn record_answer(span: &Span, status: u16, reason: &str) {
    if span.is_disabled() {
        return;
    }
    span.set_attribute("http.response.status_code", i64::from(status));
    // The paths of the original API answer errors with 200. There the reason decides.
    if status >= 500 || ["INTERNAL", "DATABASE_UNAVAILABLE"].contains(&reason) {
        span.set_attribute("error.type", if reason.is_empty() { status.to_string() } else { reason.to_owned() });
        span.set_status(Status::error(""));
    }
}
