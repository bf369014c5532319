//! The process around the services: how it starts, when it is ready, how it stops.

mod connections;
mod ready;
mod serve;
mod signals;
mod starting;

pub use serve::serve;
