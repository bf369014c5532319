//! The access-tokens service: transport, sessions, keys, configuration, commands and the process around them.

pub mod authentication;
pub mod command;
pub mod config;
pub mod crypto;
#[doc(hidden)]
pub mod fuzzing;
pub mod metrics;
pub mod notification;
pub mod process;
pub mod telemetry;
mod tls;
pub mod transport;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// What is left on blocking threads when all is said and done gets so long to finish.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The whole program: reads the command line, does what it says, and answers the exit code.
pub fn main() -> ExitCode {
    let cli = command::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(command::run(cli));
    telemetry::finish();
    runtime.shutdown_timeout(LAST_WORDS);
    result.unwrap_or_else(|error| failed(&error))
}

/// One line with all causes.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
    ExitCode::FAILURE
}
