//! The access-tokens service: transport, sessions, keys, configuration, commands and the process around them.

pub mod command;
pub mod config;
mod databases;
mod key_fit;
pub mod notification;
pub mod process;

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
