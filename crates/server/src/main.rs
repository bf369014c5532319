//! The binary. What it does is in the library: `command` for the command line, `process` for serving.

use std::process::ExitCode;
use std::time::Duration;

use access_tokens_server::command::{self, Cli};
use clap::Parser;

/// What is left on blocking threads when all is said and done gets so long to finish.
const LAST_WORDS: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(command::run(cli));
    runtime.shutdown_timeout(LAST_WORDS);
    result.unwrap_or_else(|error| failed(&error))
}

/// One line with all causes.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
    ExitCode::FAILURE
}
