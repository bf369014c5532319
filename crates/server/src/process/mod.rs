//! The process around the services: how it starts, when it is ready, how it stops.

mod accept;
pub(crate) mod activity;
mod certificates;
mod connections;
mod dropped;
mod frames;
mod front;
mod gateway;
mod greeting;
mod header_block;
mod http1;
mod http_log;
mod idle;
mod ops;
mod ops_paths;
mod own_answers;
pub(crate) mod party;
mod port;
mod ready;
mod serve;
mod signals;
mod starting;
mod stream;
mod unread_body;
mod upstream;

use std::time::Duration;

pub(crate) use dropped::Dropped;
pub use gateway::gateway;
pub use serve::serve;

/// How long calls that are under way may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(8);
