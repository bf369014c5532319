//! What is asked on a lane, alone or together with others of its kind.

use std::sync::Arc;

use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{self, AssertSqlSafe, PgConnection, Postgres, Row};
use sea_orm::{Statement, Value, Values};
use sea_query_sqlx::SqlxValues;

use crate::lookup::PreparedQuery;
use crate::new_token;

/// What somebody wants of the database.
pub(super) enum BatchItem {
    /// A lane to run a statement of its own.
    Statement,
    /// The row of a question.
    Lookup { query: PreparedQuery, keys: Vec<String> },
    /// A new token, by its values, of which the first is its organisation.
    NewToken { values: Vec<Value> },
}

impl BatchItem {
    /// May both be asked for with one statement? Nobody has anything to do with another organisation's.
    pub(super) fn can_share_statement(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Lookup { query, .. }, Self::Lookup { query: other, .. }) => query == other,
            (Self::NewToken { values }, Self::NewToken { values: other }) => values.first() == other.first(),
            _ => false,
        }
    }

    /// Returns the maximum number of items of this kind in one statement.
    pub(super) fn max_batch_size(&self) -> usize {
        match self {
            Self::Statement => 1,
            Self::Lookup { .. } => 16,
            Self::NewToken { .. } => new_token::MAX_TOKENS,
        }
    }

    /// Must it not be asked for twice?
    pub(super) fn is_write(&self) -> bool {
        matches!(self, Self::NewToken { .. })
    }
}

/// The statement for these, all of one kind.
pub(super) fn sql_of(items: &[&Arc<BatchItem>]) -> &'static str {
    match items.first().map(|item| item.as_ref()) {
        Some(BatchItem::Lookup { query, .. }) if items.len() == 1 => query.single_sql(),
        Some(BatchItem::Lookup { query, .. }) => query.batch_sql(),
        Some(BatchItem::NewToken { .. }) => new_token::statement(items.len()),
        Some(BatchItem::Statement) | None => "",
    }
}

/// Asks for them. The rows are in the order of the jobs; of what is written there are none.
pub(super) async fn run(connection: &mut PgConnection, items: &[&Arc<BatchItem>]) -> sqlx::Result<Vec<Option<PgRow>>> {
    match items.first().map(|item| item.as_ref()) {
        Some(BatchItem::Lookup { query, keys }) if items.len() == 1 => {
            let mut statement = sqlx::query(query.single_sql()).bind(query.organisation.0);
            for key in keys {
                statement = statement.bind(key);
            }
            Ok(vec![statement.fetch_optional(connection).await?])
        }
        Some(BatchItem::Lookup { query, keys }) => run_lookups(connection, *query, keys.len(), items).await,
        Some(BatchItem::NewToken { .. }) => {
            let values = items.iter().flat_map(|item| match item.as_ref() {
                BatchItem::NewToken { values } => values.as_slice(),
                _ => &[],
            });
            let statement =
                sqlx::query_with(new_token::statement(items.len()), SqlxValues(Values(values.cloned().collect())));
            // In a box: lookups need not have room for it.
            Box::pin(statement.execute(connection)).await?;
            Ok(Vec::new())
        }
        Some(BatchItem::Statement) | None => Ok(Vec::new()),
    }
}

/// Rows of one question, to be put in the order of the jobs.
async fn run_lookups(
    connection: &mut PgConnection,
    query: PreparedQuery,
    keys: usize,
    items: &[&Arc<BatchItem>],
) -> sqlx::Result<Vec<Option<PgRow>>> {
    let mut statement = sqlx::query(query.batch_sql()).bind(query.organisation.0);
    for key in 0..keys {
        let values = items.iter().map(|item| match item.as_ref() {
            BatchItem::Lookup { keys, .. } => keys.get(key).map_or("", String::as_str),
            _ => "",
        });
        statement = statement.bind(values.collect::<Vec<_>>());
    }
    let found = statement.fetch_all(connection).await?;
    let mut rows: Vec<_> = items.iter().map(|_| None).collect();
    for row in found {
        let position: i64 = row.try_get(row.len() - 1)?;
        if let Some(slot) = usize::try_from(position - 1).ok().and_then(|position| rows.get_mut(position)) {
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
