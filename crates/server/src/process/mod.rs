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
