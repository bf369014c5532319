//! The process around the services: how it starts, when it is ready, how it stops.

mod certificates;
mod drain;
mod front;
mod gateway;
mod http_log;
mod ops;
mod ops_paths;
mod ready;
mod serve;
mod starting;
mod upstream;

pub use gateway::gateway;
pub use serve::serve;
