//! Items of a batch, and the statement that runs a batch.

use std::sync::Arc;

use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{self, AssertSqlSafe, PgConnection, Postgres, Row};
use sea_orm::{Statement, Value, Values};
use sea_query_sqlx::SqlxValues;

use crate::lookup::PreparedQuery;
use crate::new_token;
use crate::sql::label::Label;

/// A request for the database.
pub(super) enum BatchItem {
    /// A slot, to run any statement.
    Statement,
    /// A lookup of one row.
    Lookup { query: PreparedQuery, keys: Vec<String> },
    /// A new token, by its values; the first value is its organisation.
    NewToken { values: Vec<Value> },
}

impl BatchItem {
    /// Reports whether one statement can run both items. Items of different organisations are never combined.
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

    /// Returns the label of the statement for items of this kind.
    pub(super) fn label(&self) -> Label {
        match self {
            Self::Statement => Label::OTHER,
            Self::Lookup { query, .. } => query.label(),
            Self::NewToken { .. } => new_token::LABEL,
        }
    }

    /// Reports whether the item must not be run twice.
    pub(super) fn is_write(&self) -> bool {
        matches!(self, Self::NewToken { .. })
    }
}

/// Runs the items. Returns the rows in the order of the items; writes return no rows.
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
            // Boxed, so that the futures of lookups need no space for it.
            Box::pin(statement.execute(connection)).await?;
            Ok(Vec::new())
        }
        Some(BatchItem::Statement) | None => Ok(Vec::new()),
    }
}

/// Runs lookups of one kind and returns their rows in the order of the items.
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

/// Binds the values of a sea-orm statement.
pub(super) fn bound(statement: Statement) -> Query<'static, Postgres, SqlxValues> {
    let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values))
}
