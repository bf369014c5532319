//! The command line: one file a subcommand.

mod api_key;
mod check_config;
mod context;
mod demo;
mod gateway;
mod healthcheck;
mod import;
mod keys;
mod migrate;
mod serve;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Loaded;
use crate::telemetry;

#[doc(hidden)]
pub use import::pieces as import_pieces;

/// The life cycle of access tokens - loyalty cards, app logins, till codes - as a gRPC service with an HTTP gateway.
#[derive(Debug, Parser)]
#[command(name = "access-tokens", version, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
To try it:      access-tokens serve --demo
On PostgreSQL:  access-tokens keys init; ACCESS_TOKENS__DATABASE__URL=postgres://... access-tokens serve

Every setting is an environment variable too (grpc.listen is ACCESS_TOKENS__GRPC__LISTEN);
`access-tokens check-config` lists them all, with where each value comes from.

Exit codes: 0 all is well; 1 it failed, or an import left records out; 2 the command line is wrong.";

/// What every subcommand takes.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file (TOML). ACCESS_TOKENS_CONFIG names one too.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Sets one setting, such as grpc.listen=0.0.0.0:50051; beats file and environment. Not for secrets: other users
    /// of the machine see command lines.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC, and the HTTP API of the original over it, until SIGTERM or SIGINT.
    Serve(serve::Arguments),
    /// Serve only the HTTP API, on http.listen, over a service elsewhere. Needs no database and no keys.
    Gateway(gateway::Arguments),
    /// Bring the schema of the database up to date. `serve` does it by itself, unless database.migrate_at_start is false.
    Migrate,
    /// Import directory records and access tokens from files.
    ///
    /// A record is one JSON object a line, with one key, its kind: {"unit": {"id": "1", "name": "Main"}}. Kinds:
    /// organisation, unit, business_unit, user, country, industry, industry_sector, contact_information,
    /// accounts_receivable, rewards_participant, classification, access_token. A whole answer of the original API
    /// (status and data) is imported as access tokens, with everything nested in them.
    ///
    /// Objects are inserted, or changed when they are known; importing a file again changes nothing. A bad record is
    /// reported on standard error as FILE:LINE: REASON field: description, and the others go in. The exit code is 0
    /// only when every record went in.
    Import(import::Arguments),
    /// Users that may log in.
    #[command(subcommand)]
    User(user::Command),
    /// Keys with which services call.
    #[command(subcommand)]
    ApiKey(api_key::Command),
    /// The keys that passwords, codes and session tokens are protected with.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Ask a running server whether it is ready: exit code 0 or 1.
    Healthcheck,
    /// Show the settings that apply, with where they come from and without secrets.
    CheckConfig,
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Global { config, set } = cli.global;
    let loaded = Loaded::load(config.as_deref(), std::env::vars_os(), &set)?;
    let mut settings = loaded.settings.clone();
    if !matches!(cli.command, Command::Serve(_) | Command::Gateway(_)) {
        // Other commands answer on standard output; the log is for what goes wrong.
        settings.log.level = "warn".to_owned();
    }
    telemetry::start(&settings.log)?;
    match cli.command {
        Command::Serve(arguments) => serve::run(settings, arguments).await?,
        Command::Gateway(arguments) => gateway::run(settings, arguments).await?,
        Command::Migrate => migrate::run(settings).await?,
        Command::Import(arguments) => return import::run(settings, arguments).await,
        Command::User(command) => user::run(settings, command).await?,
        Command::ApiKey(command) => api_key::run(settings, command).await?,
        Command::Keys(command) => keys::run(&settings, &command).await?,
        Command::Healthcheck => return healthcheck::run(settings).await,
        Command::CheckConfig => check_config::run(&loaded),
    }
    Ok(ExitCode::SUCCESS)
}

/// A list of permissions on the command line.
fn permissions(list: &str) -> Result<access_tokens_domain::session::Permissions, String> {
    use access_tokens_domain::session::{Permission, Permissions};
    Permissions::parse(list).map_err(|unknown| {
        let known: Vec<_> = Permission::ALL.into_iter().map(Permission::name).collect();
        format!("{unknown} is no permission; known are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_documented() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        let mut commands = vec![cli];
        while let Some(command) = commands.pop() {
            assert!(command.get_about().is_some(), "{} says nothing about itself", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {} has no help", command.get_name(), argument.get_id());
            }
            commands.extend(command.get_subcommands().filter(|one| one.get_name() != "help").cloned());
        }
    }

    #[test]
    fn documented_command_lines_are_understood() {
        for line in [
            "serve",
            "serve --demo --config access-tokens.toml --set grpc.listen=0.0.0.0:50051",
            "gateway --upstream https://tokens.example.com --set gateway.upstream.ca=ca.pem --set http.listen=0.0.0.0:8080",
            "migrate",
            "import a.ndjson b.json -",
            "import --organisation DEMO --check a.ndjson",
            "user add --organisation DEMO --username anna --password-stdin",
            "user add --organisation DEMO --username anna --password-stdin --unit 1 --permissions access_tokens.read,admin",
            "api-key add --organisation DEMO --name till --unit 1 --permissions access_tokens.read",
            "healthcheck",
            "check-config",
        ] {
            let words = std::iter::once("access-tokens").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn an_unknown_permission_is_named_with_the_known_ones() {
        let line = "access-tokens api-key add --organisation DEMO --name x --permissions read";
        let error = Cli::try_parse_from(line.split(' ')).expect_err("refused").to_string();
        assert!(error.contains("read is no permission") && error.contains("access_tokens.read"), "{error}");
    }
}
