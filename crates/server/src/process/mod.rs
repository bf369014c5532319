//! The process around the services: how it starts, when it is ready, how it stops.

mod certificates;
mod front;
mod gateway;
mod http_log;
mod ops;
mod ops_paths;
mod ready;
mod serve;
mod starting;
mod upstream;

use std::time::Duration;

pub use gateway::gateway;
pub use serve::serve;

/// How long calls that are under way may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(8);
