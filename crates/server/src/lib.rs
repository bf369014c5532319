//! The program `access-tokens`: configuration, commands, wiring of the other crates, and the life cycle of the process. It knows all crates
//! but those of tests, and has no rule of access tokens.

pub mod command;
pub mod config;
mod databases;
mod health_probe;
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
