//! Export to a collector: OTLP over gRPC, on separate threads.
//!
//! A collector that is down or does not answer costs only the data for it: spans wait in a bounded queue and are
//! dropped when it is full, and the end of the process waits for a bounded time.

use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use access_tokens_domain::code;
use access_tokens_host::SystemRandom;
use access_tokens_host::url::is_local;
use access_tokens_net::tls::{Trust, UpstreamConnector, UpstreamSettings};
use anyhow::{Context, ensure};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};

use super::monitored_exporter::{METRICS, MonitoredExporter, TRACES};
use super::sampling::TrustingSampler;
use super::version::VERSION;
use crate::settings::{TelemetrySettings, pairs};

/// Time within which a connection to the collector must be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum duration of one export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the last export at the end of the process.
const LAST_EXPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The export of this process, from its start to its end. It is never dropped: wherever that happened, it would wait
/// for the collector.
static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    channel: Channel,
    headers: MetadataMap,
    resource: Resource,
    traces: SdkTracerProvider,
    tracer: SdkTracer,
    metrics: OnceLock<SdkMeterProvider>,
}

/// Starts the export of spans. Returns their tracer, or None if no endpoint is set.
pub(super) fn start(settings: &TelemetrySettings, name: &'static str) -> anyhow::Result<Option<SdkTracer>> {
    let Some(endpoint) = &settings.endpoint else { return Ok(None) };
    if std::env::var_os("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let channel = channel(endpoint, &settings.collector)?;
    let headers = MetadataMap::from_headers(headers(settings));
    let resource = resource(settings, name)?;
    let exporter = SpanExporter::builder().with_tonic().with_channel(channel.clone()).with_metadata(headers.clone());
    let exporter = exporter.build().context("the export of spans cannot be started")?;
    let traces = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(TrustingSampler::new(settings.sampling_ratio))
        .with_batch_exporter(MonitoredExporter::new(exporter, &TRACES))
        .build();
    let tracer = traces.tracer("access-tokens");
    let export = Export { channel, headers, resource, traces, tracer: tracer.clone(), metrics: OnceLock::new() };
    // A process starts once.
    let _ = EXPORT.set(export);
    Ok(Some(tracer))
}

/// Returns whether spans are exported.
pub fn is_on() -> bool {
    EXPORT.get().is_some()
}

/// Returns the tracer, if spans are exported.
pub(super) fn tracer() -> Option<SdkTracer> {
    EXPORT.get().map(|export| export.tracer.clone())
}

/// Returns the reader that sends metrics to the collector at intervals, and the resource that describes this process.
/// None if nothing is exported.
pub(crate) fn metrics_reader() -> Option<(PeriodicReader<MonitoredExporter<MetricExporter>>, Resource)> {
    let export = EXPORT.get()?;
    let exporter = MetricExporter::builder().with_tonic().with_channel(export.channel.clone());
    // The same settings were accepted for spans.
    let exporter = exporter.with_metadata(export.headers.clone()).build().ok()?;
    Some((PeriodicReader::builder(MonitoredExporter::new(exporter, &METRICS)).build(), export.resource.clone()))
}

/// Keeps metrics until [`finish`]. If they were dropped elsewhere, the drop would wait for the collector.
pub(crate) fn keep_until_finish(metrics: &SdkMeterProvider) {
    if let Some(export) = EXPORT.get() {
        let _ = export.metrics.set(metrics.clone());
    }
}

/// Sends the remaining spans and metrics, for a second at most. The runtime must still exist, and the caller must not
/// be one of its threads.
pub fn finish() {
    let Some(export) = EXPORT.get() else { return };
    let (done, ended) = mpsc::channel();
    let traces = export.traces.clone();
    let mut waiting =
        usize::from(spawn_shutdown(&done, move || drop(traces.shutdown_with_timeout(LAST_EXPORT_TIMEOUT))));
    if let Some(metrics) = export.metrics.get().cloned() {
        waiting += usize::from(spawn_shutdown(&done, move || drop(metrics.shutdown_with_timeout(LAST_EXPORT_TIMEOUT))));
    }
    let last = std::time::Instant::now() + LAST_EXPORT_TIMEOUT;
    for _ in 0..waiting {
        let left = last.saturating_duration_since(std::time::Instant::now());
        if ended.recv_timeout(left).is_err() {
            tracing::warn!("the collector does not take the last spans and metrics");
            return;
        }
    }
}

/// Runs a shutdown on its own thread. A shutdown may take longer than its timeout; the thread is then abandoned.
fn spawn_shutdown(done: &Sender<()>, work: impl FnOnce() + Send + 'static) -> bool {
    let done = done.clone();
    let thread = std::thread::Builder::new().name("last-export".to_owned());
    let started = thread.spawn(move || {
        work();
        let _ = done.send(());
    });
    started.is_ok()
}

/// Connects to the collector: with TLS, or within this machine.
fn channel(endpoint: &Uri, settings: &UpstreamSettings) -> anyhow::Result<Channel> {
    let with_timeouts =
        |endpoint: Endpoint| endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(EXPORT_TIMEOUT).tcp_nodelay(true);
    if endpoint.scheme() == Some(&Scheme::HTTPS) {
        let link = UpstreamConnector::new(endpoint, Trust::Authorities, settings, "telemetry.collector")?;
        return link.channel(endpoint, with_timeouts);
    }
    ensure!(
        is_local(endpoint) || settings.allow_plain_text,
        "{endpoint} is on another machine, and spans would go there in plain text: write https; or set \
         telemetry.collector.allow_plain_text = true, where something else encrypts"
    );
    Ok(with_timeouts(Endpoint::from(endpoint.clone())).connect_lazy())
}

/// Returns the headers of exports. The configuration has checked them.
fn headers(settings: &TelemetrySettings) -> HeaderMap {
    let pairs = pairs(settings.headers.expose()).unwrap_or_default().into_iter();
    let headers = pairs.filter_map(|(name, value)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name).ok()?, value))
    });
    headers.collect()
}

/// Returns the resource: the service, and this process of it.
fn resource(settings: &TelemetrySettings, name: &'static str) -> anyhow::Result<Resource> {
    let name = if settings.service_name.is_empty() { name.to_owned() } else { settings.service_name.clone() };
    let attributes = pairs(&settings.attributes).unwrap_or_default().into_iter();
    // Without an instance id, two replicas would write to one series and overwrite each other.
    let instance = code::hex_id(&SystemRandom).context("no random bytes")?;
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", VERSION))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .with_attributes(attributes.map(|(name, value)| KeyValue::new(name, value)))
        .with_service_name(name);
    Ok(resource.build())
}
