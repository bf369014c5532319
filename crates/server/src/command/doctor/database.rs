//! Checks whether the database is durable, undamaged and of this version.

use access_tokens_domain::store::StoreError;
use access_tokens_storage::{Database, FAILOVER_CURE, Setting, Verdict};

use super::report::Report;
use crate::command::errors::{RESTORE_DATABASE, is_damage_message, with_causes};
use crate::config::Settings;

const CHECK: &str = "database";
const SCHEMA: &str = "schema";

/// Checks the database. Returns whether its content can be read, which requires a current schema.
pub(super) async fn check(database: &Database, settings: &Settings, deep: bool, report: &mut Report) -> bool {
    match database.settings().await {
        Ok(found) => found.iter().for_each(|setting| report_setting(setting, database.is_sqlite(), report)),
        Err(error) => report_unreadable(CHECK, "it does not tell its settings", error, report),
    }
    if deep && database.is_sqlite() {
        match database.faults().await {
            Ok(faults) if faults.is_empty() => report.ok(CHECK, "all of it was read, and fits together"),
            Ok(faults) => report.problem(CHECK, format!("it is damaged: {}", faults.join("; ")), RESTORE_DATABASE),
            Err(error) => report.problem(CHECK, format!("it is damaged: {}", error_text(error)), RESTORE_DATABASE),
        }
    }
    if !schema(database, settings, report).await {
        return false;
    }
    match database.counts().await {
        Ok(counts) => {
            let counts: Vec<_> = counts.iter().map(|(what, rows)| format!("{what}: {rows}")).collect();
            report.ok(CHECK, counts.join(", "));
        }
        Err(error) => report_unreadable(CHECK, "it cannot be read", error, report),
    }
    true
}

/// Reports that a part of the database cannot be read.
pub(super) fn report_unreadable(check: &'static str, what: &str, error: StoreError, report: &mut Report) {
    let error = error_text(error);
    let cure = cure_of(&error, report.deep);
    report.problem(check, format!("{what}: {error}"), cure);
}

/// Returns an error with its causes. Only operators run commands, so that the text of the driver may be shown.
pub(super) fn error_text(error: StoreError) -> String {
    with_causes(&error.into())
}

/// Returns the cure for a database that cannot be read. `deep`: the command reads all of a SQLite file already.
pub(super) fn cure_of(error: &str, deep: bool) -> &'static str {
    if is_damage_message(error) {
        RESTORE_DATABASE
    } else if error.contains("permission denied") {
        "grant the role its rights: \"PostgreSQL roles\" in docs/operations.md has the statements"
    } else if error.starts_with("DATABASE_UNAVAILABLE") {
        "look at the log of the database, and run doctor again when it answers"
    } else if deep {
        "look at the log of PostgreSQL; of SQLite, stop the service, keep a copy of all files of the database, and \
         `access-tokens restore --replace` the last backup"
    } else {
        "run `access-tokens doctor --deep`, which reads all of a SQLite file; on PostgreSQL, look at its log"
    }
}

/// Returns the cure for a schema that others changed.
const fn schema_cure(sqlite: bool) -> &'static str {
    if sqlite {
        "undo what is not of this service, such as by DROP TRIGGER, or `access-tokens restore --replace` a backup; then find out how it got \
         there"
    } else {
        "undo what was changed, such as by DROP TRIGGER or ALTER TABLE; what is missing is made by `access-tokens migrate` in an empty schema, \
         to compare with, or comes back with a backup of PostgreSQL; then find out who changed it"
    }
}

