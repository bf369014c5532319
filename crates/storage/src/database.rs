//! The database as the rest of the service sees it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::store::{CallState, ReadConsistency, StoreError, StoreResult};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel,
    TransactionTrait,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::counts::{self, Connections};
use crate::error::store_error;
use crate::lookup::Lookup;
use crate::migration;
use crate::options::{DatabaseOptions, SetupError, setup_error};
use crate::postgres::pools::Pools;
use crate::postgres::replicas::Replicas;
use crate::postgres::rights;
use crate::postgres::{self, Purpose};
use crate::reference::ReferenceCache;
use crate::sql::Sql;
use crate::sql::executor::Executor;
use crate::sql::observer;
use crate::sql::row_reader::{RowReader, WriteResult};
use crate::sqlite::generation;
use crate::sqlite::read_pool::ReadPool;
use crate::sqlite::writer::SqliteWriter;
use crate::sqlite::{self, Claim};

/// The result of setting the database up.
pub type Result<T, E = SetupError> = std::result::Result<T, E>;

/// Maximum time that calls which read are waited for when a SQLite file is closed.
const READERS_TIMEOUT: Duration = Duration::from_millis(500);
const ANALYZE: &str = "ANALYZE access_token, accounts_receivable, rewards_participant, contact_information";

/// A database. Clones share its connections.
#[derive(Clone)]
pub struct Database {
    pub(crate) options: Arc<DatabaseOptions>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) cache: Arc<ReferenceCache>,
    replicas: Option<Arc<Replicas>>,
}

#[expect(clippy::large_enum_variant, reason = "there is one of it, behind an Arc")]
pub(crate) enum Backend {
    Sqlite {
        readers: DatabaseConnection,
        read_pool: ReadPool,
        writer: SqliteWriter,
        file: PathBuf,
        /// Which file that was when it was opened.
        identity: Option<(u64, u64)>,
        /// Set when the database is closed: statements that read end then.
        closing: Arc<AtomicBool>,
        /// Kept by the process that serves.
        claim: Mutex<Option<Claim>>,
    },
    Postgres(Arc<Pools>),
}

/// Opens a database to look at it: every write fails, and nothing is created. Needs a tokio runtime.
pub async fn connect_read_only(options: &DatabaseOptions) -> Result<Database> {
    connect(&DatabaseOptions { read_only: true, ..options.clone() }).await
}

/// Opens a database, and refuses one that would lose what it has acknowledged. Needs a tokio runtime.
pub async fn connect(options: &DatabaseOptions) -> Result<Database> {
    let options = Arc::new(options.clone());
    let mut replicas = None;
    let backend = if sqlite::url::accepts(&options.url) {
        let file = sqlite::url::check_url(&options.url)?;
        let log = sqlite::has_log(&file);
        let failed = |error: DbErr| sqlite::setup_failure(&file, log, &error.into());
        let opening = if options.read_only {
            generation::check(&file)?;
            None
        } else {
            // Before the file is made: a log without its file stays as it is.
            generation::check(&file)?;
            sqlite::create_private(&file)?;
            Some(generation::begin(&file)?)
        };
        let writer = sqlite::connect_writer(&options).await.map_err(failed)?;
        if !options.read_only {
            sqlite::check_safe(&writer).await?;
        }
        let closing = Arc::new(AtomicBool::new(false));
        let readers = sqlite::connect_readers(&options, &closing).await.map_err(failed)?;
        drop(opening);
        let writer = SqliteWriter::start(writer, Arc::clone(&options), &file)
            .map_err(|error| SetupError::Database(format!("no thread to write with: {error}")))?;
        let read_pool = ReadPool::new(&file, options.observer.clone());
        let identity = sqlite::identity(&file);
        Backend::Sqlite { readers, read_pool, writer, file, identity, closing, claim: Mutex::default() }
    } else if postgres::url::accepts(&options.url) {
        postgres::url::check_url(&options)?;
        postgres::url::warn_of_ignored_parameters(&options.url);
        let pools = Pools::open(&options).await?;
        replicas = Replicas::of(&options, &pools)?;
        postgres::url::warn_of_unverified_server(&options.url);
        Backend::Postgres(pools)
    } else {
        return Err(SetupError::Url("expected sqlite://path or postgres://user:password@host/database".to_owned()));
    };
    Ok(Database { options, backend: Arc::new(backend), cache: Arc::default(), replicas })
}

