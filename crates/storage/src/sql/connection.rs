//! Connections that run labelled statements.

use std::ops::Deref;

use access_tokens_domain::store::StoreResult;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement};

use crate::error::store_error;
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

    /// Changes settings of the current transaction, without a prepared statement.
    fn set(&self, settings: &str) -> impl Future<Output = Result<(), DbErr>> + Send;
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
    pub(crate) async fn commit(self) -> StoreResult<()> {
        (*self.transaction).commit().await.map_err(store_error)
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

    async fn set(&self, settings: &str) -> Result<(), DbErr> {
        self.execute_unprepared(settings).await.map(drop)
    }
}
