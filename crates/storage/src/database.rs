//! The database as the rest of the service sees it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use access_tokens_domain::access_token::{AccessToken, Guard, Stamp, TokenChanges};
use access_tokens_domain::identifier::{AccountsReceivableIdentifier, RewardsParticipantIdentifier, TokenKey};
use access_tokens_domain::life_cycle::LifeCycleState;
use access_tokens_domain::reference::Reference;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{
    Account, FoundOwners, FoundToken, Load, Lookup, Owners, Participant, Sequence, Store, StoreResult, TokenPage,
};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, IsolationLevel, QueryResult, TransactionTrait,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cells::Cells;
use crate::error::store_error;
use crate::file_lookups::FileLookups;
use crate::lookup::Question;
use crate::options::{DatabaseOptions, SetupError};
use crate::pools::Pools;
use crate::postgres::{self, Purpose};
use crate::reference::ReferenceCache;
use crate::single::Single;
use crate::sql::Sql;
use crate::sqlite::{self, setup_error};
use crate::sqlite_writer::SqliteWriter;
use crate::tokens::Found;
use crate::unit_of_work::{Transaction, Unit};
use crate::{migration, owners, reference, sequence, tokens};

/// The result of setting the database up.
pub type Result<T, E = SetupError> = std::result::Result<T, E>;

/// A database. Clones share its connections.
#[derive(Clone)]
pub struct Database {
    options: Arc<DatabaseOptions>,
    backend: Arc<Backend>,
    cache: Arc<ReferenceCache>,
}

enum Backend {
    Sqlite {
        readers: DatabaseConnection,
        lookups: FileLookups,
        writer: SqliteWriter,
        file: PathBuf,
        /// Kept by the process that serves.
        claim: OnceLock<File>,
    },
    Postgres(Arc<Pools>),
}

/// Opens a database, and refuses one that would lose what it has acknowledged. Needs a tokio runtime.
pub async fn connect(options: &DatabaseOptions) -> Result<Database> {
    let options = Arc::new(options.clone());
    let backend = if sqlite::accepts(&options.url) {
        let file = sqlite::check_url(&options.url)?;
        sqlite::create_private(&file)?;
        let writer = sqlite::connect_writer(&options).await.map_err(setup_error)?;
        sqlite::check_safe(&writer).await?;
        let readers = sqlite::connect_readers(&options).await.map_err(setup_error)?;
        let writer = SqliteWriter::start(writer, Arc::clone(&options), &file);
        let lookups = FileLookups::new(&file);
        Backend::Sqlite { readers, lookups, writer, file, claim: OnceLock::new() }
    } else if postgres::accepts(&options.url) {
        postgres::check_url(&options)?;
        let pools = Pools::open(&options).await?;
        postgres::warn_of_strangers(&options.url);
        Backend::Postgres(pools)
    } else {
        return Err(SetupError::Url("expected sqlite://path or postgres://user:password@host/database".to_owned()));
    };
    Ok(Database { options, backend: Arc::new(backend), cache: Arc::default() })
}

impl Database {
    /// Is it SQLite? Its schema is brought up to date at start; that of PostgreSQL only on demand.
    pub fn is_sqlite(&self) -> bool {
        matches!(*self.backend, Backend::Sqlite { .. })
    }

    /// Brings the schema up to date. Safe when several processes do it at once: one does it, the others wait.
    pub async fn migrate(&self) -> Result<()> {
        let (connection, result) = match &*self.backend {
            Backend::Sqlite { .. } => {
                let connection = sqlite::connect_writer(&self.options).await.map_err(setup_error)?;
                let result = migration::migrate_sqlite(&connection).await;
                (connection, result)
            }
            Backend::Postgres(_) => {
                let connection = postgres::connect(&self.options, Purpose::Migrate).await.map_err(setup_error)?;
                let result = migration::migrate_postgres(&connection).await;
                (connection, result)
            }
        };
        let closed = connection.close().await;
        result.and(closed).map_err(setup_error)
    }

