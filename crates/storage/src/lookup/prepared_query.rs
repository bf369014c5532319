//! What is looked up: the question, its statements, and how its row is read.

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use sea_orm::ConnectionTrait;

use crate::error::Failure;
use crate::reference;
use crate::sql::Sql;
use crate::sql::row_reader::RowReader;

/// A lookup: a question, and what its row says.
pub(crate) trait Lookup: Sync {
    /// The answer.
    type Found: Send;

    /// What is asked, all but the keys.
    fn query(&self) -> PreparedQuery;

    /// By what.
    fn keys(&self) -> &[&str];

    /// Reads the row of [`PreparedQuery::single_sql`] or [`PreparedQuery::batch_sql`].
    fn read(&self, row_reader: RowReader<'_>) -> StoreResult<Self::Found>;

    /// Looks it up on any connection.
    fn find<C: ConnectionTrait + Send>(&self, connection: C) -> impl Future<Output = StoreResult<Self::Found>> + Send {
        async move {
            let query = self.query();
            let keys = self.keys().iter().map(|key| (*key).into());
            let values = std::iter::once(query.organisation.0.into()).chain(keys).collect();
            let rows = Sql::fixed(query.single_sql(), values).all(&connection).await?;
            self.read(RowReader::new(rows.first().ok_or_else(|| query.unknown_organisation())?))
        }
    }
}

/// What is looked up in an organisation, all but the keys.
#[derive(Clone, Copy)]
pub(crate) struct PreparedQuery {
    /// Whose.
    pub(crate) organisation: OrganisationKey,
    pub(super) statements: &'static Statements,
}

/// The statements of a question: nothing of them depends on values.
pub(crate) struct Statements {
    pub(super) one: String,
    pub(super) many: String,
}

impl PreparedQuery {
    /// The statement for one of each key: `$1` is the organisation, the keys follow. One row, unless there is no such organisation.
    pub(crate) fn single_sql(self) -> &'static str {
        &self.statements.one
    }

    /// The statement for arrays of keys, on PostgreSQL. One row each; the last column is its place, beginning at 1.
    pub(crate) fn batch_sql(self) -> &'static str {
        &self.statements.many
    }

    /// Without any row.
    pub(crate) fn unknown_organisation(self) -> Failure {
        reference::unknown_organisation(self.organisation)
    }
}

impl PartialEq for PreparedQuery {
    fn eq(&self, other: &Self) -> bool {
        self.organisation == other.organisation && std::ptr::eq(self.statements, other.statements)
    }
}
