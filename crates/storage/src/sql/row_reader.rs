//! Rows read by position. The columns of an answer are written and read in one order, which is kept in one place; to look
//! each one up by its name takes several times as long.

use access_tokens_domain::store::StoreResult;
use rusqlite::types::{FromSql, ValueRef};
use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{Decode, Postgres, Row as _, Sqlite};
use sea_orm::{QueryResult, Value};

use crate::entities::{access_token, accounts_receivable, contact_information, rewards_participant};
use crate::error::Failure;
use crate::sqlite::writer::Rows;

/// A row, of whichever library.
#[derive(Clone, Copy)]
enum Source<'a> {
    Postgres(&'a PgRow),
    Sqlite(&'a SqliteRow),
    Lookup(&'a rusqlite::Row<'a>),
    Written(&'a [rusqlite::types::Value]),
}

/// What a cell may hold. Its type is that of the column, which only the migrations decide: it is not asked for each cell.
pub(crate) trait ColumnValue: for<'r> Decode<'r, Postgres> + for<'r> Decode<'r, Sqlite> + FromSql {}

impl<T: for<'r> Decode<'r, Postgres> + for<'r> Decode<'r, Sqlite> + FromSql> ColumnValue for T {}

/// The cells of a row, one after the other.
pub(crate) struct RowReader<'a> {
    row: Option<Source<'a>>,
    next: usize,
}

impl<'a> RowReader<'a> {
    /// From the first one.
    pub(crate) fn new(row: &'a QueryResult) -> Self {
        let postgres = row.try_as_pg_row().map(Source::Postgres);
        Self { row: postgres.or_else(|| row.try_as_sqlite_row().map(Source::Sqlite)), next: 0 }
    }

    /// Those of a row from PostgreSQL.
    pub(crate) fn from_postgres(row: &'a PgRow) -> Self {
        Self { row: Some(Source::Postgres(row)), next: 0 }
    }

    /// Those of a row that was looked up in SQLite.
    pub(crate) fn from_rusqlite(row: &'a rusqlite::Row<'a>) -> Self {
        Self { row: Some(Source::Lookup(row)), next: 0 }
    }

    /// Those of a row that was written to SQLite.
    pub(crate) fn from_sqlite_write(row: &'a [rusqlite::types::Value]) -> Self {
        Self { row: Some(Source::Written(row)), next: 0 }
    }

    /// The next one.
    pub(crate) fn read<T: ColumnValue>(&mut self) -> StoreResult<T> {
        let value = self.peek()?;
        self.next += 1;
        Ok(value)
    }

    /// What a join has found, if it has.
    pub(crate) fn read_joined<R: TableRow>(&mut self, organisation_key: i32) -> StoreResult<Option<R>> {
        match self.peek::<Option<String>>()? {
            Some(_) => R::read(self, organisation_key).map(Some),
            None => {
                self.skip::<R>();
                Ok(None)
            }
        }
    }

    /// Leaves out what is known already.
    pub(crate) fn skip<R: TableRow>(&mut self) {
        self.next += R::COLUMNS.len();
    }

    /// The next one, which stays the next one.
    pub(crate) fn peek<T: ColumnValue>(&self) -> StoreResult<T> {
        let value = match self.row {
            Some(Source::Postgres(row)) => row.try_get_unchecked(self.next).map_err(|error| Failure::from_sqlx(&error)),
            Some(Source::Sqlite(row)) => row.try_get_unchecked(self.next).map_err(|error| Failure::from_sqlx(&error)),
            Some(Source::Lookup(row)) => row.get(self.next).map_err(|error| Failure::from_rusqlite(&error)),
            Some(Source::Written(row)) => {
                let value = row.get(self.next).map_or(ValueRef::Null, ValueRef::from);
                T::column_result(value).map_err(|error| Failure::fault(error.to_string()))
            }
            None => Err(Failure::fault("a row of an unknown library")),
        };
        Ok(value?)
    }
}

/// What a statement that writes has answered.
pub(crate) enum WriteResult {
    Postgres(Vec<QueryResult>),
    Sqlite(Rows),
}

impl WriteResult {
    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Postgres(rows) => rows.len(),
            Self::Sqlite(rows) => rows.len(),
        }
    }

    /// Its first row: none is written by more than one.
    pub(crate) fn first(&self) -> Option<RowReader<'_>> {
        match self {
            Self::Postgres(rows) => rows.first().map(RowReader::new),
            Self::Sqlite(rows) => rows.first().map(|row| RowReader::from_sqlite_write(row)),
        }
    }
}

/// A table's row, whose organisation is known. The first of its columns is never null.
pub(crate) trait TableRow: Sized {
    /// Its columns, in the order in which they are read.
    const COLUMNS: &'static [&'static str];

    /// Reads it.
    fn read(row_reader: &mut RowReader<'_>, organisation_key: i32) -> StoreResult<Self>;

    /// The key of its organisation, and its columns.
    fn into_values(self) -> Vec<Value>;
}

/// The columns of a table under an alias.
pub(crate) fn columns<R: TableRow>(alias: &str) -> String {
    R::COLUMNS.iter().map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(", ")
}

macro_rules! rows {
    ($($table:ident { $($column:ident),* $(,)? })*) => {$(
        impl TableRow for $table::Model {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),*];

            fn read(row_reader: &mut RowReader<'_>, organisation_key: i32) -> StoreResult<Self> {
                Ok(Self { organisation_key, $($column: row_reader.read()?),* })
            }

            fn into_values(self) -> Vec<Value> {
                vec![self.organisation_key.into(), $(self.$column.into()),*]
            }
        }
    )*};
}

rows! {
    access_token {
        id, number, life_cycle_state, life_cycle_state_date, authentication_code, identifier, pass_code_hash,
        verification_hash, verification_sealed, otp_hash, otp_expiration, verified_date, verified_by_user,
        card_masked_number, udf_string_1, udf_string_2, udf_string_3, udf_string_4, udf_string_5, udf_string_6,
        udf_string_7, udf_string_8, udf_float_1, udf_float_2, udf_float_3, udf_float_4, udf_date_1, udf_date_2,
        udf_date_3, udf_date_4, accounts_receivable, rewards_participant, classification, created_date,
        created_by_user, created_by_unit, created_by_business_unit, updated_date, updated_by_user, updated_by_unit,
        updated_by_business_unit,
    }
    accounts_receivable { id, number, name, life_cycle_state, account_owner }
    contact_information {
        id, contact_type, life_cycle_state, name, first_name, middle_name, last_name, title, company_name,
        demographics, company_profile,
    }
    rewards_participant { id, number, life_cycle_state, accounts_receivable }
}
