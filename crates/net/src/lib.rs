//! Listeners and their connections: TLS, handshakes, limits, HTTP/1 and the signal to stop.
//!
//! This crate bounds the cost of a connection before a call is read. It knows neither the services behind a connection
//! nor the configuration as a whole.

pub mod accept;
mod body_drain;
pub mod client_address;
pub mod connection_tracker;
pub mod connections;
pub mod drop_counters;
pub mod evicting_set;
mod frame_budget;
pub mod handshake;
mod header_block;
pub mod http1;
mod idle_timeout;
pub mod limit_key;
pub mod log_throttle;
mod parse_error_responder;
pub mod port;
pub mod protection;
pub mod signals;
mod stream;
pub mod tls;
