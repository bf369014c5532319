//! Transactions of several statements.

use std::ops::Deref;
use std::sync::Arc;

use access_tokens_domain::access_token::AccessToken;
use access_tokens_domain::reference::Reference;
use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{ImportChanges, ImportKeys, ImportRows, LoginState, OwnerKey, Sequence, StoreResult};
use access_tokens_domain::time::Timestamp;
use sea_orm::{DatabaseTransaction, DbBackend, QueryResult};
use tokio::sync::MappedMutexGuard;

use crate::administrators::{has_admin, push_has_key};
use crate::error::{Failure, store_error};
use crate::options::DatabaseOptions;
use crate::postgres::alarm::Alarm;
use crate::reference::ReferenceCache;
use crate::sql::connection::ObservedTransaction;
use crate::sql::label::Label;
use crate::sql::observer::observe;
use crate::sql::{Sql, get, is_postgres};
use crate::sqlite::writer::WriteTransaction;
use crate::{import, new_token, reference, sequence, tokens};

/// A transaction. It is rolled back if it is dropped without a commit.
///
/// After a failed statement, or one whose future was dropped, it can only be dropped: PostgreSQL reports success for
/// the commit of a failed transaction.
pub struct Transaction {
    transaction: TransactionBackend,
    cache: Arc<ReferenceCache>,
    /// Reference data that this transaction has read. It is shared with others after the commit.
    snapshot: Option<(OrganisationKey, Arc<Reference>)>,
    /// Rows that an import has read and may replace.
    locked_rows: import::LockedRows,
    failed: bool,
    options: Arc<DatabaseOptions>,
}

pub(crate) enum TransactionBackend {
    Sqlite(WriteTransaction),
    /// A transaction, and the alarm that its failed statements raise.
    Postgres(DatabaseTransaction, Arc<Alarm>),
}

/// The transaction of a driver during one statement.
enum Handle<'a> {
    Sqlite(MappedMutexGuard<'a, DatabaseTransaction>),
    Postgres(&'a DatabaseTransaction),
}

impl Deref for Handle<'_> {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        match self {
            Self::Sqlite(guard) => guard,
            Self::Postgres(transaction) => transaction,
        }
    }
}

impl Transaction {
    pub(crate) fn new(
        transaction: TransactionBackend,
        cache: Arc<ReferenceCache>,
        options: Arc<DatabaseOptions>,
    ) -> Self {
        Self { transaction, cache, snapshot: None, locked_rows: import::LockedRows::default(), failed: false, options }
    }

    /// Begins a statement. The transaction counts as failed until [`Self::end_statement`] receives a success.
    async fn begin_statement(&mut self) -> StoreResult<ObservedTransaction<Handle<'_>>> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(Failure::fault("an earlier statement of this transaction failed").into());
        }
        let handle = match &self.transaction {
            TransactionBackend::Sqlite(transaction) => Handle::Sqlite(transaction.lock().await?),
            TransactionBackend::Postgres(transaction, _) => Handle::Postgres(transaction),
        };
        Ok(ObservedTransaction::new(handle, &self.options.observer))
    }

    fn end_statement<T>(&mut self, result: StoreResult<T>) -> StoreResult<T> {
        self.failed = result.is_err();
        if let (Err(error), TransactionBackend::Postgres(_, alarm)) = (&result, &self.transaction) {
            alarm.report_store_error(error);
        }
        result
    }

    /// Runs one statement.
    pub(crate) async fn all(&mut self, sql: Sql) -> StoreResult<Vec<QueryResult>> {
        let result = sql.all(&self.begin_statement().await?).await;
        self.end_statement(result)
    }

    /// Sets a sequence above the highest stored number.
    pub(crate) async fn realign(
        &mut self,
        organisation: OrganisationKey,
        sequence: Sequence,
        prefix: &str,
    ) -> StoreResult<()> {
        let result = sequence::realign(&self.begin_statement().await?, organisation, sequence, prefix).await;
        self.end_statement(result)
    }

    /// Excludes imports into the organisation, and other changes of its users and keys, until the end of the
    /// transaction. On SQLite only one transaction runs at a time.
    pub(crate) async fn lock_accounts(&mut self, organisation: OrganisationKey) -> StoreResult<()> {
        if matches!(self.transaction, TransactionBackend::Postgres(..)) {
            self.all(directory_lock(organisation)).await?;
        }
        Ok(())
    }

    async fn read_directory(&mut self, organisation: OrganisationKey) -> StoreResult<Arc<Reference>> {
        let cache = Arc::clone(&self.cache);
        let connection = self.begin_statement().await?;
        if is_postgres(&connection) {
            directory_lock(organisation).all(&connection).await?;
        }
        // No other transaction writes reference data now, so that several statements see one state.
        let version = reference::version(&connection, organisation).await?;
        match cache.get(organisation, version) {
            Some(snapshot) => Ok(snapshot),
            None => Ok(Arc::new(reference::load(&connection, organisation).await?)),
        }
    }
}