impl Database {
    /// Is it SQLite? Its schema is brought up to date at start; that of PostgreSQL only on demand.
    pub fn is_sqlite(&self) -> bool {
        matches!(*self.backend, Backend::Sqlite { .. })
    }

    /// Brings the schema up to date. Safe when several processes do it at once: one does it, the others wait. Refuses a
    /// schema that is not what the steps make.
    pub async fn migrate(&self) -> Result<()> {
        let (connection, result) = match &*self.backend {
            Backend::Sqlite { file, .. } => {
                // Before anything is changed: a trigger would run with each step.
                self.check_schema().await?;
                let failed = |error: DbErr| sqlite::setup_failure(file, sqlite::has_log(file), &error.into());
                let connection = sqlite::connect_writer(&self.options).await.map_err(failed)?;
                let result = migration::migrate_sqlite(&connection).await;
                let closed = connection.close().await;
                return result.and(closed).map_err(failed);
            }
            Backend::Postgres(_) => {
                let connection = postgres::connect(&self.options, Purpose::Migrate).await.map_err(setup_error)?;
                let result = rights::prepare(&connection, &self.options).await;
                let result = match result {
                    Ok(()) => migration::migrate_postgres(&connection, self.options.migration_lock_timeout).await,
                    refused => refused,
                };
                (connection, result)
            }
        };
        let closed = connection.close().await;
        result.and(closed.map_err(setup_error))?;
        self.check_schema().await
    }

    /// Tells PostgreSQL's planner what is in the tables that imports fill. Whatever was planned while they were empty takes any
    /// index for the right one until then, or until PostgreSQL looks by itself. SQLite plans by its indexes.
    pub async fn analyze(&self) -> Result<()> {
        let Backend::Postgres(_) = &*self.backend else { return Ok(()) };
        let connection = postgres::connect(&self.options, Purpose::Migrate).await.map_err(setup_error)?;
        let result = connection.execute_unprepared(ANALYZE).await.map(|_| ());
        let closed = connection.close().await;
        result.and(closed).map_err(setup_error)
    }

    /// The names of the migrations that are still to be run. For health: a service is ready when there are none.
    pub async fn pending_migrations(&self) -> StoreResult<Vec<String>> {
        migration::pending(&self.pool()).await.map_err(store_error)
    }

    /// Does the database answer?
    pub async fn ping(&self) -> StoreResult<()> {
        match &*self.backend {
            Backend::Sqlite { readers, writer, .. } => {
                writer.check()?;
                readers.execute_unprepared("SELECT 1").await.map_err(store_error)?;
                Ok(())
            }
            Backend::Postgres(pools) => pools.check(),
        }
    }

    /// Why calls would get no connection although the database answers: PostgreSQL gives this process none. `None`: they get one,
    /// or it is SQLite.
    pub async fn connection_problem(&self) -> Option<SetupError> {
        match &*self.backend {
            Backend::Sqlite { .. } => None,
            Backend::Postgres(pools) => pools.exhaustion(&self.options).await,
        }
    }

