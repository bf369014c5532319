//! Listeners and their connections: TLS, handshakes, limits, HTTP/1 and the end of the process.
//!
//! It bounds what a connection may cost before a call is read. It knows neither the services behind a connection nor the
//! configuration as a whole.

pub mod accept;
pub mod activity;
pub mod client_address;
pub mod connections;
pub mod dropped;
pub mod eviction;
mod frames;
pub mod greeting;
mod header_block;
pub mod http1;
mod idle;
pub mod mutation;
mod own_answers;
pub mod party;
pub mod port;
pub mod signals;
mod stream;
pub mod throttle;
pub mod tls;
mod unread_body;
