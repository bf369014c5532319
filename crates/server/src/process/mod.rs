//! The life cycle of a serving process: start, readiness, stop.

mod certificates;
mod gateway;
mod http_log;
mod http_server;
mod ops;
mod ops_paths;
mod ready;
mod serve;
mod starting;
mod upstream;

pub use gateway::gateway;
pub use serve::serve;

use std::time::Duration;

/// Maximum time of calls in progress after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
