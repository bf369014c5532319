//! The schema, one file a step. Steps are never changed once released.

mod m0001_initial;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, EntityTrait, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::seaql_migrations;

/// "access-t" as a number: whoever migrates this service's schema holds this lock.
const ADVISORY_LOCK: i64 = 0x6163_6365_7373_2d74;

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_initial::Migration)]
    }
}

/// Brings a SQLite file up to date in one transaction. Whoever comes second waits for the file's lock and finds
/// nothing left to do.
pub(crate) async fn migrate_sqlite(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Brings PostgreSQL up to date. `connection` is a pool of exactly one connection, since the lock belongs to the
/// connection: it is released with it, whatever happens.
pub(crate) async fn migrate_postgres(connection: &DatabaseConnection) -> Result<(), DbErr> {
    connection.execute_unprepared(&format!("SELECT pg_advisory_lock({ADVISORY_LOCK})")).await?;
    Migrator::up(connection, None).await?;
    connection.execute_unprepared(&format!("SELECT pg_advisory_unlock({ADVISORY_LOCK})")).await?;
    Ok(())
}

/// The names of the steps that are not applied yet. Writes nothing. Steps that only a newer version knows are no
/// fault: while an upgrade rolls out, the old version goes on serving.
pub(crate) async fn pending(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let mut pending: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    if SchemaManager::new(connection).has_table("seaql_migrations").await? {
        let applied = seaql_migrations::Entity::find().all(connection).await?;
        pending.retain(|name| applied.iter().all(|row| row.version != *name));
    }
    Ok(pending)
}
