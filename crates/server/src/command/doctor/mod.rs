//! `doctor`: reports current and expected problems of an installation, and their cures. It changes nothing.

mod certificates;
mod clock;
mod configuration;
mod database;
mod files;
mod hashing;
mod hosts;
mod keys;
mod listeners;
mod names;
mod passwords;
mod peers;
mod policies;
mod report;
mod rights;
mod space;

use std::path::Path;
use std::process::ExitCode;

use access_tokens_storage::{Database, DatabaseOptions, SetupError, connect_read_only};
use clap::Args;

use self::keys::RingState;
use self::report::Report;
use crate::config::{ConfigError, LoadedSettings, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object: {"status": "well" | "warnings" | "problems", "version": ..., "findings": [{"check", "level": "ok" | "warning"
    /// | "problem", "message", "cure"}]}.
    #[arg(long)]
    json: bool,

    /// Also read all of a SQLite file and report damage; and count old codes and names without a time limit. It takes as long as reading
    /// the database.
    #[arg(long)]
    deep: bool,
}

pub(super) async fn run(loaded: &LoadedSettings, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (settings, mut report) = (&loaded.settings, Report::new(arguments.deep));
    configuration::check(loaded, &mut report);
    files::check(settings, &mut report);
    certificates::check(settings, &mut report);
    listeners::check(settings, &mut report).await;
    peers::check(settings, &mut report).await;
    space::check_file(settings, &mut report);
    hosts::check(settings, &mut report).await;
    let ring = keys::read_ring(settings, &mut report);
    if let Some(database) = open_database(settings, &mut report).await {
        rights::check(&database, &mut report).await;
        space::check_connections(&database, settings, &mut report).await;
        let readable = database::check(&database, settings, arguments.deep, &mut report).await;
        clock::check(&database, settings, &mut report).await;
        if readable {
            policies::check(&database, settings.policy.max_guess_chance, &mut report).await;
            passwords::check(&database, &mut report).await;
            names::check(&database, arguments.deep, &mut report).await;
        }
        match ring {
            RingState::Good(ring) if readable => keys::check(&database, &ring, &mut report).await,
            RingState::Missing(message) => keys::check_missing(Some(&database), message, &mut report).await,
            RingState::Good(_) | RingState::None => {}
        }
        database.close().await;
    } else if let RingState::Missing(message) = ring {
        keys::check_missing(None, message, &mut report).await;
    }
    hashing::check(&mut report).await;
    report.print(arguments.json)
}

/// Reports an invalid configuration. Nothing else can be checked then.
pub(super) fn refused(error: &ConfigError, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    for problem in error.problems() {
        let cure = "mend it where it is set; `access-tokens check-config` says what the setting means";
        report.problem("configuration", problem.clone(), cure);
    }
    report.print(arguments.json)
}

/// Opens the database with few connections, for reading only.
async fn open_database(settings: &Settings, report: &mut Report) -> Option<Database> {
    const CHECK: &str = "database";
    let options = DatabaseOptions { postgres_connections: 2, sqlite_readers: 1, ..settings.database.options() };
    match super::context::is_empty_beside_used_keys(settings) {
        Ok(false) => {}
        Ok(true) => {
            let file = settings.database.sqlite_file().unwrap_or(Path::new(""));
            let message = format!(
                "{} is empty or missing, and a database was opened with the keys in {}",
                file.display(),
                settings.keys.file.display()
            );
            let cure = "point database.url at the database (without a path it is a file of the working directory), or \
                        `access-tokens restore` a backup; only for a new database with these keys: `access-tokens migrate \
                        --new-database`";
            report.problem(CHECK, message, cure);
            return None;
        }
        Err(error) => {
            report_unopened(&error, settings, report);
            return None;
        }
    }
    if settings.database.sqlite_file().is_some_and(|file| !file.exists()) {
        report.ok(CHECK, "there is none yet: `access-tokens serve` makes it");
        return None;
    }
    match connect_read_only(&options).await {
        Ok(database) => Some(database),
        Err(error) => {
            report_unopened(&error, settings, report);
            None
        }
    }
}

/// Reports a database that cannot be opened, with the cure of the cause.
fn report_unopened(error: &SetupError, settings: &Settings, report: &mut Report) {
    let (message, cure) = error.parts();
    let cure = cure.unwrap_or_else(|| {
        let cure = if settings.database.is_sqlite() {
            "let the user of the service read and write the file and its directory; or `access-tokens restore --replace` a backup"
        } else {
            "look at the log of PostgreSQL, and at database.url: host, port, user, password, database, sslmode"
        };
        cure.to_owned()
    });
    report.problem("database", message, cure);
}