fn report_setting(setting: &Setting, sqlite: bool, report: &mut Report) {
    let Setting { name, value, needed, verdict, about } = setting;
    let is = format!("{name} = {value}");
    let cure = if sqlite {
        format!("it has to be {needed}; the service sets it itself: look for another program that opens the file")
    } else if *name == "server_encoding" {
        format!(
            "make a database with `createdb --encoding={needed} --template=template0`, and move what is in this one there"
        )
    } else {
        match *name {
            // These are settings of the whole server.
            "fsync" | "full_page_writes" => format!(
                "as a superuser, in psql: `ALTER SYSTEM SET {name} = {needed}; SELECT pg_reload_conf();`, and start the server \
                 without `-c {name}=...`"
            ),
            "default_transaction_read_only" => {
                "ALTER ROLE role RESET default_transaction_read_only, or ALTER DATABASE name RESET it: whichever was set; a provider may have \
                 set it because the disk is full"
                    .to_owned()
            }
            "synchronous_standby_names" => FAILOVER_CURE.to_owned(),
            "in_hot_standby" => "name the primary in database.url".to_owned(),
            // Each connection sets these itself.
            "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout" => {
                "name PostgreSQL itself in database.url, or let the pooler pool by session (pgbouncer: pool_mode = session)"
                    .to_owned()
            }
            _ => format!("as a superuser: `ALTER DATABASE name SET {name} = {needed}`, or in postgresql.conf"),
        }
    };
    match verdict {
        Verdict::Safe => report.ok(CHECK, is),
        Verdict::Risky => report.warning(CHECK, format!("{is}: {about}"), cure),
        Verdict::Unsafe => report.problem(CHECK, format!("{is}: {about}"), cure),
    }
}

/// Reports on the schema, and returns whether it is current.
async fn schema(database: &Database, settings: &Settings, report: &mut Report) -> bool {
    let schema = match database.schema().await {
        Ok(schema) => schema,
        Err(error) => {
            report_unreadable(SCHEMA, "it cannot be read", error, report);
            return false;
        }
    };
    if !schema.unknown.is_empty() {
        let message = format!("a newer version has changed it: {}", schema.unknown.join(", "));
        report.warning(SCHEMA, message, "finish the upgrade, so that all replicas are of that version");
    }
    match database.schema_faults().await {
        Ok(faults) if faults.is_empty() => {}
        Ok(faults) => report.problem(
            SCHEMA,
            format!("it is not what this service makes: {}", faults.join("; ")),
            schema_cure(database.is_sqlite()),
        ),
        Err(error) => report_unreadable(SCHEMA, "it cannot be compared", error, report),
    }
    let pending = schema.pending.join(", ");
    let hidden = database.rights().await.is_ok_and(|rights| rights.is_some_and(|rights| rights.hide_the_schema()));
    if hidden {
        // The missing rights are a separate finding, with the cure.
        report.problem(
            SCHEMA,
            "which steps were applied cannot be read: this role lacks rights",
            "\"PostgreSQL roles\" in docs/operations.md has the grants",
        );
    } else if schema.pending.is_empty() {
        report.ok(SCHEMA, format!("current: {} step(s)", schema.applied));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cure(name: &'static str) -> String {
        let setting = Setting { name, value: "off".to_owned(), needed: "on", verdict: Verdict::Unsafe, about: "lost" };
        let mut report = Report::default();
        report_setting(&setting, false, &mut report);
        format!("{report:?}")
    }

    #[test]
    fn settings_of_the_whole_server_are_not_set_for_a_database() {
        for name in ["fsync", "full_page_writes"] {
            let found = cure(name);
            assert!(found.contains(&format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();")), "{found}");
            assert!(!found.contains("ALTER DATABASE"), "{found}");
        }
        assert!(cure("synchronous_commit").contains("ALTER DATABASE name SET synchronous_commit = on"));
    }

    #[test]
    fn a_fault_is_reported_with_its_cause_and_one_cure() {
        let error = StoreError::Fault(Box::new(std::io::Error::other("database disk image is malformed")));
        let told = error_text(error);
        assert!(told.contains("database disk image is malformed"), "{told}");
        assert_eq!(cure_of(&told, true), RESTORE_DATABASE);
        assert!(!cure_of("INTERNAL internal error", true).contains("doctor --deep"));
    }
}
