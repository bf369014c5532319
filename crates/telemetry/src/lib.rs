//! What the process tells about itself: its log, and spans and metrics for a collector. It knows neither the services nor the
//! configuration as a whole.
//!
//! The log is always there. Spans exist only while somebody wants them: where `telemetry.endpoint` is empty there is no
//! layer for them, so a span of the target [`SPANS`] is disabled where it is made, and nothing listens to statements.
//!
//! A trace goes through every process by the headers `traceparent` and `tracestate`; the second one counts only where a trusted or
//! authenticated caller sends it. A call has these spans: of HTTP
//! (`http`), of the gateway's call of the service and of the service itself (`rpc`), of the use case, and of each statement
//! (`statements`). Names follow the semantic conventions of OpenTelemetry. No attribute holds what a caller sent.
//!
//! The log has spans of its own, which nobody exports, with the same id of the trace.

pub mod http;
mod level;
mod log;
pub mod metrics;
mod monitored_exporter;
mod otlp;
pub mod rpc;
mod sampling;
pub mod settings;
mod statements;
mod trace_context;
mod version;

use std::time::Instant;

pub use level::is_level;
pub use log::SPANS;
pub(crate) use monitored_exporter::signals as exported_signals;
pub use otlp::finish;
pub use otlp::is_on as is_exporting;
pub(crate) use otlp::{keep_until_finish, metrics_reader};
pub use statements::statement_observer;
pub use trace_context::{in_current_trace, trace_id};
pub use version::VERSION;

use crate::settings::{LogSettings, TelemetrySettings};

/// Starts the log of this process and, for a process of this name, the export of spans and metrics. Needs a runtime, and
/// [`finish`] in the end.
pub fn start(log: &LogSettings, telemetry: &TelemetrySettings, exporting: Option<&'static str>) -> anyhow::Result<()> {
    let spans = match exporting {
        Some(name) => otlp::start(telemetry, name)?,
        None => None,
    };
    log::start(log, spans)
}

/// Milliseconds since then, to the microsecond: what a line of the log shows.
pub fn elapsed_ms(started: Instant) -> f64 {
    started.elapsed().as_micros() as f64 / 1_000.0
}
