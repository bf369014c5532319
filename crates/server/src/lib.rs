//! The program `access-tokens`: configuration, commands, wiring of the other crates, and life cycle of the process. It depends on all
//! crates except those for tests, and has no rules about access tokens.

pub mod command;
pub mod config;
mod databases;
mod health_probe;
mod key_fit;
pub mod notification;
pub mod process;

use std::process::ExitCode;

/// Runs the program: reads the command line, executes the command, and returns the exit code.
pub fn main() -> ExitCode {
    command::run(command::Cli::from_process()).unwrap_or_else(|error| failed(&error))
}

/// Prints an error with all its causes on one line.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
    ExitCode::FAILURE
}
