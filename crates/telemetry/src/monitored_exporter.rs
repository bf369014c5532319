//! Limits exports in bytes, and counts and logs their failures.
//!
//! A collector refuses a message of more than 4 MiB as a whole. The library limits a batch only in spans.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access_tokens_net::log_throttle::LogThrottle;
use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::grpc_code::CODE_NAMES;

/// Maximum size of the spans of one export, in bytes. It is half of the limit of collectors: the size is estimated, and
/// the resource is added.
const MAX_EXPORT_BYTES: usize = 2 << 20;
/// Estimated bytes of a span, an event and an attribute without their texts: ids, times, numbers and framing.
const SPAN_BYTES: usize = 192;
const EVENT_BYTES: usize = 32;
const ATTRIBUTE_BYTES: usize = 24;

/// A kind of exported data.
#[derive(Debug)]
pub(crate) struct Signal {
    name: &'static str,
    failed: AtomicU64,
    throttle: LogThrottle,
}

/// Spans.
pub(super) static TRACES: Signal = Signal::new("traces");
/// Metrics.
pub(super) static METRICS: Signal = Signal::new("metrics");

/// Returns all signals.
pub(crate) fn signals() -> [&'static Signal; 2] {
    [&TRACES, &METRICS]
}

impl Signal {
    const fn new(name: &'static str) -> Self {
        Self { name, failed: AtomicU64::new(0), throttle: LogThrottle::new() }
    }

    /// Returns the name of the signal.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the number of exports that have failed since the start.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Counts an export that failed, and logs it if none was logged for a while.
    ///
    /// The log gets the kind of failure and the gRPC code, and no text: a collector may repeat what it received,
    /// including the key.
    fn fail(&self, error: &OTelSdkError) {
        let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
        if self.throttle.permits() {
            let (signal, cause) = (self.name, cause(error));
            tracing::warn!(signal, failed, cause, "an export to the collector failed; the count is since the start");
        }
    }
}

/// Returns the kind of a failure, for the log. The library writes the code of gRPC into its text, such as
/// `ResourceExhausted`.
fn cause(error: &OTelSdkError) -> &'static str {
    let is = |code: &str, word: &str| {
        word.starts_with(|first: char| first.is_ascii_uppercase()) && code.replace('_', "").eq_ignore_ascii_case(word)
    };
    match error {
        OTelSdkError::AlreadyShutdown => "shut down",
        OTelSdkError::Timeout(_) => "timeout",
        OTelSdkError::InternalFailure(text) => {
            let mut words = text.split(|letter: char| !letter.is_ascii_alphabetic());
            words.find_map(|word| CODE_NAMES[1..].iter().copied().find(|code| is(code, word))).unwrap_or("failure")
        }
    }
}

/// An exporter that limits the size of exports and counts failures.
#[derive(Debug)]
pub(crate) struct MonitoredExporter<E> {
    exporter: E,
    signal: &'static Signal,
}

impl<E> MonitoredExporter<E> {
    pub(super) fn new(exporter: E, signal: &'static Signal) -> Self {
        Self { exporter, signal }
    }

    fn watch(&self, result: OTelSdkResult) -> OTelSdkResult {
        result.inspect_err(|error| self.signal.fail(error))
    }
}

impl<E: SpanExporter> SpanExporter for MonitoredExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut result = Ok(());
        for part in parts(batch) {
            // A failed part does not prevent the other ones.
            result = result.and(self.watch(self.exporter.export(part).await));
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for MonitoredExporter<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.watch(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// Splits a batch into parts of at most [`MAX_EXPORT_BYTES`]. A larger span is a part of its own.
fn parts(batch: Vec<SpanData>) -> Vec<Vec<SpanData>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for span in batch {
        let size = size(&span);
        if bytes + size > MAX_EXPORT_BYTES && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(span);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Returns an estimate of the bytes of a span, rather too high than too low.
fn size(span: &SpanData) -> usize {
    let events = span.events.iter().map(|event| EVENT_BYTES + event.name.len() + attributes(&event.attributes));
    let links = span
        .links
        .iter()
        .map(|link| SPAN_BYTES + link.span_context.trace_state().header().len() + attributes(&link.attributes));
    let status = match &span.status {
        Status::Error { description } => description.len(),
        Status::Ok | Status::Unset => 0,
    };
    SPAN_BYTES
        + span.name.len()
        + span.span_context.trace_state().header().len()
        + status
        + attributes(&span.attributes)
        + events.chain(links).sum::<usize>()
}

fn attributes(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(|one| ATTRIBUTE_BYTES + one.key.as_str().len() + value(&one.value)).sum()
}

fn value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => texts.iter().map(|text| ATTRIBUTE_BYTES + text.as_str().len()).sum(),
        Value::Array(Array::Bool(values)) => values.len() * ATTRIBUTE_BYTES,
        Value::Array(Array::I64(values)) => values.len() * ATTRIBUTE_BYTES,
        Value::Array(Array::F64(values)) => values.len() * ATTRIBUTE_BYTES,
        // A value has eight bytes at most.
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    fn span(text: usize) -> SpanData {
        let context = SpanContext::new(
            TraceId::from_bytes([7; 16]),
            SpanId::from_bytes([7; 8]),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        SpanData {
            span_context: context,
            parent_span_id: SpanId::from_bytes([8; 8]),
            parent_span_is_remote: true,
            span_kind: SpanKind::Server,
            name: "call".into(),
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes: vec![KeyValue::new("text", "x".repeat(text))],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    #[derive(Debug)]
    struct Failing;

    impl SpanExporter for Failing {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("hunter2".to_owned()))
        }
    }

    #[test]
    fn a_batch_is_cut_by_its_bytes_and_loses_nothing() {
        for (count, text) in [(0, 0), (1, 0), (512, 100), (512, 14_000), (3, MAX_EXPORT_BYTES), (5_000, 1_500)] {
            let parts = parts(vec![span(text); count]);
            assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), count);
            for part in &parts {
                assert!(part.len() == 1 || part.iter().map(size).sum::<usize>() <= MAX_EXPORT_BYTES);
            }
            let least = count * (text + SPAN_BYTES) / MAX_EXPORT_BYTES;
            assert!(parts.len() <= 2 * least + 1, "{count} of {text}: {}", parts.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_export_that_fails_is_counted_and_logged_once_a_minute() {
        static SIGNAL: Signal = Signal::new("test");
        let watched = MonitoredExporter::new(Failing, &SIGNAL);
        for failed in 1..=3 {
            watched.export(vec![span(0)]).await.expect_err("it fails");
            assert_eq!(SIGNAL.failed(), failed);
        }
        // Each part is an export of its own.
        watched.export(vec![span(MAX_EXPORT_BYTES); 2]).await.expect_err("it fails");
        assert_eq!(SIGNAL.failed(), 5);
        assert!(!SIGNAL.throttle.permits(), "it was logged");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(SIGNAL.throttle.permits());
    }

    #[test]
    fn the_log_gets_a_code_and_no_text() {
        let told = |text: &str| cause(&OTelSdkError::InternalFailure(text.to_owned()));
        assert_eq!(told("export error: ResourceExhausted (hunter2)"), "RESOURCE_EXHAUSTED");
        assert_eq!(told("hunter2"), "failure");
        assert_eq!(cause(&OTelSdkError::Timeout(Duration::ZERO)), "timeout");
    }
}
