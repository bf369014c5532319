//! Executor of single statements, each of which commits by itself.

use std::sync::Arc;

use sea_orm::sqlx;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, RuntimeErr, Statement};

use crate::postgres::query_batcher::QueryBatcher;
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::observer::{Observer, observe};

/// Runs single statements.
#[derive(Clone)]
pub(crate) enum Executor {
    /// SQLite, or a replica of PostgreSQL.
    Pool(DatabaseConnection, Observer),
    /// The primary of PostgreSQL.
    Postgres(Arc<QueryBatcher>),
}

impl Connection for Executor {
    fn backend(&self) -> DbBackend {
        match self {
            Self::Pool(connection, _) => connection.get_database_backend(),
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn fetch_rows(&self, label: Label, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        label.check(&statement.sql);
        match self {
            Self::Pool(connection, observer) => {
                observe(observer, self.backend(), label, connection.query_all_raw(statement)).await
            }
            Self::Postgres(batcher) => {
                // Boxed to keep the caller's future small.
                let rows = Box::pin(batcher.rows(label, statement)).await.map_err(failed)?;
                Ok(rows.into_iter().map(QueryResult::from).collect())
            }
        }
    }

    async fn set(&self, settings: &str) -> Result<(), DbErr> {
        self.fetch_rows(Label::OTHER, Statement::from_string(self.backend(), settings)).await.map(drop)
    }
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}
