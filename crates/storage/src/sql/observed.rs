//! Tells the observer that the options name of the statements of a connection.

use sea_orm::{DatabaseConnection, DbBackend};

use crate::options::DatabaseOptions;
use crate::sql::observer::{FinishedStatement, observe, system};
use crate::sqlite::url;

/// Tells of all statements of this connection, and of the transactions that begin on it.
pub(crate) fn observe_connection(connection: &mut DatabaseConnection, options: &DatabaseOptions) {
    let Some(observer) = options.observer.clone() else { return };
    connection.set_metric_callback(move |info| {
        let system = system(info.statement.db_backend);
        observer.observe(&FinishedStatement {
            sql: &info.statement.sql,
            system,
            duration: info.elapsed,
            failed: info.failed,
        });
    });
}

/// Tells of a step that is no statement of ours: BEGIN or COMMIT, with the wait for its turn.
pub(crate) async fn observe_step<T, E>(
    options: &DatabaseOptions,
    step: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let backend = if url::accepts(&options.url) { DbBackend::Sqlite } else { DbBackend::Postgres };
    observe(&options.observer, backend, step, work).await
}