/// Returns the statement that locks the row of the organisation until the end of the transaction. It is a row of a
/// table of the service: unlike an advisory lock, other roles cannot lock it. Reads and new tokens do not wait for it.
fn directory_lock(organisation: OrganisationKey) -> Sql {
    let mut sql = Sql::select("key", "organisation", " WHERE key = ");
    sql.bind(organisation.0).push(" FOR NO KEY UPDATE");
    sql
}

impl access_tokens_domain::store::Transaction for Transaction {
    async fn insert_token(&mut self, organisation: OrganisationKey, token: &AccessToken) -> StoreResult<()> {
        let result = new_token::insert(&self.begin_statement().await?, organisation, token).await;
        self.end_statement(result)
    }

    async fn count_tokens_exclusively(
        &mut self,
        organisation: OrganisationKey,
        owner: OwnerKey<'_>,
        classification: Option<&str>,
    ) -> StoreResult<u64> {
        let result =
            tokens::count_exclusively(&self.begin_statement().await?, organisation, owner, classification).await;
        self.end_statement(result)
    }

    async fn lock_directory(&mut self, organisation: OrganisationKey) -> StoreResult<Arc<Reference>> {
        let result = self.read_directory(organisation).await;
        let snapshot = self.end_statement(result)?;
        self.snapshot = Some((organisation, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    async fn load_import(&mut self, organisation: OrganisationKey, keys: &ImportKeys) -> StoreResult<ImportRows> {
        let result = import::load(&self.begin_statement().await?, organisation, keys).await;
        let rows = self.end_statement(result)?;
        self.locked_rows.add(&rows);
        Ok(rows)
    }

    async fn login_states(
        &mut self,
        organisation: OrganisationKey,
        users: &[String],
        now: Timestamp,
    ) -> StoreResult<Vec<LoginState>> {
        login_states(self, organisation, users, now).await
    }

    async fn save_import(&mut self, organisation: OrganisationKey, changes: &ImportChanges) -> StoreResult<()> {
        if changes.touches_reference() {
            self.snapshot = None;
        }
        // Rows that are read again are locked again.
        let locked_rows = std::mem::take(&mut self.locked_rows);
        let result = import::save(&self.begin_statement().await?, organisation, changes, &locked_rows).await;
        self.end_statement(result)
    }

    async fn commit(self) -> StoreResult<()> {
        if self.failed {
            return Err(Failure::fault("commit of a transaction in which a statement failed").into());
        }
        let backend = match &self.transaction {
            TransactionBackend::Sqlite(_) => DbBackend::Sqlite,
            TransactionBackend::Postgres(..) => DbBackend::Postgres,
        };
        let commit = async {
            match self.transaction {
                TransactionBackend::Sqlite(transaction) => Ok(transaction.commit().await?),
                TransactionBackend::Postgres(transaction, alarm) => {
                    let committed = transaction.commit().await.map_err(store_error);
                    committed.inspect_err(|error| alarm.report_store_error(error))
                }
            }
        };
        observe(&self.options.observer, backend, Label::COMMIT, commit).await?;
        if let Some((organisation, snapshot)) = &self.snapshot {
            self.cache.put(*organisation, snapshot);
        }
        Ok(())
    }
}

/// See [`access_tokens_domain::store::Transaction::login_states`].
async fn login_states(
    transaction: &mut Transaction,
    organisation: OrganisationKey,
    users: &[String],
    now: Timestamp,
) -> StoreResult<Vec<LoginState>> {
    let admin = has_admin("c.permissions");
    let mut sql = Sql::new(
        Label::select(&["api_key", "user_credential"]),
        format!(
            "SELECT c.user_id, CASE WHEN {admin} THEN 1 ELSE 0 END AS administrator, c.disabled_date, \
         CASE WHEN c.password_hash IS NULL THEN 0 ELSE 1 END AS has_password, CASE WHEN "
        ),
    );
    push_has_key(&mut sql, now);
    sql.push(" THEN 1 ELSE 0 END AS has_key FROM user_credential c WHERE c.organisation_key = ").bind(organisation.0);
    sql.push(&format!(" AND ({admin}"));
    for (i, user) in users.iter().enumerate() {
        sql.push(if i == 0 { " OR c.user_id IN (" } else { ", " }).bind(user.as_str());
    }
    sql.push(if users.is_empty() { ")" } else { "))" });
    let state = |row: &QueryResult| {
        let flag = |column| get::<i32>(row, column).map(|flag| flag != 0);
        Ok(LoginState {
            user: get(row, "user_id")?,
            admin: flag("administrator")?,
            enabled: get::<Option<i64>>(row, "disabled_date")?.is_none(),
            password: flag("has_password")?,
            key: flag("has_key")?,
        })
    };
    transaction.all(sql).await?.iter().map(state).collect()
}
