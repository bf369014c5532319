//! Rules for migrations while servers of the previous release keep working (ADR 10), checked against the text of each
//! migration.

use std::path::Path;

use sea_orm_migration::MigratorTrait;

use super::Migrator;

/// Phrases that remove something the previous release may use, or refuse something it may write, in SQL and in the
/// calls of the migration library.
const DESTRUCTIVE_PHRASES: [&str; 18] = [
    "drop table",
    "drop column",
    "rename",
    "alter column",
    "set not null",
    "add constraint",
    "unique index",
    "drop view",
    "truncate",
    "delete from",
    "drop_table",
    "drop_column",
    "drop_foreign_key",
    "rename_table",
    "rename_column",
    "modify_column",
    "unique_key",
    "add_foreign_key",
];
/// Start of the line with which a migration that removes something names the earlier migration since which it is
/// unused.
const MARKER: &str = "//! contracts since ";

/// Returns the violations of the rules in the text of a migration.
fn violations(text: &str, earlier: &[String]) -> Vec<String> {
    // A migration is a file, and a release may have several: an earlier migration must have made the removed thing
    // unused.
    let allowed = text.lines().find_map(|line| line.strip_prefix(MARKER));
    if allowed.is_some_and(|since| earlier.iter().any(|name| name == since.trim().trim_end_matches('.'))) {
        return Vec::new();
    }
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let words = code.join(" ").to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found: Vec<_> =
        DESTRUCTIVE_PHRASES.iter().filter(|phrase| words.contains(**phrase)).map(ToString::to_string).collect();
    for column in words.split("add column ").skip(1) {
        let column = column.split([',', ';', '"']).next().unwrap_or_default();
        if column.contains("not null") && !column.contains("default") {
            found.push(format!("add column {column}"));
        }
    }
    found
}

#[test]
fn migrations_only_add_unless_they_name_the_step_since_which_it_is_unused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/migration");
    let names = std::fs::read_dir(&folder).expect("the steps").map(|entry| entry.expect("a file").file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with('m') && name.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
    names.sort();
    let mut earlier: Vec<String> = Vec::new();
    for name in names {
        let step = name.trim_end_matches(".rs").to_owned();
        // No release exists before the first migration.
        if !earlier.is_empty() {
            let text = std::fs::read_to_string(folder.join(&name)).expect("a step");
            assert_eq!(
                violations(&text, &earlier),
                Vec::<String>::new(),
                "{name}: see docs/adr/0010-schema-migrations.md"
            );
        }
        earlier.push(step);
    }
    let known: Vec<_> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    assert_eq!(earlier, known, "a file a step, in the order of their names");
}

#[test]
fn what_takes_something_away_is_found() {
    let earlier = ["m0003_names".to_owned()];
    for sql in [
        "ALTER TABLE access_token DROP COLUMN old",
        "ALTER TABLE access_token\n    RENAME TO token",
        "ALTER TABLE unit ADD COLUMN size INTEGER NOT NULL",
        "CREATE UNIQUE INDEX unit_name_key ON unit (name)",
        "manager.drop_table(Table::drop())",
    ] {
        assert_eq!(violations(sql, &earlier).len(), 1, "{sql}");
        assert!(violations(&format!("//! contracts since m0003_names.\n{sql}"), &earlier).is_empty(), "{sql}");
        let unknown = format!("//! contracts since m0009_nothing.\n{sql}");
        assert_eq!(violations(&unknown, &earlier).len(), 1, "it must name a step that is there");
    }
    for sql in [
        "ALTER TABLE unit ADD COLUMN size INTEGER",
        "ALTER TABLE unit ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE a (b INTEGER NOT NULL)",
        "// Nobody may DROP TABLE here.",
    ] {
        assert!(violations(sql, &earlier).is_empty(), "{sql}");
    }
}
