//! The definition of the command line.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use http::Uri;

use super::examples::add_examples;
use super::{api_key, convert_hashes, doctor, gateway, import, keys, organisation, restore, serve, user};

/// The life cycle of access tokens - loyalty cards, app logins, till codes - as a gRPC service with an HTTP gateway.
#[derive(Debug, Parser)]
#[command(name = "access-tokens", version, propagate_version = true, after_help = AFTER_HELP, styles = STYLES)]
pub struct Cli {
    /// Configuration file (TOML). The variable ACCESS_TOKENS_CONFIG names one too.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Set one setting, such as grpc.listen=0.0.0.0:50051; overrides file and environment. Not for secrets: other users of the machine can
    /// see command lines.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,

    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    /// Reads the command line of the process. `--help` and a wrong command line end the process.
    pub fn from_process() -> Self {
        Self::from_arg_matches(&Self::definition().get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Returns the definition of the command line, with examples in the help texts.
    pub(super) fn definition() -> clap::Command {
        add_examples(Self::command(), "access-tokens")
    }
}

/// Colours of help on a terminal. Elsewhere, and where NO_COLOR is set, help has no colours.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
To try it:      access-tokens serve --demo
On PostgreSQL:  access-tokens keys init; ACCESS_TOKENS__DATABASE__URL=postgres://... access-tokens serve

Every setting is an environment variable too (grpc.listen is ACCESS_TOKENS__GRPC__LISTEN);
`access-tokens check-config` lists all settings, with the origin of each value.

To find current and expected problems:  access-tokens doctor

Exit codes: 0 success; 1 failure, or an import refused records; 2 wrong command line; 3 `doctor` found warnings;
4 `backup` and `restore` refer to the tools of PostgreSQL.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve gRPC and the HTTP API of the original, until SIGTERM or SIGINT.
    Serve(serve::Arguments),
    /// Serve only the HTTP API, on http.listen, for a service elsewhere. Needs no database and no keys.
    ///
    /// The port for operators (ops.listen) is that of `serve`: /livez, /readyz and /metrics. The gateway is ready while the service is.
    Gateway {
        /// URL of the gRPC service, such as https://tokens.example.com:50051, or http://127.0.0.1:50051 on this machine.
        #[arg(long, value_name = "URL", value_parser = gateway::upstream)]
        upstream: Uri,
    },
    /// Migrate the schema of the database. `serve` does it at its start, unless database.migrate_at_start is false.
    Migrate {
        /// Create an empty SQLite database although the keys were used with another one. Without this option, a missing database beside
        /// such keys counts as lost, and is an error.
        #[arg(long)]
        new_database: bool,
    },
    /// Import directory records and access tokens from files.
    ///
    /// A record is one JSON object on a line, with one key, its kind: {"unit": {"id": "1", "name": "Main"}}. Kinds: organisation, unit,
    /// business_unit, user, country, industry, industry_sector, contact_information, accounts_receivable, rewards_participant,
    /// classification, access_token. An answer of the original API about access tokens (status and data) is imported as a whole, with all
    /// nested objects. An array of records or answers counts as several files.
    ///
    /// CSV files have access tokens: --map and --mapping assign columns to fields, and --inspect shows a file with a mapping to start from.
    /// gzip and UTF-16 with a byte order mark are recognised. See docs/import.md.
    ///
    /// New objects are inserted, and existing ones are updated; importing a file again changes nothing. An access token that was changed
    /// here after the updated_date of its record is kept, also if the record has no such date; --existing=overwrite writes the record. A
    /// null secret never clears a secret. Codes may move from one token to another within one import.
    ///
    /// An access token is found by the id of its record, or else by its number. A record without both finds it by the authentication code,
    /// or else by the identifier; with a new authentication code it creates a token with the next number of the organisation. If two such
    /// records of a file have the same code or identifier, the second one is refused. --update-only creates nothing.
    ///
    /// A refused record is reported on standard error as FILE:LINE: REASON field: description, and the other records are imported. Of
    /// records with the same reason, the first 20 are shown and all are counted at the end; --rejects collects them in a file that can be
    /// corrected and imported. The exit code is 0 only if every record was imported, and 2 if a file has no record at all.
    Import(import::Arguments),
    /// Convert hashes of pass codes or passwords from an export of another system into records for `import --update-only`.
    ///
    /// Writes one record on each line, such as {"access_token": {"identifier": "m@example.org", "pass_code_hash": "$argon2id$..."}}, and
    /// prints counts at the end. Reads Keycloak, Auth0, Kratos, passlib (Odoo, Zitadel), Django, Werkzeug, ASP.NET Identity, LDAP, Magento,
    /// Better Auth and PHC strings, as JSON, CSV with a header, or one value and hash on each line. It needs no database, and no secret in
    /// clear text.
    ///
    /// Fast hashes are not supported, on purpose: MD5, SHA-1, SHA-crypt, salted SHA, phpass, Drupal, PBKDF2 with SHA-1 and others;
    /// --unsupported lists their owners. The exit code is 0 only if every hash was written, 1 if some were omitted, and 2 if no record was
    /// written, such as for a file without records or of another format.
    ConvertHashes(convert_hashes::Arguments),
    /// Manage organisations: each has its own directory, users and access tokens.
    #[command(subcommand)]
    Organisation(organisation::Command),
    /// Manage users that may log in.
    #[command(subcommand)]
    User(user::Command),
    /// Manage the keys with which services call.
    #[command(subcommand)]
    ApiKey(api_key::Command),
    /// Manage the keys that protect passwords, codes and session tokens.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Query whether a running server is ready: exit code 0 or 1.
    Healthcheck {
        /// Query /readyz on ops.listen, for `access-tokens gateway`, which has no gRPC port.
        #[arg(long)]
        gateway: bool,
    },
    /// Show the settings that apply and their origins, without secrets; or all problems of the configuration.
    CheckConfig {
        /// Print the reference of all settings as Markdown, in place of the current settings.
        #[arg(long)]
        markdown: bool,
    },
    /// Report current and expected problems of this installation, each with its cure.
    ///
    /// Checks the configuration, the keys and whether they open the stored values, the database, its settings and its schema, the clock,
    /// the time to hash a pass code, the policies of all organisations, the permissions of files, and certificates. It changes nothing, and
    /// may run beside a server.
    #[command(after_help = "Exit codes: 0 all is well; 1 there are problems; 3 there are warnings, and no problems.")]
    Doctor(doctor::Arguments),
    /// Copy the SQLite database into a file, while it is served.
    ///
    /// The copy is one state of the database, after all changes that were acknowledged before. It is durable and checked completely before
    /// it gets its name, and nothing is overwritten. The keys are not in it.
    #[command(
        after_help = "Exit codes: 0 the copy is there, and was read; 1 there is none; 4 the database is PostgreSQL."
    )]
    Backup {
        /// File for the copy. It must not exist. It gets mode 0600.
        #[arg(value_name = "TARGET")]
        target: PathBuf,
    },
    /// Replace the SQLite database by a copy, while no server uses it.
    ///
    /// The copy is checked completely first: whether it is undamaged, whether this version supports it, and whether the keys (keys.file)
    /// open the values in it.
    #[command(
        after_help = "Exit codes: 0 it is there, or could be; 1 nothing was changed; 4 the database is PostgreSQL."
    )]
    Restore(restore::Arguments),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual, or write its pages into a directory.
    Man {
        /// Write the pages of all commands into this directory, such as /usr/local/share/man/man1. Without it, the first page is
        /// printed.
        #[arg(value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::all_commands;

    #[test]
    fn the_command_line_is_consistent_and_documented() {
        let mut cli = Cli::definition();
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
            "serve --demo --config access-tokens.toml --set grpc.listen=127.0.0.1:50051",
            "serve --demo --demo-public --set grpc.listen=0.0.0.0:50051",
            "gateway --upstream https://tokens.example.com --set gateway.upstream.ca=ca.pem --set http.listen=0.0.0.0:8080",
            "migrate",
            "import a.ndjson b.json -",
            "import --organisation DEMO --check a.ndjson",
            "import --organisation NEW --create-organisation a.ndjson",
            "import --map number=No --mapping a.toml --rejects b.csv --refuse-card-numbers a.csv",
            "import --inspect --mapping a.toml a.csv",
            "import --update-only --owners existing --classifications existing a.ndjson",
            "convert-hashes --from keycloak --kind user --output hashes.ndjson --unsupported others.csv realm.json",
            "convert-hashes --from better-auth --join identifier=email -",
            "organisation add NEW",
            "organisation rename NEW NEWER",
            "user add --organisation DEMO --username anna --password-stdin --permissions access_tokens.read",
            "user add --organisation DEMO --username anna --password-stdin --unit 1 --permissions access_tokens.read,admin",
            "api-key add --organisation DEMO --name till --unit 1 --permissions access_tokens.read",
            "api-key add --organisation DEMO --name till --permissions access_tokens.read --expires 2027-01-31",
            "user password --organisation DEMO --username anna --password-stdin",
            "user disable --organisation DEMO --username anna",
            "user enable --organisation DEMO --username anna",
            "user list --organisation DEMO",
            "api-key list --organisation DEMO",
            "api-key revoke --organisation DEMO 0123456789abcdef",
            "api-key rotate --organisation DEMO --overlap 0 atk_0123456789abcdef",
            "healthcheck",
            "healthcheck --gateway",
            "check-config",
            "doctor --json --deep",
            "backup copy.db",
            "restore --verify copy.db",
            "restore --replace --accept-missing-keys copy.db",
            "completions bash",
            "man",
            "man pages",
        ] {
            let words = std::iter::once("access-tokens").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn every_command_has_examples_that_are_understood() {
        let commands = all_commands();
        assert!(commands.len() > 15, "{}", commands.len());
        for command in commands {
            let lines = command.examples();
            assert!(!lines.is_empty(), "{} has no example: {}", command.invocation, command.help);
            for line in lines {
                Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    #[test]
    fn permissions_are_mandatory() {
        for line in [
            "user add --organisation DEMO --username anna --password-stdin",
            "api-key add --organisation DEMO --name till",
        ] {
            let words = std::iter::once("access-tokens").chain(line.split(' '));
            let error = Cli::try_parse_from(words).expect_err("refused").to_string();
            assert!(error.contains("--permissions <LIST>"), "{line}: {error}");
        }
    }

    #[test]
    fn an_unknown_permission_is_named_with_the_known_ones() {
        let line = "access-tokens api-key add --organisation DEMO --name x --permissions read";
        let error = Cli::try_parse_from(line.split(' ')).expect_err("refused").to_string();
        assert!(error.contains("read is no permission") && error.contains("access_tokens.read"), "{error}");
    }
}
