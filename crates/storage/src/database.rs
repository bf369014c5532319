//! The database as the rest of the service uses it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access_tokens_domain::store::{CallState, ReadConsistency, StoreError, StoreResult};
use sea_orm::{AccessMode, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, IsolationLevel, TransactionTrait};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::error::store_error;
use crate::lookup::Lookup;
use crate::migration;
use crate::options::{DatabaseOptions, SetupError, setup_error};
use crate::postgres::health::Outage;
use crate::postgres::pools::Pools;
use crate::postgres::replicas::Replicas;
use crate::postgres::rights;
use crate::postgres::servers::UrlUse;
use crate::postgres::{self, Purpose};
use crate::reference::{ReferenceCache, Versioned};
use crate::sql::Sql;
use crate::sql::connection::{Connection as _, Snapshot};
use crate::sql::executor::Executor;
use crate::sql::observer::observe;
use crate::sql::row_reader::{RowReader, WriteResult};
use crate::sqlite::generation;
use crate::sqlite::read_pool::ReadPool;
use crate::sqlite::writer::{Limits, SqliteWriter};
use crate::sqlite::{self, Claim};

/// Result of an operation that opens or migrates the database.
pub type Result<T, E = SetupError> = std::result::Result<T, E>;

/// Maximum time to wait for running reads when a SQLite file is closed.
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
        /// Device and inode of the file when it was opened.
        identity: Option<(u64, u64)>,
        /// Set when the database is closed: running reads then end with an error.
        closing: Arc<AtomicBool>,
        /// Held by the process that serves.
        claim: Mutex<Option<Claim>>,
    },
    Postgres(Arc<Pools>),
}

/// Opens a database for reading only: every write fails, and no file is created. Needs a tokio runtime.
pub async fn connect_read_only(options: &DatabaseOptions) -> Result<Database> {
    connect(&DatabaseOptions { read_only: true, ..options.clone() }).await
}

/// Opens a database. Refuses one whose settings would lose acknowledged commits. Needs a tokio runtime.
pub async fn connect(options: &DatabaseOptions) -> Result<Database> {
    options.check()?;
    let options = Arc::new(options.clone());
    let (backend, replicas) = if options.is_sqlite() {
        (open_sqlite(&options).await?, None)
    } else {
        postgres::url::warn_of_ignored_parameters(&options.url);
        let pools = postgres::start::open(&options).await?;
        let replicas = Replicas::of(&options, &pools)?;
        postgres::url::warn_of_unverified_server(&options.url, UrlUse::Primary);
        (Backend::Postgres(pools), replicas)
    };
    let database = Database { options, backend: Arc::new(backend), cache: Arc::default(), replicas };
    if !database.options.read_only && database.options.is_replicated() {
        // The result is ignored: the heartbeat notices a lost database.
        let _ = database.warn_of_failover_losses().await;
    }
    Ok(database)
}

async fn open_sqlite(options: &Arc<DatabaseOptions>) -> Result<Backend> {
    let file = sqlite::url::check_url(&options.url)?;
    let log = sqlite::has_log(&file);
    let failed = |error: DbErr| sqlite::setup_failure(&file, log, &error.into());
    // Before the file is created: a log without its file stays unchanged.
    generation::check(&file)?;
    let mut opening = None;
    if !options.read_only {
        sqlite::create_private(&file)?;
        opening = generation::begin(&file)?;
    }
    let writer = sqlite::connect_writer(options).await.map_err(failed)?;
    if !options.read_only {
        sqlite::check_safe(&writer).await?;
    }
    let closing = Arc::new(AtomicBool::new(false));
    let readers = sqlite::connect_readers(options, &closing).await.map_err(failed)?;
    drop(opening);
    let writer = SqliteWriter::start(writer, Arc::clone(options), &file, Limits::new(options))
        .map_err(|error| SetupError::Database(format!("no thread to write with: {error}")))?;
    let read_pool = ReadPool::new(&file, options.observer.clone());
    let identity = sqlite::identity(&file);
    Ok(Backend::Sqlite { readers, read_pool, writer, file, identity, closing, claim: Mutex::default() })
}

impl Database {
    /// Reports whether this is SQLite, whose schema is migrated at each start. The schema of PostgreSQL is migrated
    /// only on demand.
    pub fn is_sqlite(&self) -> bool {
        matches!(*self.backend, Backend::Sqlite { .. })
    }

