//! Hand-written statements with one text for both databases.

use std::fmt::Write;

use sea_orm::{DbBackend, EntityTrait, FromQueryResult, QueryResult, QueryTrait, Select, Statement, TryGetable, Value};

use access_tokens_domain::store::StoreResult;

use crate::error::store_error;
use crate::sql::connection::Connection;
use crate::sql::label::Label;

/// A statement: its label, its text and its values.
pub(crate) struct Sql {
    pub(crate) label: Label,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(crate) fn new(label: Label, text: impl Into<String>) -> Self {
        Self { label, text: text.into(), values: Vec::new() }
    }

    /// Starts `SELECT columns FROM table` with the text that follows.
    pub(crate) fn select(columns: &str, table: &str, text: &str) -> Self {
        Self::new(Label::on("SELECT", table), format!("SELECT {columns} FROM {table}{text}"))
    }

    /// Starts `INSERT INTO table` with the text that follows.
    pub(crate) fn insert(table: &str, text: &str) -> Self {
        Self::new(Label::on("INSERT", table), format!("INSERT INTO {table} {text}"))
    }

    /// Starts `UPDATE table SET` with the text that follows.
    pub(crate) fn update(table: &str, text: &str) -> Self {
        Self::new(Label::on("UPDATE", table), format!("UPDATE {table} SET {text}"))
    }

    /// Starts `DELETE FROM table` with the text that follows.
    pub(crate) fn delete(table: &str, text: &str) -> Self {
        Self::new(Label::on("DELETE", table), format!("DELETE FROM {table}{text}"))
    }

    /// Creates a statement with a constant text and its values in their order.
    pub(crate) fn fixed(label: Label, text: &str, values: Vec<Value>) -> Self {
        Self { label, text: text.to_owned(), values }
    }

    /// Takes a statement that sea-orm has built on the table of an entity.
    pub(crate) fn of_entity<E: EntityTrait>(
        operation: &'static str,
        query: &impl QueryTrait,
        backend: DbBackend,
    ) -> Self {
        let Statement { sql, values, .. } = query.build(backend);
        let label = Label::on(operation, E::default().table_name());
        Self { label, text: sql, values: values.map(|values| values.0).unwrap_or_default() }
    }

    /// Returns the text, for [`Self::fixed`].
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    #[cfg(test)]
    pub(crate) fn into_parts(self) -> (String, Vec<Value>) {
        (self.text, self.values)
    }

    /// Appends text unchanged. It must never come from a caller.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a value as a parameter. Both databases understand `$1`.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let _ = write!(self.text, "${}", self.values.len());
        self
    }

    /// Appends values as parameters, with commas between them.
    pub(crate) fn bind_all(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> &mut Self {
        for (place, value) in values.into_iter().enumerate() {
            self.push(if place == 0 { "" } else { ", " }).bind(value);
        }
        self
    }

    /// Appends `LIMIT n` as text: with a bound limit SQLite prepares a statement at each run, and PostgreSQL, which
    /// plans once, would plan for a tenth of the table.
    pub(crate) fn limit(&mut self, limit: u32) -> &mut Self {
        let _ = write!(self.text, " LIMIT {limit}");
        self
    }

    pub(crate) fn statement(self, backend: DbBackend) -> Statement {
        Statement::from_sql_and_values(backend, self.text, self.values)
    }

    /// Runs a statement that reads. Returns no rows if a value cannot be stored.
    pub(crate) async fn find<C: Connection>(self, connection: &C) -> StoreResult<Vec<QueryResult>> {
        let text = |value: &Value| match value {
            Value::String(Some(text)) => cannot_exist(text),
            _ => false,
        };
        if self.values.iter().any(text) { Ok(Vec::new()) } else { self.all(connection).await }
    }

    /// Runs any statement.
    pub(crate) async fn all<C: Connection>(self, connection: &C) -> StoreResult<Vec<QueryResult>> {
        let (label, statement) = (self.label, self.statement(connection.backend()));
        connection.fetch_rows(label, statement).await.map_err(store_error)
    }

    /// Runs a statement and returns the first column of its rows.
    pub(crate) async fn column<T: TryGetable>(self, connection: &impl Connection) -> StoreResult<Vec<T>> {
        let rows = self.all(connection).await?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(store_error)).collect()
    }
}

/// Runs a select of sea-orm. Returns no rows if a value cannot be stored.
pub(crate) async fn select<E: EntityTrait>(
    connection: &impl Connection,
    select: &Select<E>,
) -> StoreResult<Vec<E::Model>> {
    let rows = Sql::of_entity::<E>("SELECT", select, connection.backend()).find(connection).await?;
    rows.iter().map(model).collect()
}

/// Reports whether a text cannot be stored. PostgreSQL has no text with a NUL character, and fails on one in a
/// condition, which no row can match.
pub(crate) fn cannot_exist(text: &str) -> bool {
    text.contains('\0')
}

/// Quotes an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn get<T: TryGetable>(row: &QueryResult, column: &str) -> StoreResult<T> {
    row.try_get("", column).map_err(store_error)
}

/// Reads the columns of an entity, by their names.
pub(crate) fn model<M: FromQueryResult>(row: &QueryResult) -> StoreResult<M> {
    M::from_query_result(row, "").map_err(store_error)
}

pub(crate) fn is_postgres<C: Connection>(connection: &C) -> bool {
    connection.backend() == DbBackend::Postgres
}
