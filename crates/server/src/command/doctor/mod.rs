//! `doctor`: what is wrong with an installation, or soon will be, and what cures it. It looks, and changes nothing.

mod certificates;
mod clock;
mod configuration;
mod database;
mod files;
mod guesses;
mod hashing;
mod keys;
mod passwords;
mod report;
mod rights;

use std::process::ExitCode;

use access_tokens_storage::{Database, DatabaseOptions, connect_read_only};
use clap::Args;

use self::keys::Ring;
use self::report::Report;
use crate::config::{ConfigError, Loaded, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer as one JSON object: {"status": "well" | "warnings" | "problems", "version": ..., "findings": [{"check",
    /// "level": "ok" | "warning" | "problem", "message", "cure"}]}.
    #[arg(long)]
    json: bool,

    /// Read all of a SQLite file as well, and say what does not fit together. It takes as long as reading it does.
    #[arg(long)]
    deep: bool,
}

pub(super) async fn run(loaded: &Loaded, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (settings, mut report) = (&loaded.settings, Report::default());
    configuration::check(loaded, &mut report);
    files::check(settings, &mut report);
    certificates::check(settings, &mut report);
    let ring = keys::ring(settings, &mut report);
    if let Some(database) = opened(settings, &mut report).await {
        rights::check(&database, &mut report).await;
        let readable = database::check(&database, settings, arguments.deep, &mut report).await;
        clock::check(&database, settings, &mut report).await;
        if readable {
            guesses::check(&database, settings.policy.max_guess_chance, &mut report).await;
            passwords::check(&database, &mut report).await;
        }
        match ring {
            Ring::Good(ring) if readable => keys::check(&database, &ring, &mut report).await,
            Ring::Missing(message) => keys::missing(Some(&database), message, &mut report).await,
            Ring::Good(_) | Ring::None => {}
        }
        database.close().await;
    } else if let Ring::Missing(message) = ring {
        keys::missing(None, message, &mut report).await;
    }
    hashing::check(&mut report).await;
    report.print(arguments.json)
}

/// The report on a configuration that cannot be used: nothing else can be looked at.
pub(super) fn refused(error: &ConfigError, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let cure = "mend it where it is set; `access-tokens check-config --markdown` explains every setting";
    report.problem("configuration", error.to_string(), cure);
    report.print(arguments.json)
}

/// Few connections, none of which can write.
async fn opened(settings: &Settings, report: &mut Report) -> Option<Database> {
    const CHECK: &str = "database";
    let options = DatabaseOptions { postgres_connections: 2, sqlite_readers: 1, ..settings.database.options() };
    if let Err(error) = super::context::refuse_empty_database(settings, false) {
        report.problem(
            CHECK,
            error.to_string(),
            "look at database.url; without a path it is a file of the working directory",
        );
        return None;
    }
    if settings.database.sqlite_file().is_some_and(|file| !file.exists()) {
        report.well(CHECK, "there is none yet: `access-tokens serve` makes it");
        return None;
    }
    match connect_read_only(&options).await {
        Ok(database) => Some(database),
        Err(error) => {
            let cure = if settings.database.is_sqlite() {
                "look at the file and its directory: database.url, owner, permissions; or `access-tokens restore` a backup"
            } else {
                "look whether PostgreSQL runs, and at database.url: host, port, user, password, database, sslmode"
            };
            report.problem(CHECK, error.to_string(), cure);
            None
        }
    }
}
