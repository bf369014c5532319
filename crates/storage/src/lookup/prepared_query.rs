//! Prepared queries of lookups and the reading of their rows.

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{OwnerJoins, StoreResult};

use crate::error::Failure;
use crate::reference::{self, Versioned};
use crate::sql::Sql;
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::row_reader::RowReader;

/// A lookup by `N` keys: a prepared query, the values of its keys, and the conversion of its row.
pub(crate) struct Lookup<'a, T, const N: usize> {
    pub(crate) query: PreparedQuery,
    pub(crate) keys: [&'a str; N],
    /// Owners whose columns the query returns.
    pub(super) joins: OwnerJoins,
    /// Reads the columns after the version of the reference data.
    pub(super) read: fn(&mut RowReader<'_>, OrganisationKey, OwnerJoins) -> StoreResult<T>,
}

impl<T, const N: usize> Lookup<'_, T, N> {
    /// Reads the row that [`PreparedQuery::single_sql`] or [`PreparedQuery::batch_sql`] has returned.
    pub(crate) fn read(&self, mut row_reader: RowReader<'_>) -> StoreResult<Versioned<T>> {
        let version = row_reader.read()?;
        let value = (self.read)(&mut row_reader, self.query.organisation, self.joins)?;
        Ok(Versioned { version, value })
    }

    /// Runs the lookup on any connection.
    pub(crate) async fn find(&self, connection: impl Connection) -> StoreResult<Versioned<T>> {
        let query = self.query;
        let keys = self.keys.iter().map(|key| (*key).into());
        let values = std::iter::once(query.organisation.0.into()).chain(keys).collect();
        let rows = Sql::fixed(query.label(), query.single_sql(), values).all(&connection).await?;
        self.read(RowReader::new(rows.first().ok_or_else(|| query.unknown_organisation())?))
    }
}

/// A lookup in one organisation, without the keys.
#[derive(Clone, Copy)]
pub(crate) struct PreparedQuery {
    /// Organisation of the rows.
    pub(crate) organisation: OrganisationKey,
    pub(super) statements: &'static Statements,
}

/// Statements of a lookup. Their text does not depend on values.
pub(crate) struct Statements {
    pub(super) label: Label,
    pub(super) one: String,
    pub(super) many: String,
}

impl PreparedQuery {
    /// Returns the label of both statements.
    pub(crate) fn label(self) -> Label {
        self.statements.label
    }

    /// Returns the statement for one of each key: `$1` is the organisation, the keys follow. It returns one row, or
    /// none if the organisation does not exist.
    pub(crate) fn single_sql(self) -> &'static str {
        &self.statements.one
    }

    /// Returns the statement for arrays of keys, on PostgreSQL. It returns one row for each position; the last column
    /// is the position, from 1.
    pub(crate) fn batch_sql(self) -> &'static str {
        &self.statements.many
    }

    /// Returns the error for an answer without a row.
    pub(crate) fn unknown_organisation(self) -> Failure {
        reference::unknown_organisation(self.organisation)
    }
}

impl PartialEq for PreparedQuery {
    fn eq(&self, other: &Self) -> bool {
        self.organisation == other.organisation && std::ptr::eq(self.statements, other.statements)
    }
}
