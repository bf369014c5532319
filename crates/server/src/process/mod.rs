//! The process around the services: how it starts, when it is ready, how it stops.

mod certificates;
mod gateway;
mod http_log;
mod http_server;
mod ops;
mod ops_paths;
mod ready;
mod serve;
mod starting;
mod timeouts;
mod upstream;

pub use gateway::gateway;
pub use serve::serve;
