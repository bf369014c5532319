//! Comparison of the schema with what the migrations create. A trigger can give every user all permissions, and a table
//! without its unique constraints spends codes twice; reading rows shows neither.
//!
//! A newer release may have migrated the database: its additions are accepted, as migrations only add (ADR 10). On
//! PostgreSQL, where operators add indexes for their reports, indexes that are not unique and optional columns are
//! accepted too.

use std::collections::{BTreeMap, BTreeSet};

use access_tokens_domain::store::StoreResult;
use sea_orm::ConnectOptions;
use sea_orm_migration::MigratorTrait;

use crate::database::Database;
use crate::error::{Failure, store_error};
use crate::migration::Migrator;
use crate::options::{SetupError, unusable};
use crate::sql::Sql;
use crate::sql::connection::Connection;
use crate::sql::label::Label;

/// Table in which the migration library keeps the names of the migrations. Its definition depends on the library.
const STEPS: &str = "seaql_migrations";
/// Maximum number of differences in a message.
const MAX_FAULTS: usize = 20;

/// Result of [`POSTGRES_QUERY`] on a database that the migrations have created.
const POSTGRES: &str = include_str!("schema/postgres.txt");
const POSTGRES_QUERY: &str = include_str!("schema/postgres.sql");

const SQLITE_QUERY: &str = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema";

impl Database {
    /// Refuses a database whose schema differs from what the migrations create.
    pub async fn check_schema(&self) -> Result<(), SetupError> {
        let mut faults = self.schema_faults().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            unusable(format!("its schema: {error}{cause}"))
        })?;
        faults.truncate(MAX_FAULTS);
        if faults.is_empty() { Ok(()) } else { Err(SetupError::ForeignSchema(faults.join("; "))) }
    }

    /// Returns the differences between the schema and what the migrations create, as texts. Returns none on PostgreSQL
    /// while migrations are pending: the schema is compared after they are applied.
    pub async fn schema_faults(&self) -> StoreResult<Vec<String>> {
        let schema = self.schema().await?;
        let newer = !schema.unknown.is_empty();
        if self.is_sqlite() {
            let known = Migrator::migrations().len() - schema.pending.len();
            let expected = made_by(known).await.map_err(store_error)?;
            let found = objects(&self.readers()).await?;
            return Ok(sqlite_faults(&expected, &found, newer));
        }
        if !schema.pending.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<String> = Sql::new(Label::CATALOG, postgres_query()).column(&self.readers()).await?;
        Ok(postgres_faults(&POSTGRES.lines().map(str::to_owned).collect(), &found.into_iter().collect()))
    }
}

fn postgres_query() -> String {
    let tables: Vec<_> = POSTGRES.lines().filter_map(|line| line.strip_prefix("table ")).collect();
    POSTGRES_QUERY.replace("{tables}", &tables.join(","))
}

fn postgres_faults(expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Vec<String> {
    let missing = expected.difference(found).map(|line| format!("missing, or not as it is made: {line}"));
    let foreign = found.difference(expected).filter(|line| !is_addition(line));
    missing.chain(foreign.map(|line| format!("not of this service: {line}"))).collect()
}

/// Reports whether a newer release or an operator may have added this without harm.
fn is_addition(line: &str) -> bool {
    match line.split(' ').next() {
        Some("column") => !line.contains(" NOT NULL") || line.contains(" DEFAULT "),
        // An index that is being rebuilt concurrently is not valid yet, or is the old one.
        Some("index") => !line.contains(" CREATE UNIQUE ") || line.ends_with(" (invalid)"),
        _ => false,
    }
}

/// Objects of a SQLite schema, by kind and name.
type Objects = BTreeMap<(String, String), Object>;

#[derive(Debug, PartialEq, Eq)]
struct Object {
    table: String,
    sql: String,
}

/// Returns the objects that the first `steps` migrations create.
async fn made_by(steps: usize) -> Result<Objects, sea_orm::DbErr> {
    if steps == 0 {
        return Ok(Objects::new());
    }
    let mut options = ConnectOptions::new("sqlite::memory:");
    // With several connections, each would have its own database.
    options.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await?;
    Migrator::up(&connection, u32::try_from(steps).ok()).await?;
    let made = objects(&connection).await.map_err(|error| sea_orm::DbErr::Custom(error.to_string()))?;
    connection.close().await?;
    Ok(made)
}

async fn objects(connection: &impl Connection) -> StoreResult<Objects> {
    let mut objects = Objects::new();
    for row in Sql::new(Label::CATALOG, SQLITE_QUERY).all(connection).await? {
        let (kind, name, table, sql): (String, String, String, String) =
            row.try_get_many_by_index().map_err(store_error)?;
        if is_internal(&kind, &name) {
            continue;
        }
        let sql = if name == STEPS { String::new() } else { sql.split_whitespace().collect::<Vec<_>>().join(" ") };
        if objects.insert((kind, name), Object { table, sql }).is_some() {
            return Err(Failure::fault("two objects of one name").into());
        }
    }
    Ok(objects)
}

/// Reports whether SQLite creates this object itself: for constraints, for AUTOINCREMENT, or by ANALYZE.
fn is_internal(kind: &str, name: &str) -> bool {
    match kind {
        "table" => ["sqlite_sequence", "sqlite_stat1", "sqlite_stat4"].contains(&name),
        "index" => name.starts_with("sqlite_autoindex_"),
        _ => false,
    }
}

fn sqlite_faults(expected: &Objects, found: &Objects, newer: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for ((kind, name), object) in expected {
        match found.get(&(kind.clone(), name.clone())) {
            None => faults.push(format!("{kind} {name} is missing")),
            Some(there) if there == object => {}
            Some(there) if newer && there.table == object.table && extends(&there.sql, &object.sql) => {}
            Some(_) => faults.push(format!("{kind} {name} is not as it is made")),
        }
    }
    for ((kind, name), object) in found {
        let unique = object.sql.starts_with("CREATE UNIQUE");
        let on_ours = expected.contains_key(&("table".to_owned(), object.table.clone()));
        let added = newer && (kind == "table" || kind == "index" && !(unique && on_ours));
        if !expected.contains_key(&(kind.clone(), name.clone())) && !added {
            faults.push(format!("{kind} {name} is not of this service"));
        }
    }
    faults
}

/// Reports whether the table `there` is the table `made` with additional optional columns.
fn extends(there: &str, made: &str) -> bool {
    let (Some((head, parts, tail)), Some((made_head, made_parts, made_tail))) = (parts(there), parts(made)) else {
        return false;
    };
    let added = |part: &&str| {
        let upper = part.to_uppercase();
        let words = ["CONSTRAINT ", "CHECK", "UNIQUE", "PRIMARY ", "FOREIGN ", "GENERATED ", " AS ("];
        let restricts = words.iter().any(|word| upper.contains(word));
        !restricts && (!upper.contains(" NOT NULL") || upper.contains(" DEFAULT "))
    };
    (head, tail) == (made_head, made_tail)
        && made_parts.iter().all(|part| parts.contains(part))
        && parts.iter().filter(|part| !made_parts.contains(part)).all(added)
}

/// Splits a `CREATE TABLE` statement: the text before the list of columns and constraints, the items of the list, the
/// text after it.
fn parts(sql: &str) -> Option<(&str, Vec<&str>, &str)> {
    let (open, close) = (sql.find('(')?, sql.rfind(')')?);
    let list = sql.get(open + 1..close)?;
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in list.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    Some((sql[..open].trim(), parts, sql[close + 1..].trim()))
}

#[cfg(test)]
mod tests;
