//! Log, traces and metrics of the process. This crate knows neither the services nor the configuration as a whole.
//!
//! The log is always written. Spans exist only if they are exported: if `telemetry.endpoint` is empty there is no layer
//! for them, so a span of the target [`SPANS`] is disabled when it is made, and no observer listens to statements.
//!
//! A trace passes from process to process in the headers `traceparent` and `tracestate`. The second one counts only
//! from a trusted or authenticated caller. A call has these spans: of HTTP (`http`), of the gateway's call of the
//! service and of the service itself (`rpc`), of the use case, and of each statement (`statements`). Names follow the
//! semantic conventions of OpenTelemetry. No attribute contains text that a caller sent.
//!
//! The log has its own spans, which are not exported, with the same trace id.

mod grpc_code;
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

/// Starts the log of this process and, if `exporting` names the process, the export of spans and metrics. Needs a
/// runtime. Call [`finish`] at the end.
pub fn start(log: &LogSettings, telemetry: &TelemetrySettings, exporting: Option<&'static str>) -> anyhow::Result<()> {
    let spans = match exporting {
        Some(name) => otlp::start(telemetry, name)?,
        None => None,
    };
    log::start(log, spans)
}

/// Returns the milliseconds since a time, to the microsecond, for the log.
pub fn elapsed_ms(started: Instant) -> f64 {
    started.elapsed().as_micros() as f64 / 1_000.0
}
