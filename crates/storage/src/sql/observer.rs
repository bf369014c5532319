//! Reports which statements ran, and for how long, to the observer of [`DatabaseOptions`](crate::DatabaseOptions). Without one, nothing
//! is measured.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::DbBackend;

use crate::sql::tables::TABLES;

/// What a statement can be.
const OPERATIONS: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT"];

/// Is told of statements, in the task that runs them, when they have ended. Returns at once, whatever it does with it.
pub trait StatementObserver: Send + Sync + 'static {
    /// A statement has ended, just now.
    fn observe(&self, statement: &FinishedStatement<'_>);
}

/// A statement that has ended. Its text and its values cannot be had from it.
pub struct FinishedStatement<'a> {
    pub(crate) sql: &'a str,
    /// `sqlite` or `postgresql`.
    pub system: &'static str,
    /// How long it took, the wait for a connection left out; but what SQLite commits by itself, with its turn and the commit.
    pub duration: Duration,
    /// Did the database refuse it, or not answer?
    pub failed: bool,
}

impl FinishedStatement<'_> {
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `BEGIN`, `COMMIT`; `OTHER` for what is none of these.
    pub fn operation(&self) -> &'static str {
        let known = |word: &str| OPERATIONS.into_iter().find(|known| known.eq_ignore_ascii_case(word));
        // What begins with WITH says later what it is.
        words(self.sql).find_map(known).unwrap_or("OTHER")
    }

    /// The tables that it reads or writes, each once, in the order in which they are named.
    pub fn tables(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        let mut before = "";
        for word in words(self.sql) {
            if ["FROM", "JOIN", "INTO", "UPDATE"].iter().any(|keyword| keyword.eq_ignore_ascii_case(before))
                && let Some(table) = TABLES.into_iter().find(|table| *table == word)
                && !found.contains(&table)
            {
                found.push(table);
            }
            before = word;
        }
        found
    }
}

impl fmt::Debug for FinishedStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.operation(), self.tables())
    }
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// Who is told, if anybody is.
pub(crate) type Observer = Option<Arc<dyn StatementObserver>>;

/// Tells of a statement that does not go through sea-orm.
pub(crate) async fn observe<T, E>(
    observer: &Observer,
    backend: DbBackend,
    sql: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let Some(observer) = observer else { return work.await };
    let started = Instant::now();
    let result = work.await;
    report(observer.as_ref(), backend, sql, started, &result);
    result
}

/// The same for one of SQLite that nobody waits for.
pub(crate) fn observe_sync<T, E>(observer: &Observer, sql: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let Some(observer) = observer else { return work() };
    let started = Instant::now();
    let result = work();
    report(observer.as_ref(), DbBackend::Sqlite, sql, started, &result);
    result
}

fn report<T, E>(
    observer: &dyn StatementObserver,
    backend: DbBackend,
    sql: &str,
    started: Instant,
    result: &Result<T, E>,
) {
    observer.observe(&FinishedStatement {
        sql,
        system: system(backend),
        duration: started.elapsed(),
        failed: result.is_err(),
    });
}

pub(crate) fn system(backend: DbBackend) -> &'static str {
    if backend == DbBackend::Sqlite { "sqlite" } else { "postgresql" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(sql: &str) -> (&'static str, Vec<&'static str>) {
        let ended = FinishedStatement { sql, system: "sqlite", duration: Duration::ZERO, failed: false };
        (ended.operation(), ended.tables())
    }

    #[test]
    fn operations_and_tables_are_those_of_the_statement_and_nothing_else() {
        let found = ended(
            "SELECT o.directory_version, t.classification FROM organisation o LEFT JOIN access_token t ON t.id = $2 \
             LEFT JOIN contact_information c ON c.id = t.x WHERE o.key = $1",
        );
        assert_eq!(found, ("SELECT", vec!["organisation", "access_token", "contact_information"]));
        assert_eq!(ended("INSERT INTO \"access_token\" (\"id\") VALUES (?)"), ("INSERT", vec!["access_token"]));
        assert_eq!(
            ended("UPDATE access_token SET id = id RETURNING (SELECT x FROM organisation)"),
            ("UPDATE", vec!["access_token", "organisation"])
        );
        assert_eq!(
            ended(
                "WITH ended AS MATERIALIZED (SELECT x.id FROM accounts_receivable o CROSS JOIN access_token x) SELECT 1"
            ),
            ("SELECT", vec!["accounts_receivable", "access_token"])
        );
        assert_eq!(ended("DELETE FROM unit WHERE name = 'hunter2 FROM hunter2'"), ("DELETE", vec!["unit"]));
        assert_eq!(ended("COMMIT"), ("COMMIT", vec![]));
        assert_eq!(ended("PRAGMA hunter2"), ("OTHER", vec![]));
    }

    #[test]
    fn there_is_a_name_for_each_table() {
        let mut modules: Vec<_> = include_str!("../entities/mod.rs")
            .lines()
            .filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'))
            .chain(["known_network", "number_sequence", "released_session", "session"])
            .collect();
        modules.sort_unstable();
        assert_eq!(modules, TABLES);
    }
}
