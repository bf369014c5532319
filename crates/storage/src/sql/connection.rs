//! Connections that run labelled statements. Statements of sea-orm need a label too: only [`Labelled`] runs them.

use std::ops::Deref;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};
use sea_orm_migration::async_trait;

use crate::sql::label::Label;
use crate::sql::observer::{Observer, observe};

/// A connection that reports each statement to the observer under the label of the statement.
pub(crate) trait Connection: Sync {
    /// Returns the kind of database.
    fn backend(&self) -> DbBackend;

    /// Runs a statement and returns its rows.
    fn fetch_rows(
        &self,
        label: Label,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<QueryResult>, DbErr>> + Send;

    /// Runs a statement and returns the number of affected rows.
    fn run(&self, label: Label, statement: Statement) -> impl Future<Output = Result<ExecResult, DbErr>> + Send;

    /// Changes settings of the current transaction, without a prepared statement.
    fn set(&self, settings: &str) -> impl Future<Output = Result<(), DbErr>> + Send;

    /// Returns the connection for one statement of sea-orm.
    fn labelled(&self, label: Label) -> Labelled<'_, Self>
    where
        Self: Sized,
    {
        Labelled { connection: self, label }
    }
}

/// A connection that runs statements of sea-orm under one label.
pub(crate) struct Labelled<'a, C> {
    connection: &'a C,
    label: Label,
}

#[async_trait::async_trait]
impl<C: Connection> ConnectionTrait for Labelled<'_, C> {
    fn get_database_backend(&self) -> DbBackend {
        self.connection.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.connection.run(self.label, statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.connection.backend(), sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.connection.fetch_rows(self.label, statement).await
    }
}

/// A transaction whose statements are reported. `T` owns it or has a lock on it.
pub(crate) struct ObservedTransaction<T> {
    transaction: T,
    observer: Observer,
}

/// A transaction that sees one state of the database.
pub(crate) type Snapshot = ObservedTransaction<Box<DatabaseTransaction>>;

impl<T: Deref<Target = DatabaseTransaction> + Sync> ObservedTransaction<T> {
    pub(crate) fn new(transaction: T, observer: &Observer) -> Self {
        Self { transaction, observer: observer.clone() }
    }
}

impl Snapshot {
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        (*self.transaction).commit().await
    }
}

impl<T: Deref<Target = DatabaseTransaction> + Sync> Connection for ObservedTransaction<T> {
    fn backend(&self) -> DbBackend {
        self.transaction.get_database_backend()
    }

    async fn fetch_rows(&self, label: Label, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        label.check(&statement.sql);
        observe(&self.observer, self.backend(), label, self.transaction.query_all_raw(statement)).await
    }

    async fn run(&self, label: Label, statement: Statement) -> Result<ExecResult, DbErr> {
        label.check(&statement.sql);
        observe(&self.observer, self.backend(), label, self.transaction.execute_raw(statement)).await
    }

    async fn set(&self, settings: &str) -> Result<(), DbErr> {
        let set = self.transaction.execute_unprepared(settings);
        observe(&self.observer, self.backend(), Label::OTHER, set).await.map(drop)
    }
}

/// Connections outside of calls, such as those of migrations, are not observed.
impl Connection for DatabaseConnection {
    fn backend(&self) -> DbBackend {
        self.get_database_backend()
    }

    async fn fetch_rows(&self, label: Label, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        label.check(&statement.sql);
        self.query_all_raw(statement).await
    }

    async fn run(&self, label: Label, statement: Statement) -> Result<ExecResult, DbErr> {
        label.check(&statement.sql);
        self.execute_raw(statement).await
    }

    async fn set(&self, settings: &str) -> Result<(), DbErr> {
        self.execute_unprepared(settings).await.map(drop)
    }
}
