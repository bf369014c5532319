//! Labels of statements for traces. A label is given where a statement is made.

use crate::sql::tables::TABLES;

const OPERATIONS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// Operation of a statement and the tables that it reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) operation: &'static str,
    /// Each table once, in the order in which the statement names them.
    pub(crate) tables: &'static [&'static str],
}

impl Label {
    pub(crate) const BEGIN: Self = Self { operation: "BEGIN", tables: &[] };
    pub(crate) const COMMIT: Self = Self { operation: "COMMIT", tables: &[] };
    /// Label of settings and of all other statements that are none of the four operations.
    pub(crate) const OTHER: Self = Self { operation: "OTHER", tables: &[] };
    /// Label of a statement that reads no table of the service, such as one on the catalog of PostgreSQL.
    pub(crate) const CATALOG: Self = Self::select(&[]);

    pub(crate) const fn select(tables: &'static [&'static str]) -> Self {
        Self { operation: "SELECT", tables }
    }

    pub(crate) const fn insert(tables: &'static [&'static str]) -> Self {
        Self { operation: "INSERT", tables }
    }

    pub(crate) const fn update(tables: &'static [&'static str]) -> Self {
        Self { operation: "UPDATE", tables }
    }

    /// Returns the label of an operation on one of [`TABLES`].
    pub(crate) fn on(operation: &'static str, table: &str) -> Self {
        let tables = TABLES.iter().position(|known| *known == table).map_or(&[][..], |at| &TABLES[at..=at]);
        Self { operation, tables }
    }

    /// Checks in debug builds that this is the label of a statement. Every statement that a test runs is checked.
    pub(crate) fn check(self, sql: &str) {
        if cfg!(debug_assertions) {
            let (operation, tables) = parse(sql);
            assert_eq!((self.operation, self.tables), (operation, tables.as_slice()), "the label of {sql}");
        }
    }
}

/// Returns the operation and the tables of a statement by its text.
fn parse(sql: &str) -> (&'static str, Vec<&'static str>) {
    let words = || sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let known = |word: &str| OPERATIONS.into_iter().find(|known| known.eq_ignore_ascii_case(word));
    // A statement that begins with WITH names its operation later.
    let operation = words().find_map(known).unwrap_or("OTHER");
    let (mut tables, mut before) = (Vec::new(), "");
    for word in words() {
        if ["FROM", "JOIN", "INTO", "UPDATE"].iter().any(|keyword| keyword.eq_ignore_ascii_case(before))
            && let Some(table) = TABLES.into_iter().find(|table| *table == word)
            && !tables.contains(&table)
        {
            tables.push(table);
        }
        before = word;
    }
    (operation, tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_the_operation_and_the_tables_of_its_statement() {
        let sql = "SELECT o.directory_version, t.classification FROM organisation o LEFT JOIN access_token t ON t.id = $2 \
                   LEFT JOIN contact_information c ON c.id = t.x WHERE o.key = $1";
        assert_eq!(parse(sql), ("SELECT", vec!["organisation", "access_token", "contact_information"]));
        let insert = "INSERT INTO \"access_token\" (\"id\") VALUES (?)";
        assert_eq!(parse(insert), ("INSERT", vec!["access_token"]));
        let sql = "UPDATE access_token SET id = id RETURNING (SELECT x FROM organisation)";
        assert_eq!(parse(sql), ("UPDATE", vec!["access_token", "organisation"]));
        let sql =
            "WITH ended AS MATERIALIZED (SELECT x.id FROM accounts_receivable o CROSS JOIN access_token x) SELECT 1";
        assert_eq!(parse(sql), ("SELECT", vec!["accounts_receivable", "access_token"]));
        let sql = "DELETE FROM unit WHERE name = 'hunter2 FROM hunter2'";
        assert_eq!(parse(sql), ("DELETE", vec!["unit"]));
        Label::OTHER.check("PRAGMA hunter2");
        Label::on("INSERT", "access_token").check(insert);
        std::panic::catch_unwind(|| Label::CATALOG.check(insert)).expect_err("another label");
    }

    #[test]
    fn the_list_of_tables_has_each_entity() {
        let mut entities: Vec<_> = include_str!("../entities/mod.rs")
            .lines()
            .filter_map(|line| Some(line.trim_start().strip_prefix('"')?.split_once('"')?.0))
            .chain(["known_network", "number_sequence", "released_session", "session"])
            .collect();
        entities.sort_unstable();
        assert_eq!(entities, TABLES);
    }
}
