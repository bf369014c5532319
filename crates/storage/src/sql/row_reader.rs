//! Rows read by position. The columns of a result are written and read in one order, which is defined in one place;
//! access by name takes several times as long.

use access_tokens_domain::store::StoreResult;
use rusqlite::types::{FromSql, ValueRef};
use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{Decode, Postgres, Row as _, Sqlite};
use sea_orm::{QueryResult, Value};

use crate::error::Failure;
use crate::sqlite::writer::Rows;

/// A row of one of the libraries.
#[derive(Clone, Copy)]
enum Source<'a> {
    Postgres(&'a PgRow),
    Sqlite(&'a SqliteRow),
    Lookup(&'a rusqlite::Row<'a>),
    Written(&'a [rusqlite::types::Value]),
}

/// Type of a column value. It is not checked for each value, because only the migrations determine the types of
/// columns.
pub(crate) trait ColumnValue: for<'r> Decode<'r, Postgres> + for<'r> Decode<'r, Sqlite> + FromSql {}

impl<T: for<'r> Decode<'r, Postgres> + for<'r> Decode<'r, Sqlite> + FromSql> ColumnValue for T {}

/// Reads the columns of a row one after the other.
pub(crate) struct RowReader<'a> {
    row: Option<Source<'a>>,
    next: usize,
}

impl<'a> RowReader<'a> {
    /// Starts at the first column of a sea-orm row.
    pub(crate) fn new(row: &'a QueryResult) -> Self {
        let postgres = row.try_as_pg_row().map(Source::Postgres);
        Self { row: postgres.or_else(|| row.try_as_sqlite_row().map(Source::Sqlite)), next: 0 }
    }

    /// Starts at the first column of a PostgreSQL row.
    pub(crate) fn from_postgres(row: &'a PgRow) -> Self {
        Self { row: Some(Source::Postgres(row)), next: 0 }
    }

    /// Starts at the first column of a row of the SQLite read pool.
    pub(crate) fn from_rusqlite(row: &'a rusqlite::Row<'a>) -> Self {
        Self { row: Some(Source::Lookup(row)), next: 0 }
    }

    /// Starts at the first column of a row of values of SQLite.
    pub(crate) fn from_sqlite(row: &'a [rusqlite::types::Value]) -> Self {
        Self { row: Some(Source::Written(row)), next: 0 }
    }

    /// Reads the next column.
    pub(crate) fn read<T: ColumnValue>(&mut self) -> StoreResult<T> {
        let value = self.peek()?;
        self.next += 1;
        Ok(value)
    }

    /// Reads the columns of a joined table. `None`: the join has found no row.
    pub(crate) fn read_joined<R: TableRow>(&mut self, organisation_key: i32) -> StoreResult<Option<R>> {
        match self.peek::<Option<String>>()? {
            Some(_) => R::read(self, organisation_key).map(Some),
            None => {
                self.skip::<R>();
                Ok(None)
            }
        }
    }

    /// Skips the columns of a table that need not be read.
    pub(crate) fn skip<R: TableRow>(&mut self) {
        self.next += R::COLUMNS.len();
    }

    /// Reads the next column without moving on.
    pub(crate) fn peek<T: ColumnValue>(&self) -> StoreResult<T> {
        let value = match self.row {
            Some(Source::Postgres(row)) => row.try_get_unchecked(self.next).map_err(|error| Failure::from_sqlx(&error)),
            Some(Source::Sqlite(row)) => row.try_get_unchecked(self.next).map_err(|error| Failure::from_sqlx(&error)),
            Some(Source::Lookup(row)) => row.get(self.next).map_err(Failure::from),
            Some(Source::Written(row)) => {
                let value = row.get(self.next).map_or(ValueRef::Null, ValueRef::from);
                T::column_result(value).map_err(|error| Failure::fault(error.to_string()))
            }
            None => Err(Failure::fault("a row of an unknown library")),
        };
        Ok(value?)
    }
}

/// Rows that a write has returned.
pub(crate) enum WriteResult {
    Postgres(Vec<QueryResult>),
    Sqlite(Rows),
}

impl WriteResult {
    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Postgres(rows) => rows.len(),
            Self::Sqlite(rows) => rows.len(),
        }
    }

    /// Returns the first row. No row is written by several statements.
    pub(crate) fn first(&self) -> Option<RowReader<'_>> {
        match self {
            Self::Postgres(rows) => rows.first().map(RowReader::new),
            Self::Sqlite(rows) => rows.first().map(|row| RowReader::from_sqlite(row)),
        }
    }
}

/// A row of a table in a known organisation. Its first column is never NULL.
pub(crate) trait TableRow: Sized {
    /// Names of the columns, in the order in which they are read.
    const COLUMNS: &'static [&'static str];

    /// Reads the columns.
    fn read(row_reader: &mut RowReader<'_>, organisation_key: i32) -> StoreResult<Self>;

    /// Returns the key of the organisation and the columns.
    fn into_values(self) -> Vec<Value>;
}

/// Returns the columns of a table with an alias.
pub(crate) fn columns<R: TableRow>(alias: &str) -> String {
    R::COLUMNS.iter().map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(", ")
}
