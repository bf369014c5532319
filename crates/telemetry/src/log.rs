//! The log, on standard error, as text or as JSON. Spans for a collector do not depend on it.

use anyhow::Context;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::level::is_level;
use crate::settings::{LogFormat, LogSettings};

/// Target of spans for the collector. The log never shows them.
pub const SPANS: &str = "access_tokens::spans";

/// Parts of libraries, each with the highest level that is logged of it. The settings cannot raise this level. These
/// parts repeat their input, which may be a secret in the wrong place, or an unauthenticated client can make them write
/// without limit. The system test `canaries` found them.
const CAPS: [(&str, LevelFilter); 6] = [
    // The whole of a malformed path or host.
    ("h2::server", LevelFilter::INFO),
    // A line for each PING that a client acknowledges.
    ("h2::proto::ping_pong", LevelFilter::ERROR),
    // Spans with all arguments of a call, including the database URL with its password.
    ("sea_orm", LevelFilter::DEBUG),
    // A parameter of the database URL that the driver does not know, with its value: `?pwd=...`.
    ("sqlx_postgres::options", LevelFilter::ERROR),
    // The answer of a collector, which may contain the key that it received.
    ("opentelemetry-otlp", LevelFilter::INFO),
    // For the collector only.
    (SPANS, LevelFilter::OFF),
];

/// Returns whether the log is coloured: on a terminal, unless NO_COLOR is set.
fn coloured() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Starts the log of this process, and the export of spans if a tracer is given. `RUST_LOG` overrides the configured
/// level. Nothing overrides the caps.
pub(super) fn start(log: &LogSettings, spans: Option<SdkTracer>) -> anyhow::Result<()> {
    let variable = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let (filter, ignored) = match variable {
        Some(filter) if is_level(&filter) => (filter, false),
        // The variable may be meant for another program. With a word that is no level there would be no log at all.
        other => (log.level.clone(), other.is_some()),
    };
    let filter = EnvFilter::try_new(filter).context("log.level")?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Pretty => lines.with_ansi(coloured()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let started = match spans {
        // One filter for all: what is not logged is rejected first.
        None => tracing_subscriber::registry().with(lines).with(filter).with(caps()).try_init(),
        Some(tracer) => {
            let lines = lines.with_filter(filter.and(caps()));
            tracing_subscriber::registry().with(lines).with(exporting(tracer)).try_init()
        }
    };
    started.context("the log cannot be started")?;
    if ignored {
        tracing::warn!("RUST_LOG has a word that is no level, and is ignored: log.level counts");
    }
    Ok(())
}

/// Exports the spans of this service and nothing else: no log lines, and no spans of libraries, whose content is
/// unknown.
fn exporting<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let spans = tracing_opentelemetry::layer().with_tracer(tracer);
    let spans = spans.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
    let ours = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target() == SPANS;
    spans.with_filter(filter_fn(ours).with_max_level_hint(LevelFilter::INFO))
}

/// Returns a filter that allows everything except what is capped.
fn caps() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_targets(CAPS)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_level_overrides_the_caps() {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = EnvFilter::new("trace,h2::server=trace,access_tokens=trace,sqlx_postgres::options::parse=trace");
        let written = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(written).with(filter).with(caps());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "h2::server", "malformed path: hunter2");
            tracing::warn!(target: "sqlx_postgres::options::parse", value = "hunter2", "ignoring");
            tracing::trace!(target: "h2::proto", "shown");
            let span = tracing::trace_span!(target: "sea_orm::driver", "connect", url = "hunter2");
            span.in_scope(|| tracing::error!(target: "sqlx_core::pool", "shown"));
            tracing::error!(target: "sqlx_postgres::options", "shown");
            let span = tracing::info_span!(target: SPANS, "hunter2");
            assert!(span.is_disabled(), "it costs nothing");
            span.in_scope(|| tracing::error!("shown"));
        });
        let text = String::from_utf8(lines.0.lock().expect("a lock").clone()).expect("text");
        assert_eq!(text.matches("shown").count(), 4, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
