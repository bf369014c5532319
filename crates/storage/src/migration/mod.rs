//! The schema, with one file for each migration. A released migration is never changed.

mod dialect;
mod m0001_initial;
mod m0002_credential_ledger;
mod m0003_accounts;

use std::time::Duration;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, Statement};
use sea_orm_migration::seaql_migrations;
use tokio::time::{Instant, sleep};

use crate::options::{SetupError, setup_error};
use crate::sqlite::begin_immediate;

/// "access-t" as a number: the key of the advisory lock that a process holds while it migrates a PostgreSQL schema. Every role that may
/// connect to the database can take it, so a process waits for it for a limited time.
const ADVISORY_LOCK: i64 = 0x6163_6365_7373_2d74;

/// Time between two attempts to take that lock. A session that waits inside of `pg_advisory_lock` would have a snapshot, for which
/// `CREATE INDEX CONCURRENTLY` of the holder waits.
const LOCK_INTERVAL: Duration = Duration::from_millis(250);

/// Time after which the log says for which session the process waits.
const LOCK_NOTICE: Duration = Duration::from_secs(1);

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Migration),
            Box::new(m0002_credential_ledger::Migration),
            Box::new(m0003_accounts::Migration),
        ]
    }
}

/// Brings a SQLite file up to date in one transaction. A concurrent process waits for the lock of the file and then
/// finds nothing to do.
pub(crate) async fn migrate_sqlite(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin_immediate(connection).await?;
    up(&transaction).await?;
    transaction.commit().await
}

/// Brings PostgreSQL up to date. `connection` is a pool of exactly one connection, since the lock belongs to the connection and is always
/// released with it. Takes no lock if nothing is pending.
///
/// # Errors
///
/// [`SetupError::MigrationLocked`] when another session holds the lock for longer than `limit` and something is still pending.
pub(crate) async fn migrate_postgres(connection: &DatabaseConnection, limit: Duration) -> Result<(), SetupError> {
    if pending(connection).await.map_err(setup_error)?.is_empty() || !lock(connection, limit).await? {
        return Ok(());
    }
    up(connection).await.map_err(setup_error)?;
    let unlock = format!("SELECT pg_catalog.pg_advisory_unlock({ADVISORY_LOCK})");
    connection.execute_unprepared(&unlock).await.map_err(setup_error)?;
    Ok(())
}

/// Takes the lock. `false`: another process has applied everything in the meantime.
async fn lock(connection: &DatabaseConnection, limit: Duration) -> Result<bool, SetupError> {
    let (start, mut noticed) = (Instant::now(), false);
    let try_lock = format!("SELECT pg_catalog.pg_try_advisory_lock({ADVISORY_LOCK})");
    loop {
        let statement = Statement::from_string(DbBackend::Postgres, &try_lock);
        let row = connection.query_one_raw(statement).await.map_err(setup_error)?;
        if row.is_some_and(|row| row.try_get_by_index(0).unwrap_or(false)) {
            return Ok(true);
        }
        if pending(connection).await.map_err(setup_error)?.is_empty() {
            return Ok(false);
        }
        let waited = start.elapsed();
        if waited >= limit {
            let holder = holder(connection).await?;
            return Err(SetupError::MigrationLocked { holder, seconds: waited.as_secs() });
        }
        if waited >= LOCK_NOTICE && !noticed {
            noticed = true;
            let holder = holder(connection).await?;
            tracing::warn!(holder, limit_seconds = limit.as_secs(), "another session holds the lock for migrations");
        }
        sleep(LOCK_INTERVAL.min(limit)).await;
    }
}

/// Returns the session that holds the lock: its process id and role, and its application and address if this role may
/// see them.
async fn holder(connection: &DatabaseConnection) -> Result<String, SetupError> {
    let (class, object) = (ADVISORY_LOCK >> 32, ADVISORY_LOCK & 0xffff_ffff);
    let sql = format!(
        "SELECT l.pid, coalesce(CAST(a.usename AS text), '?'), coalesce(a.application_name, ''), coalesce(CAST(a.client_addr AS text), '') \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database \
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND d.datname = pg_catalog.current_database() \
         AND CAST(l.classid AS bigint) = {class} AND CAST(l.objid AS bigint) = {object}"
    );
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.map_err(setup_error)?;
    let Some(row) = row else { return Ok("a session that has just ended".to_owned()) };
    let (pid, role, application, address): (i32, String, String, String) =
        row.try_get_many_by_index().map_err(setup_error)?;
    let seen = [("application", application), ("address", address)].into_iter().filter(|(_, text)| !text.is_empty());
    Ok(seen.fold(format!("pid {pid}, role {role}"), |text, (name, value)| format!("{text}, {name} {value}")))
}

/// Applies pending migrations. It calls the migrator only if there are any: the migrator refuses a database with steps that only a newer
/// version knows, and would thus prevent the start of an old version while a new one runs.
async fn up<'c>(connection: impl IntoSchemaManagerConnection<'c> + Copy) -> Result<(), DbErr> {
    if pending(connection).await?.is_empty() {
        return Ok(());
    }
    Migrator::up(connection, None).await
}

/// Returns the names of the migrations that are not applied yet. Migrations that only a newer version knows are no
/// error: during an upgrade the old version keeps serving.
pub(crate) async fn pending<'c>(connection: impl IntoSchemaManagerConnection<'c>) -> Result<Vec<String>, DbErr> {
    Ok(schema(connection).await?.pending)
}

/// Migrations of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Number of applied migrations. 0: there is no schema.
    pub applied: usize,
    /// Names of the migrations that are not applied yet.
    pub pending: Vec<String>,
    /// Names of applied migrations that this version does not know: a newer version has applied them.
    pub unknown: Vec<String>,
}

/// Returns the state of the migrations. Writes nothing.
pub(crate) async fn schema<'c>(connection: impl IntoSchemaManagerConnection<'c>) -> Result<Schema, DbErr> {
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let manager = SchemaManager::new(connection);
    if !manager.has_table("seaql_migrations").await? {
        return Ok(Schema { pending: known, ..Schema::default() });
    }
    let applied = seaql_migrations::Entity::find().all(manager.get_connection()).await?;
    let applied: Vec<String> = applied.into_iter().map(|row| row.version).collect();
    let without = |all: &[String], some: &[String]| all.iter().filter(|one| !some.contains(one)).cloned().collect();
    Ok(Schema { applied: applied.len(), pending: without(&known, &applied), unknown: without(&applied, &known) })
}

#[cfg(test)]
mod tests;