    /// The names of the migrations that are still to be run. For health: a service is ready when there are none.
    pub async fn pending_migrations(&self) -> StoreResult<Vec<String>> {
        let pending = match &*self.backend {
            Backend::Sqlite { readers, .. } => migration::pending(readers).await,
            Backend::Postgres(pools) => migration::pending(&pools.transactions()).await,
        };
        pending.map_err(store_error)
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

    /// Whether the database answers, as it changes: known within a second or two, and asked for without waiting. When it
    /// no longer does, work on it may be dropped at any point, as no connection is used again. A file is always there.
    pub fn presence(&self) -> watch::Receiver<bool> {
        match &*self.backend {
            Backend::Sqlite { .. } => watch::Sender::new(true).subscribe(),
            Backend::Postgres(pools) => pools.presence(),
        }
    }

    /// Says that this process serves. On SQLite no other one can then say the same of this file, as long as this lives: a
    /// second one would not know what the first keeps in memory. Commands that only change something need not say it.
    pub fn claim(&self) -> Result<()> {
        if let Backend::Sqlite { file, claim, .. } = &*self.backend
            && claim.get().is_none()
        {
            // Nobody else could have set it: the lock is exclusive within this process too.
            let _ = claim.set(sqlite::claim(file)?);
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

    /// Closes the connections that are not in use and lets no new ones open.
    pub async fn close(&self) {
        match &*self.backend {
            Backend::Sqlite { readers, lookups, .. } => {
                lookups.close();
                let _ = readers.close_by_ref().await;
            }
            Backend::Postgres(pools) => pools.close().await,
        }
    }

    /// For single statements that read.
    pub(crate) fn readers(&self) -> Single {
        match &*self.backend {
            Backend::Sqlite { readers, .. } => Single::Sqlite(readers.clone()),
            Backend::Postgres(pools) => pools.singles(),
        }
    }

    /// It has just answered what was asked then: told where most of the answers are.
    fn heard(&self, asked: Instant) {
        if let Backend::Postgres(pools) = &*self.backend {
            pools.heard(asked);
        }
    }

    /// Runs one statement that writes, and commits it at once.
    pub(crate) async fn write(&self, sql: Sql) -> StoreResult<Vec<QueryResult>> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => {
                let turn = writer.begin().await?;
                let rows = sql.all(&*turn.lock().await?).await?;
                turn.commit().await?;
                Ok(rows)
            }
            Backend::Postgres(pools) => {
                let asked = Instant::now();
                let rows = sql.all(&pools.singles()).await?;
                self.heard(asked);
                Ok(rows)
            }
        }
    }

    /// A transaction that sees one state of the database and writes nothing.
    async fn snapshot(&self) -> StoreResult<DatabaseTransaction> {
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

impl Database {
    /// Reference data of this version, or a younger one: from memory, nearly always.
    async fn reference_since(&self, organisation: OrganisationKey, version: i64) -> StoreResult<Arc<Reference>> {
        match self.cache.get(organisation, version) {
            Some(snapshot) => Ok(snapshot),
            // In a box, so that nobody else needs room for it.
            None => Box::pin(self.read_reference(organisation, version)).await,
        }
    }

    async fn read_reference(&self, organisation: OrganisationKey, version: i64) -> StoreResult<Arc<Reference>> {
        let _loading = self.cache.loading.lock().await;
        // Somebody else may have read it meanwhile.
        if let Some(snapshot) = self.cache.get(organisation, version) {
            return Ok(snapshot);
        }
        let transaction = self.snapshot().await?;
        let snapshot = Arc::new(reference::load(&transaction, organisation).await?);
        transaction.commit().await.map_err(store_error)?;
        self.cache.put(organisation, &snapshot);
        Ok(snapshot)
    }

    /// Tokens of one statement, and so of one version, with their reference data.
    async fn with_reference(&self, organisation: OrganisationKey, page: Vec<Found>) -> StoreResult<Vec<FoundToken>> {
        let Some(version) = page.first().map(|found| found.version) else { return Ok(Vec::new()) };
        let reference = self.reference_since(organisation, version).await?;
        let found = page.into_iter().map(|found| {
            let (token, owners) = found.value;
            FoundToken { token, owners, reference: Arc::clone(&reference) }
        });
        Ok(found.collect())
    }
}

impl Store for Database {
    type Unit = Unit;

    async fn begin(&self) -> StoreResult<Unit> {
        let transaction = match &*self.backend {
            Backend::Sqlite { writer, .. } => Transaction::Sqlite(writer.begin().await?),
            Backend::Postgres(pools) => Transaction::Postgres(pools.transactions().begin().await.map_err(store_error)?),
        };
        Ok(Unit::new(transaction, Arc::clone(&self.cache)))
    }

    async fn reference(&self, organisation: OrganisationKey) -> StoreResult<Arc<Reference>> {
        let version = reference::version(&self.readers(), organisation).await?;
        self.reference_since(organisation, version).await
    }

    async fn find_token(&self, organisation: OrganisationKey, key: TokenKey<'_>, load: Load) -> StoreResult<Lookup> {
        let (question, value) = Question::of(organisation, key, load);
        let found = match &*self.backend {
            Backend::Sqlite { lookups, .. } => lookups.find(question, value)?,
            Backend::Postgres(pools) => {
                let asked = Instant::now();
                let row =
                    pools.lookups().find(question, value).await?.ok_or_else(|| reference::unknown(organisation))?;
                self.heard(asked);
                question.read(Cells::of_postgres(&row))?
            }
        };
        let reference = self.reference_since(organisation, found.version).await?;
        let found = found.value.map(|(token, owners)| FoundToken { token, owners, reference: Arc::clone(&reference) });
        Ok(Lookup { found, reference })
    }

    async fn list_tokens(
        &self,
        organisation: OrganisationKey,
        page: TokenPage<'_>,
        load: Load,
    ) -> StoreResult<Vec<FoundToken>> {
        let page = tokens::list(&self.readers(), organisation, page, load).await?;
        self.with_reference(organisation, page).await
    }

    async fn not_associated(
        &self,
        organisation: OrganisationKey,
        state: Option<LifeCycleState>,
        limit: u32,
        load: Load,
    ) -> StoreResult<Vec<FoundToken>> {
        let page = tokens::not_associated(&self.readers(), organisation, state, limit, load).await?;
        self.with_reference(organisation, page).await
    }

    async fn find_accounts_receivable(
        &self,
        organisation: OrganisationKey,
        identifier: &AccountsReceivableIdentifier,
    ) -> StoreResult<Vec<Account>> {
        owners::find_accounts(&self.readers(), organisation, identifier).await
    }

    async fn find_rewards_participant(
        &self,
        organisation: OrganisationKey,
        identifier: &RewardsParticipantIdentifier,
    ) -> StoreResult<Option<Participant>> {
        owners::find_participant(&self.readers(), organisation, identifier).await
    }

    async fn find_owners(
        &self,
        organisation: OrganisationKey,
        account: Option<&AccountsReceivableIdentifier>,
        participant: Option<&RewardsParticipantIdentifier>,
    ) -> StoreResult<FoundOwners> {
        let found = owners::find_both(&self.readers(), organisation, account, participant).await?;
        let reference = self.reference_since(organisation, found.version).await?;
        let (accounts, participant) = found.value;
        Ok(FoundOwners { accounts, participant, reference })
    }

    async fn insert_token(&self, organisation: OrganisationKey, token: &AccessToken) -> StoreResult<()> {
        match &*self.backend {
            Backend::Sqlite { writer, .. } => {
                let turn = writer.begin().await?;
                tokens::insert(&*turn.lock().await?, organisation, token).await?;
                Ok(turn.commit().await?)
            }
            Backend::Postgres(pools) => Ok(tokens::insert(&pools.singles(), organisation, token).await?),
        }
    }

    async fn update_token(
        &self,
        organisation: OrganisationKey,
        id: &str,
        guard: &Guard,
        changes: &TokenChanges,
        updated: Option<&Stamp>,
    ) -> StoreResult<Option<FoundToken>> {
        let rows = self.write(tokens::update(organisation, id, guard, changes, updated)).await?;
        let Some(updated) = tokens::updated(&rows, organisation)? else { return Ok(None) };
        let reference = self.reference_since(organisation, updated.version).await?;
        Ok(Some(FoundToken { token: updated.value, owners: Owners::default(), reference }))
    }

    async fn take_numbers(&self, organisation: OrganisationKey, sequence: Sequence, count: u32) -> StoreResult<i64> {
        sequence::first(&self.write(sequence::take(organisation, sequence, count)).await?)
    }
}