    /// Brings the schema up to date. Safe when several processes do it at the same time: one migrates, the others wait.
    /// Refuses a schema that differs from what the migrations create.
    pub async fn migrate(&self) -> Result<()> {
        match &*self.backend {
            Backend::Sqlite { file, .. } => {
                // Before any change: a trigger would run with each step.
                self.check_schema().await?;
                let failed = |error: DbErr| sqlite::setup_failure(file, sqlite::has_log(file), &error.into());
                let connection = sqlite::connect_writer(&self.options).await.map_err(failed)?;
                let result = migration::migrate_sqlite(&connection).await;
                let closed = connection.close().await;
                result.and(closed).map_err(failed)
            }
            Backend::Postgres(pools) => {
                let connection = self.connect_to_migrate(pools).await?;
                let migrate = async {
                    rights::prepare(&connection, &self.options).await?;
                    migration::migrate_postgres(&connection, self.options.migration_lock_timeout).await
                };
                let result = migrate.await;
                let closed = connection.close().await.map_err(setup_error);
                result.and(closed)?;
                self.check_schema().await
            }
        }
    }

    /// Updates the statistics of PostgreSQL's planner on the tables that imports fill. A plan that was made while the
    /// tables were empty may use any index until then, or until PostgreSQL analyses them itself. SQLite needs no
    /// statistics.
    pub async fn analyze(&self) -> Result<()> {
        let Backend::Postgres(pools) = &*self.backend else { return Ok(()) };
        let connection = self.connect_to_migrate(pools).await?;
        let result = connection.execute_unprepared(ANALYZE).await.map(|_| ());
        let closed = connection.close().await;
        result.and(closed).map_err(setup_error)
    }

    async fn connect_to_migrate(&self, pools: &Pools) -> Result<DatabaseConnection> {
        let server = pools.server();
        postgres::connect(&self.options, &server, Purpose::Migrate, pools.alarm(), None).await.map_err(setup_error)
    }

    /// Returns the names of the migrations that are not applied yet. The service is ready only when there are none.
    pub async fn pending_migrations(&self) -> StoreResult<Vec<String>> {
        migration::pending(&self.pool()).await.map_err(store_error)
    }

    /// Checks that the database answers.
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

    /// Returns the reason why calls get no connection although the database answers: PostgreSQL refuses this process
    /// more connections. `None` if calls get connections, or on SQLite.
    pub async fn connection_problem(&self) -> Option<SetupError> {
        match &*self.backend {
            Backend::Sqlite { .. } => None,
            Backend::Postgres(pools) => pools.exhaustion().await,
        }
    }

