//! The context of a trace in headers, in the form of W3C.

use futures::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::context::FutureExt;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::otlp;
use super::sampling::TrustedParent;

const TRACEPARENT: &str = "traceparent";

const TRACESTATE: &str = "tracestate";

/// Maximum length of `tracestate` that W3C asks services to propagate. A longer one is dropped as a whole.
const MAX_TRACESTATE_BYTES: usize = 512;

/// Position of the trace id. The header has version, trace, span and flags, with dashes between.
const TRACE: std::ops::Range<usize> = 3..35;

/// Returns the trace of a call, for the log: the trace of its span if spans are exported, else the trace in the
/// headers, if there is one.
pub fn trace_id(span: &Span, headers: &HeaderMap) -> Option<TraceId> {
    if span.is_disabled() {
        return named(headers);
    }
    let trace = span.context().span().span_context().trace_id();
    (trace != TraceId::INVALID).then_some(trace)
}

fn named(headers: &HeaderMap) -> Option<TraceId> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let id = text.get(TRACE)?;
    let dashes = [2, 35, 52].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let trace = TraceId::from_hex(id).ok().filter(|trace| *trace != TraceId::INVALID);
    trace.filter(|_| dashes && hex)
}

/// Wraps work for a new task, so that it stays in the current trace.
pub fn in_current_trace<F: Future>(work: F) -> impl Future<Output = F::Output> {
    if otlp::is_on() { Either::Left(work.with_context(Context::current())) } else { Either::Right(work) }
}

/// Makes a span a part of the trace that a caller names. A trusted caller also decides whether the span is exported,
/// and sends the state (`tracestate`) that is exported with each span.
pub(super) fn enter(span: &Span, headers: &HeaderMap, trusted: bool) {
    if headers.contains_key(TRACEPARENT) {
        let parent = extract(headers, trusted);
        let parent = if trusted { parent.with_value(TrustedParent) } else { parent };
        // The call fails if nothing is exported, which is not an error here.
        let _ = span.set_parent(parent);
    }
}

fn extract(headers: &HeaderMap, trusted: bool) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers { headers, trusted })
}

/// Writes the trace of a span, and the span as the parent, into the headers of a call.
pub(super) fn leave(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
}

struct Headers<'a> {
    headers: &'a HeaderMap,
    trusted: bool,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.headers.get(key)?.to_str().ok()?;
        let allowed = key != TRACESTATE || (self.trusted && value.len() <= MAX_TRACESTATE_BYTES);
        allowed.then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.headers.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        let Ok(name) = HeaderName::try_from(key) else { return };
        match HeaderValue::try_from(value) {
            Ok(value) if !value.is_empty() => {
                self.0.insert(name, value);
            }
            _ => {
                self.0.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_caller_sends_a_state_along_and_a_short_one() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let state = |state: &str, trusted| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_static(parent));
            headers.insert(TRACESTATE, HeaderValue::from_str(state).expect("a value"));
            let context = extract(&headers, trusted);
            let span = context.span().span_context().clone();
            assert_eq!(span.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c", "the trace stays");
            span.trace_state().header()
        };
        let longest = format!("a={}", "x".repeat(MAX_TRACESTATE_BYTES / 2 - 3));
        let longest = format!("{longest},b={}", "x".repeat(MAX_TRACESTATE_BYTES - longest.len() - 3));
        assert_eq!(longest.len(), MAX_TRACESTATE_BYTES);
        for (text, trusted, kept) in [
            ("vendor=1", true, true),
            ("vendor=1", false, false),
            (&*longest, true, true),
            (&*format!("{longest}x"), true, false),
            (&*format!("a={}", "x".repeat(14_000)), false, false),
        ] {
            assert_eq!(!state(text, trusted).is_empty(), kept, "{} {trusted}", text.len());
        }
    }

    #[test]
    fn a_trace_is_named_by_a_whole_traceparent_only() {
        let id = |text: &'static str| {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static(TRACEPARENT), HeaderValue::from_static(text))]);
            named(&headers).map(|trace| trace.to_string())
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(id(good).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        for bad in [
            "",
            "hunter2",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c",
            "00-0af7651916cd43dd8448eb211c80319cb7ad6b7169203331-01",
            "00-4015937726004 4015937726004 4015-b7ad6b7169203331-01",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
        assert_eq!(named(&HeaderMap::new()), None);
    }
}
