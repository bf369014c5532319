//! Executor of single statements, each of which commits by itself.

use std::sync::Arc;

use sea_orm::sqlx;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sea_orm_migration::async_trait;

use crate::postgres::query_batcher::QueryBatcher;

/// Runs single statements, for sea-orm and for [`Sql`](crate::sql::Sql).
#[derive(Clone)]
pub(crate) enum Executor {
    /// SQLite, or a replica of PostgreSQL.
    Pool(DatabaseConnection),
    /// The primary of PostgreSQL.
    Postgres(Arc<QueryBatcher>),
}

#[async_trait::async_trait]
impl ConnectionTrait for Executor {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Pool(connection) => connection.get_database_backend(),
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pool(connection) => connection.execute_raw(statement).await,
            Self::Postgres(batcher) => batcher.execute(statement).await.map(ExecResult::from).map_err(failed),
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pool(connection) => connection.execute_unprepared(sql).await,
            Self::Postgres(_) => self.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Pool(connection) => connection.query_one_raw(statement).await,
            Self::Postgres(_) => Ok(self.query_all_raw(statement).await?.into_iter().next()),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Pool(connection) => connection.query_all_raw(statement).await,
            Self::Postgres(batcher) => {
                let rows = batcher.rows(statement).await.map_err(failed)?;
                Ok(rows.into_iter().map(QueryResult::from).collect())
            }
        }
    }
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}
