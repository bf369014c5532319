//! The access-tokens service: transport, sessions, keys, configuration, commands and the process around them.

pub mod authentication;
pub mod command;
pub mod config;
pub mod crypto;
mod databases;
mod eviction;
mod files;
mod first_places;
#[doc(hidden)]
pub mod fuzzing;
mod key_fit;
pub mod metrics;
mod mutation;
pub mod notification;
pub mod process;
pub mod telemetry;
mod throttle;
mod tls;
pub mod transport;
mod watch;

use std::process::ExitCode;

use clap::Parser;

/// The whole program: reads the command line, does what it says, and answers the exit code.
pub fn main() -> ExitCode {
    command::run(command::Cli::parse()).unwrap_or_else(|error| failed(&error))
}

/// One line with all causes.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
    ExitCode::FAILURE
}
