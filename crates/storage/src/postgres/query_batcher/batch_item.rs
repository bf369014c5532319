//! What is asked on a lane, alone or together with others of its kind.

use std::sync::Arc;

use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{self, AssertSqlSafe, PgConnection, Postgres, Row};
use sea_orm::{Statement, Value, Values};
use sea_query_sqlx::SqlxValues;

use crate::lookup::Question;
use crate::new_token;

/// What somebody wants of the database.
pub(super) enum Job {
    /// A lane to run a statement of its own.
    Statement,
    /// The row of a question.
    Lookup { question: Question, keys: Vec<String> },
    /// A new token, by its values, of which the first is its organisation.
    NewToken { values: Vec<Value> },
}

impl Job {
    /// May both be asked for with one statement? Nobody has anything to do with another organisation's.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Lookup { question, .. }, Self::Lookup { question: other, .. }) => question == other,
            (Self::NewToken { values }, Self::NewToken { values: other }) => values.first() == other.first(),
            _ => false,
        }
    }

    /// Returns the maximum number of items of this kind in one statement.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Statement => 1,
            Self::Lookup { .. } => 16,
            Self::NewToken { .. } => new_token::MOST,
        }
    }

    /// Must it not be asked for twice?
    pub(super) fn writes(&self) -> bool {
        matches!(self, Self::NewToken { .. })
    }
}

/// The statement for these, all of one kind.
pub(super) fn text(jobs: &[&Arc<Job>]) -> &'static str {
    match jobs.first().map(|job| job.as_ref()) {
        Some(Job::Lookup { question, .. }) if jobs.len() == 1 => question.one(),
        Some(Job::Lookup { question, .. }) => question.many(),
        Some(Job::NewToken { .. }) => new_token::statement(jobs.len()),
        Some(Job::Statement) | None => "",
    }
}

/// Asks for them. The rows are in the order of the jobs; of what is written there are none.
pub(super) async fn ask(connection: &mut PgConnection, jobs: &[&Arc<Job>]) -> sqlx::Result<Vec<Option<PgRow>>> {
    match jobs.first().map(|job| job.as_ref()) {
        Some(Job::Lookup { question, keys }) if jobs.len() == 1 => {
            let mut asked = sqlx::query(question.one()).bind(question.organisation.0);
            for key in keys {
                asked = asked.bind(key);
            }
            Ok(vec![asked.fetch_optional(connection).await?])
        }
        Some(Job::Lookup { question, keys }) => many(connection, *question, keys.len(), jobs).await,
        Some(Job::NewToken { .. }) => {
            let values = jobs.iter().flat_map(|job| match job.as_ref() {
                Job::NewToken { values } => values.as_slice(),
                _ => &[],
            });
            let asked =
                sqlx::query_with(new_token::statement(jobs.len()), SqlxValues(Values(values.cloned().collect())));
            // In a box: lookups need not have room for it.
            Box::pin(asked.execute(connection)).await?;
            Ok(Vec::new())
        }
        Some(Job::Statement) | None => Ok(Vec::new()),
    }
}

/// Rows of one question, to be put in the order of the jobs.
async fn many(
    connection: &mut PgConnection,
    question: Question,
    keys: usize,
    jobs: &[&Arc<Job>],
) -> sqlx::Result<Vec<Option<PgRow>>> {
    let mut asked = sqlx::query(question.many()).bind(question.organisation.0);
    for key in 0..keys {
        let values = jobs.iter().map(|job| match job.as_ref() {
            Job::Lookup { keys, .. } => keys.get(key).map_or("", String::as_str),
            _ => "",
        });
        asked = asked.bind(values.collect::<Vec<_>>());
    }
    let found = asked.fetch_all(connection).await?;
    let mut rows: Vec<_> = jobs.iter().map(|_| None).collect();
    for row in found {
        let place: i64 = row.try_get(row.len() - 1)?;
        if let Some(slot) = usize::try_from(place - 1).ok().and_then(|place| rows.get_mut(place)) {
            *slot = Some(row);
        }
    }
    Ok(rows)
}

/// A statement of sea-orm.
pub(super) fn bound(statement: Statement) -> Query<'static, Postgres, SqlxValues> {
    let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values))
}
