//! The commands of the program, one file for each.

mod api_key;
mod backup;
mod check_config;
mod cli;
mod command_help;
mod completions;
mod context;
mod convert_hashes;
mod copy;
mod demo;
mod doctor;
mod errors;
mod examples;
mod files;
mod gateway;
mod healthcheck;
mod import;
mod keys;
mod man;
mod migrate;
mod new_file;
mod organisation;
mod organisation_name;
mod output;
mod permissions;
mod progress;
mod restore;
mod serve;
mod signature;
mod user;

use std::process::ExitCode;
use std::time::Duration;

use access_tokens_telemetry as telemetry;
use tokio::runtime::{Builder, Runtime};

pub use self::cli::Cli;
use self::cli::Command;
use crate::config::LoadedSettings;
use crate::databases;

#[doc(hidden)]
pub use command_help::{CommandHelp, all_commands};
#[doc(hidden)]
pub use import::pieces as import_pieces;

/// Maximum time that blocking threads have to finish when the command has ended.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs a command.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // These commands need no configuration, so that they work with a broken one.
    match &cli.command {
        Command::Completions { shell } => {
            return completions::run(*shell, Cli::definition()).map(|()| ExitCode::SUCCESS);
        }
        Command::Man { directory } => {
            return man::run(directory.as_deref(), Cli::definition()).map(|()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    let gateway = matches!(cli.command, Command::Gateway { .. });
    let loaded = LoadedSettings::load(cli.config.as_deref(), std::env::vars_os(), &cli.set)
        .and_then(|loaded| loaded.with_distinct_ports(gateway));
    let loaded = match (loaded, &cli.command) {
        (Err(error), Command::Doctor(arguments)) => return doctor::refused(&error, arguments),
        (Err(error), Command::CheckConfig { .. }) => return Ok(check_config::refused(&error)),
        (loaded, _) => loaded?,
    };
    let runtime = if is_server(&cli.command) {
        runtime(loaded.settings.process.workers())?
    } else {
        // Signals are handled by another thread while the command blocks, such as in reading its standard input.
        databases::close_on_signals();
        runtime(loaded.settings.process.workers().max(2))?
    };
    let result = runtime.block_on(async {
        let result = execute(cli.command, loaded).await;
        // The databases are closed even if the command failed.
        databases::close_all().await;
        let result = match (databases::interruption(), result) {
            (Some(code), result) => {
                match (databases::take_report(), result) {
                    (Some(report), _) => eprintln!("{report}"),
                    (None, Err(error)) => eprintln!("error: {error:#}"),
                    (None, Ok(_)) => {}
                }
                Ok(ExitCode::from(code))
            }
            (None, result) => result,
        };
        // The last export uses connections of this runtime, so that the runtime has to run meanwhile.
        #[expect(clippy::disallowed_methods, reason = "once, when everything else is over")]
        let _ = tokio::task::spawn_blocking(telemetry::finish).await;
        result
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}

/// Returns a runtime. A single worker runs on this thread, so that no call moves between threads.
fn runtime(workers: usize) -> std::io::Result<Runtime> {
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(workers).enable_all().build()
}

async fn execute(command: Command, loaded: LoadedSettings) -> anyhow::Result<ExitCode> {
    let mut settings = loaded.settings.clone();
    if !is_server(&command) {
        // Other commands print to standard output, and log only problems.
        settings.log.level = "warn".to_owned();
    }
    telemetry::start(&settings.log, &settings.telemetry, telemetry_name(&command))?;
    // `check-config` and `doctor` show these warnings themselves.
    if !matches!(command, Command::CheckConfig { .. } | Command::Doctor(_)) {
        for warning in loaded.warnings() {
            tracing::warn!("{}: {}", warning.message, warning.cure);
        }
    }
    match command {
        Command::Serve(arguments) => serve::run(settings, arguments).await?,
        Command::Gateway { upstream } => {
            gateway::run(settings, upstream, loaded.is_default("ops.listen")).await?;
        }
        Command::Migrate { new_database } => migrate::run(settings, new_database).await?,
        Command::Import(arguments) => return import::run(settings, arguments).await,
        Command::ConvertHashes(arguments) => return convert_hashes::run(&settings, &arguments),
        Command::Organisation(command) => organisation::run(settings, command).await?,
        Command::User(command) => user::run(settings, command).await?,
        Command::ApiKey(command) => api_key::run(settings, command).await?,
        Command::Keys(command) => keys::run(&settings, &command).await?,
        Command::Healthcheck { gateway } => return healthcheck::run(settings, gateway).await,
        Command::CheckConfig { markdown } => check_config::run(&loaded, markdown)?,
        Command::Doctor(arguments) => return doctor::run(&loaded, &arguments).await,
        Command::Backup { target } => return backup::run(&settings, &target).await,
        Command::Restore(arguments) => return restore::run(&settings, arguments).await,
        Command::Completions { .. } | Command::Man { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns whether a command runs until a signal ends it.
fn is_server(command: &Command) -> bool {
    telemetry_name(command).is_some()
}

/// Returns the service name for exported traces and metrics. None for short commands, which export nothing.
fn telemetry_name(command: &Command) -> Option<&'static str> {
    match command {
        Command::Serve(_) => Some("access-tokens"),
        Command::Gateway { .. } => Some("access-tokens-gateway"),
        _ => None,
    }
}