    /// Why nothing can be written to a SQLite file just now: a full disk, a file that is read-only, or was removed or replaced
    /// while it is open. `None`: it can be written, or it is PostgreSQL, which says so itself.
    pub async fn write_problem(&self) -> Option<&'static str> {
        let Backend::Sqlite { writer, file, identity, .. } = &*self.backend else { return None };
        if identity.is_some() && *identity != sqlite::identity(file) {
            return Some("its file was removed or replaced; stop the service, and put the right file in its place");
        }
        writer.problem().await
    }

    /// Whether the database answers, as it changes: known within a second or two, and asked for without waiting. When it
    /// no longer does, work on it may be dropped at any point, as no connection is used again. A file is always there.
    pub fn watch_health(&self) -> watch::Receiver<bool> {
        match &*self.backend {
            Backend::Sqlite { .. } => watch::Sender::new(true).subscribe(),
            Backend::Postgres(pools) => pools.subscribe(),
        }
    }

    /// Says that this process serves. On SQLite no other one can then say the same of this file, as long as this lives: a
    /// second one would not know what the first keeps in memory. Commands that only change something need not say it.
    pub fn claim(&self) -> Result<()> {
        if let Backend::Sqlite { file, claim, .. } = &*self.backend {
            let mut claim = claim.lock().unwrap_or_else(PoisonError::into_inner);
            if claim.is_none() {
                *claim = Some(Claim::new(file)?);
            }
        }
        Ok(())
    }

    /// How many units of work SQLite has acknowledged, and with how many commits.
    pub fn group_commit_counts(&self) -> Option<(u64, u64)> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => Some(writer.counts()),
            Backend::Postgres(_) => None,
        }
    }

    /// Its replicas, which are followed from the first time on that somebody asks for them.
    pub fn replicas(&self) -> Option<Arc<Replicas>> {
        let replicas = self.replicas.clone()?;
        replicas.follow();
        Some(replicas)
    }

    /// Units of work that wait for their turns to write to SQLite.
    pub fn waiting_to_write(&self) -> Option<usize> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => Some(writer.waiting()),
            Backend::Postgres(_) => None,
        }
    }

    /// The connections of calls, by what they are for.
    pub fn connections(&self) -> Vec<Connections> {
        match &*self.backend {
            Backend::Sqlite { readers, .. } => vec![Connections::of("readers", readers)],
            Backend::Postgres(pools) => pools.connections(),
        }
    }

    /// How many access tokens there are in each state, in all organisations.
    ///
    /// Counted, which is a walk through the whole table; but not on PostgreSQL where there are many: there the planner is
    /// believed, who looks at a sample whenever a tenth of the table has changed.
    pub async fn tokens_by_state(&self) -> StoreResult<Vec<(LifeCycleState, u64)>> {
        counts::tokens_by_state(&self.readers()).await
    }

    /// Lets no new work begin, and closes the connections. Statements that read a SQLite file are interrupted, units of
    /// work that wait for their turns are finished.
    ///
    /// The connection that writes is the last to go: as the last connection of all processes it moves the log of a SQLite
    /// file into the file, and removes it, so that the file is complete by itself.
    pub async fn close(&self) {
        if let Some(replicas) = &self.replicas {
            replicas.close().await;
        }
        match &*self.backend {
            Backend::Sqlite { readers, read_pool, writer, closing, claim, file, .. } => {
                closing.store(true, Ordering::Relaxed);
                read_pool.close().await;
                if timeout(READERS_TIMEOUT, readers.close_by_ref()).await.is_err() {
                    tracing::warn!("calls still read the database: its log stays beside it");
                }
                writer.close().await;
                if !self.options.read_only {
                    generation::end(file);
                }
                claim.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
            Backend::Postgres(pools) => pools.close().await,
        }
    }

    /// For the library that migrates, which wants a pool.
    pub(crate) fn pool(&self) -> DatabaseConnection {
        match &*self.backend {
            Backend::Sqlite { readers, .. } => readers.clone(),
            Backend::Postgres(pools) => pools.transactions(),
        }
    }

    /// For single statements that read.
    pub(crate) fn readers(&self) -> Executor {
        match &*self.backend {
            Backend::Sqlite { readers, .. } => Executor::Pool(readers.clone()),
            Backend::Postgres(pools) => pools.executor(),
        }
    }

    /// Runs a read on a replica that is as current as `consistency` demands. `None`: the primary has to answer.
    pub(crate) async fn on_replica<T: Send, W>(
        &self,
        consistency: ReadConsistency,
        work: impl Fn(Executor) -> W + Send + Sync,
    ) -> Option<T>
    where
        W: Future<Output = StoreResult<T>> + Send,
    {
        let replicas = self.replicas.as_ref()?;
        // Boxed to keep the future small where there are no replicas.
        Box::pin(replicas.read(consistency, &work)).await
    }

    /// Runs a read on such a replica, or else on the primary.
    pub(crate) async fn read<T: Send, W>(
        &self,
        consistency: ReadConsistency,
        work: impl Fn(Executor) -> W + Send + Sync,
    ) -> StoreResult<T>
    where
        W: Future<Output = StoreResult<T>> + Send,
    {
        if let Some(found) = self.on_replica(consistency, &work).await {
            return Ok(found);
        }
        let started = Instant::now();
        let found = work(self.readers()).await?;
        self.record_response(started);
        Ok(found)
    }

    /// Looks up one row on the primary. `call` may be dropped while the lookup waits for a connection.
    pub(crate) async fn look_up<L: Lookup>(&self, lookup: &L, call: Option<&CallState>) -> StoreResult<L::Found> {
        match &*self.backend {
            Backend::Sqlite { read_pool, writer, .. } => read_pool.find(lookup, writer.counts().1),
            Backend::Postgres(pools) => {
                let started = Instant::now();
                let row = pools.lookup_batcher().find(lookup.query(), lookup.keys(), call).await?;
                self.record_response(started);
                lookup.read(RowReader::from_postgres(&row.ok_or_else(|| lookup.query().unknown_organisation())?))
            }
        }
    }

    /// It has just answered what was asked then: told where most of the answers are.
    fn record_response(&self, started: Instant) {
        if let Backend::Postgres(pools) = &*self.backend {
            pools.record_response(started);
        }
    }

    /// Runs one statement that writes, and commits it at once. PostgreSQL ends a circle of waiting transactions by making one
    /// of them fail. It wrote nothing then, and is run again, so that no caller hears of the circle.
    pub(crate) async fn write(&self, sql: Sql) -> StoreResult<WriteResult> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => {
                let statement = sql.statement(DbBackend::Sqlite);
                let text = self.options.observer.as_ref().map(|_| statement.sql.clone()).unwrap_or_default();
                let write = writer.write(statement);
                Ok(WriteResult::Sqlite(
                    observer::observe(&self.options.observer, DbBackend::Sqlite, &text, write).await?,
                ))
            }
            Backend::Postgres(pools) => {
                let (started, statement) = (Instant::now(), sql.statement(DbBackend::Postgres));
                loop {
                    match pools.executor().query_all_raw(statement.clone()).await.map_err(store_error) {
                        Ok(rows) => {
                            self.record_response(started);
                            return Ok(WriteResult::Postgres(rows));
                        }
                        // A lock that was not to be had in time has used the time up.
                        Err(StoreError::Conflict(_)) if started.elapsed() < self.options.lock_timeout => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// A transaction that sees one state of the database and writes nothing.
    pub(crate) async fn snapshot(&self) -> StoreResult<DatabaseTransaction> {
        let snapshot = match &*self.backend {
            // A read transaction of SQLite sees one state by nature.
            Backend::Sqlite { readers, .. } => readers.begin().await,
            Backend::Postgres(pools) => {
                let (isolation, access) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
                pools.transactions().begin_with_config(Some(isolation), Some(access)).await
            }
        };
        snapshot.map_err(store_error)
    }

    /// The same for reading whole tables: a statement may take its time, and the planner is told so by `setting`.
    pub(crate) async fn long_snapshot(&self, setting: &str) -> StoreResult<DatabaseTransaction> {
        let snapshot = self.snapshot().await?;
        if !self.is_sqlite() {
            let settings = format!("SET LOCAL statement_timeout = 0; SET LOCAL {setting}");
            snapshot.execute_unprepared(&settings).await.map_err(store_error)?;
        }
        Ok(snapshot)
    }
}