    /// Returns the reason why a SQLite file cannot be written now: a full disk, or a file that is read-only or that was
    /// removed or replaced while it is open. `None` if it can be written, or on PostgreSQL, which reports such errors
    /// itself.
    pub async fn write_problem(&self) -> Option<&'static str> {
        let Backend::Sqlite { writer, file, identity, .. } = &*self.backend else { return None };
        if identity.is_some() && *identity != sqlite::identity(file) {
            return Some("its file was removed or replaced; stop the service, and put the right file in its place");
        }
        writer.problem().await
    }

    /// Returns whether the database answers, as a value that can be watched. A change is noticed within one to two
    /// seconds, and reading the value never waits. While the value is `false`, work on the database may be dropped at
    /// any point, because no connection is used again. On SQLite the value is always `true`.
    pub fn watch_health(&self) -> watch::Receiver<bool> {
        match &*self.backend {
            Backend::Sqlite { .. } => watch::Sender::new(true).subscribe(),
            Backend::Postgres(pools) => pools.health().subscribe(),
        }
    }

    /// Returns the reason why calls cannot use PostgreSQL now. `None`: they can, or the database is SQLite.
    pub fn outage(&self) -> Option<Outage> {
        match &*self.backend {
            Backend::Sqlite { .. } => None,
            Backend::Postgres(pools) => pools.health().outage(),
        }
    }

    /// Records that this process serves. On SQLite, no other process can then claim the same file until this one drops
    /// the claim: a second server would not know what the first keeps in memory. Commands that only change data need no
    /// claim.
    pub fn claim(&self) -> Result<()> {
        if let Backend::Sqlite { file, claim, .. } = &*self.backend {
            let mut claim = claim.lock().unwrap_or_else(PoisonError::into_inner);
            if claim.is_none() {
                *claim = Some(Claim::new(file)?);
            }
        }
        Ok(())
    }

    /// Returns the number of write transactions that SQLite has acknowledged, and the number of commits that made them
    /// durable.
    pub fn group_commit_counts(&self) -> Option<(u64, u64)> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => Some(writer.counts()),
            Backend::Postgres(_) => None,
        }
    }

    /// Returns the replicas. The first call starts to follow them.
    pub fn replicas(&self) -> Option<Arc<Replicas>> {
        let replicas = self.replicas.clone()?;
        replicas.follow();
        Some(replicas)
    }

    /// Returns the number of write transactions that wait in the queue of SQLite.
    pub fn waiting_to_write(&self) -> Option<usize> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => Some(writer.waiting()),
            Backend::Postgres(_) => None,
        }
    }

    /// Refuses new work and closes the connections. Running reads of a SQLite file are interrupted; write transactions
    /// in the queue are finished.
    ///
    /// The writing connection closes last: as the last connection of all processes it moves the log of a SQLite file
    /// into the file and removes the log, so that the file is complete by itself.
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

    /// Returns a pool, as the migration library needs one.
    pub(crate) fn pool(&self) -> DatabaseConnection {
        match &*self.backend {
            Backend::Sqlite { readers, .. } => readers.clone(),
            Backend::Postgres(pools) => pools.transactions(),
        }
    }

    /// Returns the executor for single statements that read.
    pub(crate) fn readers(&self) -> Executor {
        match &*self.backend {
            Backend::Sqlite { readers, .. } => Executor::Pool(readers.clone(), self.options.observer.clone()),
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

    /// Runs a read on such a replica, otherwise on the primary.
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
    pub(crate) async fn look_up<T, const N: usize>(
        &self,
        lookup: &Lookup<'_, T, N>,
        call: Option<&CallState>,
    ) -> StoreResult<Versioned<T>> {
        match &*self.backend {
            Backend::Sqlite { read_pool, writer, .. } => read_pool.find(lookup, writer.counts().1),
            Backend::Postgres(pools) => {
                let started = Instant::now();
                let row = pools.lookup_batcher().find(lookup.query, &lookup.keys, call).await?;
                self.record_response(started);
                lookup.read(RowReader::from_postgres(&row.ok_or_else(|| lookup.query.unknown_organisation())?))
            }
        }
    }

    /// Records that the database has answered a statement that was sent at `started`.
    fn record_response(&self, started: Instant) {
        if let Backend::Postgres(pools) = &*self.backend {
            pools.health().record_response(started);
        }
    }

    /// Runs one statement that writes, and commits it. PostgreSQL ends a deadlock by making one of its transactions
    /// fail. The statement of that transaction has written nothing, so it runs again and the caller does not see the
    /// deadlock.
    pub(crate) async fn write(&self, sql: Sql) -> StoreResult<WriteResult> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => {
                let (label, statement) = (sql.label, sql.statement(DbBackend::Sqlite));
                label.check(&statement.sql);
                let write = observe(&self.options.observer, DbBackend::Sqlite, label, writer.write(statement));
                Ok(WriteResult::Sqlite(write.await?))
            }
            Backend::Postgres(pools) => {
                let (started, label) = (Instant::now(), sql.label);
                let statement = sql.statement(DbBackend::Postgres);
                loop {
                    match pools.executor().fetch_rows(label, statement.clone()).await.map_err(store_error) {
                        Ok(rows) => {
                            self.record_response(started);
                            return Ok(WriteResult::Postgres(rows));
                        }
                        // A statement that waited too long for a lock has used up the time.
                        Err(StoreError::Conflict(_)) if started.elapsed() < self.options.lock_timeout => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Begins a transaction that sees one state of the database and writes nothing.
    pub(crate) async fn snapshot(&self) -> StoreResult<Snapshot> {
        let snapshot = match &*self.backend {
            // Every read transaction of SQLite sees one state.
            Backend::Sqlite { readers, .. } => readers.begin().await,
            Backend::Postgres(pools) => {
                let (isolation, access) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
                pools.transactions().begin_with_config(Some(isolation), Some(access)).await
            }
        };
        Ok(Snapshot::new(Box::new(snapshot.map_err(store_error)?), &self.options.observer))
    }

    /// Begins such a transaction for reading whole tables: without a statement timeout, and with `setting` for the
    /// planner.
    pub(crate) async fn long_snapshot(&self, setting: &str) -> StoreResult<Snapshot> {
        let snapshot = self.snapshot().await?;
        if !self.is_sqlite() {
            let settings = format!("SET LOCAL statement_timeout = 0; SET LOCAL {setting}");
            snapshot.set(&settings).await.map_err(store_error)?;
        }
        Ok(snapshot)
    }
}
