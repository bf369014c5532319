//! What is looked up: the question, its statements, and how its row is read.

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::StoreResult;
use sea_orm::ConnectionTrait;

use crate::error::Failure;
use crate::reference;
use crate::sql::Sql;
use crate::sql::row_reader::Cells;

/// A lookup: a question, and what its row says.
pub(crate) trait Lookup: Sync {
    /// The answer.
    type Found: Send;

    /// What is asked, all but the keys.
    fn question(&self) -> Question;

    /// By what.
    fn keys(&self) -> &[&str];

    /// Reads the row of [`Question::one`] or [`Question::many`].
    fn read(&self, cells: Cells<'_>) -> StoreResult<Self::Found>;

    /// Looks it up on any connection.
    fn find<C: ConnectionTrait + Send>(&self, connection: C) -> impl Future<Output = StoreResult<Self::Found>> + Send {
        async move {
            let question = self.question();
            let keys = self.keys().iter().map(|key| (*key).into());
            let values = std::iter::once(question.organisation.0.into()).chain(keys).collect();
            let rows = Sql::fixed(question.one(), values).all(&connection).await?;
            self.read(Cells::of(rows.first().ok_or_else(|| question.unknown())?))
        }
    }
}

/// What is looked up in an organisation, all but the keys.
#[derive(Clone, Copy)]
pub(crate) struct Question {
    /// Whose.
    pub(crate) organisation: OrganisationKey,
    pub(super) statements: &'static Statements,
}

/// The statements of a question: nothing of them depends on values.
pub(crate) struct Statements {
    pub(super) one: String,
    pub(super) many: String,
}

impl Question {
    /// The statement for one of each key: `$1` is the organisation, the keys follow. One row, unless there is no such organisation.
    pub(crate) fn one(self) -> &'static str {
        &self.statements.one
    }

    /// The statement for arrays of keys, on PostgreSQL. One row each; the last column is its place, beginning at 1.
    pub(crate) fn many(self) -> &'static str {
        &self.statements.many
    }

    /// Without any row.
    pub(crate) fn unknown(self) -> Failure {
        reference::unknown(self.organisation)
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.organisation == other.organisation && std::ptr::eq(self.statements, other.statements)
    }
}
