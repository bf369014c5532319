//! Is the database one on which nothing is lost, and of this version?

use access_tokens_domain::store::StoreError;
use access_tokens_storage::{Database, Setting, Verdict};

use super::report::Report;
use crate::command::context::explained;
use crate::config::Settings;

const CHECK: &str = "database";
const SCHEMA: &str = "schema";

/// Answers whether what is in it can be read: not before its schema is current.
pub(super) async fn check(database: &Database, settings: &Settings, deep: bool, report: &mut Report) -> bool {
    match database.settings().await {
        Ok(found) => found.iter().for_each(|setting| judge(setting, database.is_sqlite(), report)),
        Err(error) => failed(CHECK, "it does not tell its settings", error, report),
    }
    if deep && database.is_sqlite() {
        match database.faults().await {
            Ok(faults) if faults.is_empty() => report.well(CHECK, "all of it was read, and fits together"),
            Ok(faults) => report.problem(CHECK, format!("it is damaged: {}", faults.join("; ")), DAMAGED),
            Err(error) => report.problem(CHECK, format!("it is damaged: {}", told(error)), DAMAGED),
        }
    }
    if !schema(database, settings, report).await {
        return false;
    }
    match database.counts().await {
        Ok(counts) => {
            let counts: Vec<_> = counts.iter().map(|(what, rows)| format!("{what}: {rows}")).collect();
            report.well(CHECK, counts.join(", "));
        }
        Err(error) => failed(CHECK, "it cannot be read", error, report),
    }
    true
}

/// Reports that something of the database cannot be read.
pub(super) fn failed(check: &'static str, what: &str, error: StoreError, report: &mut Report) {
    let error = told(error);
    report.problem(check, format!("{what}: {error}"), cure_of(&error));
}

/// What went wrong, with its cause: whoever runs a command is an operator.
pub(super) fn told(error: StoreError) -> String {
    explained(error.into()).to_string()
}

/// The cure where something of the database cannot be read.
pub(super) fn cure_of(error: &str) -> &'static str {
    if ["malformed", "not a database", "disk image"].iter().any(|sign| error.contains(sign)) {
        DAMAGED
    } else if error.contains("permission denied") {
        "grant the role its rights: \"PostgreSQL roles\" in docs/operations.md has the statements"
    } else if error.starts_with("DATABASE_UNAVAILABLE") {
        "look at the log of the database, and run doctor again when it answers"
    } else {
        "run `access-tokens doctor --deep`, which reads all of a SQLite file; on PostgreSQL, look at its log"
    }
}

const FOREIGN: &str = "undo what is not of this service, such as by DROP TRIGGER, or `access-tokens restore` a backup; then find out how it got there";
const DAMAGED: &str = "stop the service, keep the file, and `access-tokens restore` the last backup";

fn judge(setting: &Setting, sqlite: bool, report: &mut Report) {
    let Setting { name, value, needed, verdict, about } = setting;
    let is = format!("{name} = {value}");
    let cure = if sqlite {
        format!("it has to be {needed}; the service sets it itself: look for whoever else opens the file")
    } else if *name == "server_encoding" {
        format!(
            "make a database with `createdb --encoding={needed} --template=template0`, and move what is in this one there"
        )
    } else {
        format!("it has to be {needed}: `ALTER DATABASE name SET {name} = ...`, or in postgresql.conf")
    };
    match verdict {
        Verdict::Safe => report.well(CHECK, is),
        Verdict::Risky => report.warning(CHECK, format!("{is}: {about}"), cure),
        Verdict::Unsafe => report.problem(CHECK, format!("{is}: {about}"), cure),
    }
}

/// Answers whether it is current.
async fn schema(database: &Database, settings: &Settings, report: &mut Report) -> bool {
    let schema = match database.schema().await {
        Ok(schema) => schema,
        Err(error) => {
            failed(SCHEMA, "it cannot be read", error, report);
            return false;
        }
    };
    if !schema.unknown.is_empty() {
        let message = format!("a newer version has changed it: {}", schema.unknown.join(", "));
        report.warning(SCHEMA, message, "finish the upgrade, so that all replicas are of that version");
    }
    match database.schema_faults().await {
        Ok(faults) if faults.is_empty() => {}
        Ok(faults) => {
            report.problem(SCHEMA, format!("it is not what this service makes: {}", faults.join("; ")), FOREIGN)
        }
        Err(error) => failed(SCHEMA, "it cannot be compared", error, report),
    }
    let pending = schema.pending.join(", ");
    let hidden = database.rights().await.is_ok_and(|rights| rights.is_some_and(|rights| rights.hide_the_schema()));
    if hidden {
        // The rights that the role lacks have a finding of their own, with the cure.
        report.problem(
            SCHEMA,
            "which steps were applied cannot be read: this role may not read seaql_migrations",
            "\"PostgreSQL roles\" in docs/operations.md has the grants",
        );
    } else if schema.pending.is_empty() {
        report.well(SCHEMA, format!("current: {} step(s)", schema.applied));
    } else if database.is_sqlite() || settings.database.migrate_at_start {
        report.warning(SCHEMA, format!("still to be applied: {pending}"), "the next start of `serve` applies it");
    } else {
        report.problem(
            SCHEMA,
            format!("servers are not ready: still to be applied: {pending}"),
            "access-tokens migrate",
        );
    }
    schema.pending.is_empty()
}
