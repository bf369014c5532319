//! The access-tokens service: transport, sessions, keys, configuration, commands and the process around them.

pub mod authentication;
pub mod command;
pub mod config;
pub mod crypto;
pub mod process;
pub mod telemetry;
pub mod transport;
