//! Pools of PostgreSQL, and a heartbeat on its own connection that watches the health of the database.
//!
//! A network that drops all packets breaks no connection. A statement on such a connection waits until the operating
//! system gives up after a quarter of an hour, and later statements on the same connection wait behind it. So when no
//! statement has been answered for a short time, the database is marked down: the pools are closed, so that their
//! connections are never used again, and after that the subscribers are notified. Calls that wait for such a connection
//! may then be aborted. When the database answers again, new pools are opened.
//!
//! A database that is only slow must not be marked down, because new connections would add to its load. Therefore each
//! answered statement of any call counts as a response. When connections break, their users get an error immediately,
//! and the timeout is longer.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use access_tokens_domain::store::StoreResult;
use sea_orm::sqlx::PgPool;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep, timeout};

use crate::counts::Connections;
use crate::error::Failure;
use crate::options::{DatabaseOptions, SetupError};
use crate::postgres::health::DatabaseHealth;
use crate::postgres::query_batcher::QueryBatcher;
use crate::postgres::unreachable;
use crate::postgres::{Purpose, check_encoding, check_safe, check_session, connect};
use crate::sql::executor::Executor;
use crate::sql::label::Label;

/// Statement of the heartbeat. `doctor` counts the processes that serve a database by its text.
pub(crate) const HEARTBEAT_QUERY: &str = "SELECT 1 AS access_tokens_watch";
/// Time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum time without a response while the connection of the heartbeat is open. After it the database is marked down.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_250);
/// Maximum time without a response while connections break or cannot be opened. After it the database is marked down.
const OUTAGE_TIMEOUT: Duration = Duration::from_secs(4);

/// Time between two checks whether a new connection is back in its pool.
const RETURN_INTERVAL: Duration = Duration::from_millis(2);

/// The pools and batchers for each purpose.
struct PoolSet {
    statements: DatabaseConnection,
    /// Connections for lookups of tokens. `None`: there are too few connections, and lookups share those for
    /// statements.
    ///
    /// Lookups have a separate pool because a batcher keeps connections. In a shared pool, the batcher of statements
    /// could keep the only connection that the server allows, and no lookup would ever get one.
    lookup_pool: Option<DatabaseConnection>,
    lookup_batcher: Arc<QueryBatcher>,
    statement_batcher: Arc<QueryBatcher>,
    transactions: DatabaseConnection,
}

impl PoolSet {
    async fn open(options: &DatabaseOptions) -> Result<Self, SetupError> {
        let lookup_pool = async {
            if Purpose::Lookup.connections(options) == 0 {
                return Ok(None);
            }
            connect(options, Purpose::Lookup).await.map(Some)
        };
        // Each pool opens one connection: where the server has none left, the start waits and reports it.
        let (transactions, statements, lookup_pool) = match tokio::join!(
            connect(options, Purpose::Transaction),
            connect(options, Purpose::Statement),
            lookup_pool
        ) {
            (Ok(transactions), Ok(statements), Ok(lookup_pool)) => (transactions, statements, lookup_pool),
            // The pools that have opened a connection keep it until the cause is known, because the connection limit
            // may be the cause.
            (transactions, statements, lookup_pool) => {
                let failed = [transactions.as_ref().err(), statements.as_ref().err(), lookup_pool.as_ref().err()];
                let error = failed.into_iter().flatten().next().cloned();
                let error = error.unwrap_or_else(|| DbErr::Custom("no pool has failed".to_owned()));
                return Err(unreachable::explained(options, error).await);
            }
        };
        let batcher = |pool: &DatabaseConnection, purpose: Purpose| {
            let pool = pool.get_postgres_connection_pool().clone();
            QueryBatcher::new(pool, purpose.connections(options) as usize, options.observer.clone())
        };
        let statement_batcher = batcher(&statements, Purpose::Statement);
        let lookup_batcher =
            lookup_pool.as_ref().map_or_else(|| Arc::clone(&statement_batcher), |pool| batcher(pool, Purpose::Lookup));
        let pool_set = Self { statements, lookup_pool, lookup_batcher, statement_batcher, transactions };
        // Waits until the new connection is back in its pool. Without the wait, the first call would open another one.
        for pool in pool_set.pools() {
            let back = async {
                while pool.num_idle() == 0 {
                    sleep(RETURN_INTERVAL).await;
                }
            };
            let _ = timeout(RESPONSE_TIMEOUT, back).await;
        }
        Ok(pool_set)
    }

    /// Returns the pools that calls use.
    fn pools(&self) -> impl Iterator<Item = PgPool> {
        let pools = [Some(&self.statements), self.lookup_pool.as_ref(), Some(&self.transactions)];
        let pools: Vec<_> = pools.into_iter().flatten().map(|one| one.get_postgres_connection_pool().clone()).collect();
        pools.into_iter()
    }

    /// Refuses new users of the pools. The returned future waits for the current ones.
    fn close(&self) -> impl Future<Output = ()> + use<> {
        let pools: Vec<_> = self.pools().collect();
        for pool in &pools {
            // The call itself closes the pool; the wait follows later.
            drop(pool.close());
        }
        self.lookup_batcher.close();
        self.statement_batcher.close();
        async move {
            for pool in pools {
                pool.close().await;
            }
        }
    }
}

/// The current pools, and the health of the database.
pub(crate) struct Pools {
    pool_set: RwLock<PoolSet>,
    health: DatabaseHealth,
}

impl Pools {
    /// Opens the pools and starts the heartbeat. Refuses a database whose settings would lose acknowledged commits.
    pub(crate) async fn open(options: &Arc<DatabaseOptions>) -> Result<Arc<Self>, SetupError> {
        let pool_set = PoolSet::open(options).await?;
        check_session(&pool_set.statements, &pool_set.transactions).await?;
        if !options.read_only {
            check_encoding(&pool_set.transactions).await?;
            check_safe(&pool_set.transactions).await?;
        }
        let heartbeat = match connect(options, Purpose::Heartbeat).await {
            Ok(heartbeat) => heartbeat,
            Err(error) => return Err(unreachable::explained(options, error).await),
        };
        let pools = Arc::new(Self { pool_set: RwLock::new(pool_set), health: DatabaseHealth::new() });
        tokio::spawn(run_heartbeat(Arc::downgrade(&pools), Arc::clone(options), heartbeat));
        Ok(pools)
    }

    /// Returns the executor for statements that read, or that commit by themselves.
    pub(crate) fn executor(&self) -> Executor {
        Executor::Postgres(Arc::clone(&self.pool_set().statement_batcher))
    }

    /// Returns the batcher for new tokens.
    pub(crate) fn statement_batcher(&self) -> Arc<QueryBatcher> {
        Arc::clone(&self.pool_set().statement_batcher)
    }

    /// Returns the batcher for lookups.
    pub(crate) fn lookup_batcher(&self) -> Arc<QueryBatcher> {
        Arc::clone(&self.pool_set().lookup_batcher)
    }

    /// Returns the number of connections by purpose.
    pub(crate) fn connections(&self) -> Vec<Connections> {
        let pool_set = self.pool_set();
        let mut statements = Connections::of("statements", &pool_set.statements);
        let mut idle_connections = pool_set.statement_batcher.idle_connections();
        if let Some(pool) = &pool_set.lookup_pool {
            let lookups = Connections::of("statements", pool);
            statements.open += lookups.open;
            statements.idle += lookups.idle;
            statements.max += lookups.max;
            idle_connections += pool_set.lookup_batcher.idle_connections();
        }
        // The numbers are read one after the other while connections are in use.
        statements.idle = (statements.idle + idle_connections).min(statements.open);
        vec![statements, Connections::of("transactions", &pool_set.transactions)]
    }

    /// Returns the pool for transactions.
    pub(crate) fn transactions(&self) -> DatabaseConnection {
        self.pool_set().transactions.clone()
    }

    /// Returns the health of the database. While it is down, work on the pools may be dropped at any point.
    pub(crate) fn health(&self) -> &DatabaseHealth {
        &self.health
    }

    /// Returns an error while the database does not answer.
    pub(crate) fn check(&self) -> StoreResult<()> {
        if self.health.is_up() { Ok(()) } else { Err(Failure::unavailable("the database does not answer").into()) }
    }

    /// Returns the reason why calls get no connection although the database answers: the server refuses more
    /// connections. Each pool is tested in the way that calls use it. `None`: each pool answers, or is only busy, so
    /// that its calls wait.
    pub(crate) async fn exhaustion(&self, options: &DatabaseOptions) -> Option<SetupError> {
        let (statement_batcher, lookup_batcher, pools) = {
            let pool_set = self.pool_set();
            (
                Arc::clone(&pool_set.statement_batcher),
                Arc::clone(&pool_set.lookup_batcher),
                pool_set.pools().collect::<Vec<_>>(),
            )
        };
        let question = || Statement::from_string(DbBackend::Postgres, "SELECT 1");
        let transactions = pools.last()?.clone();
        let (single, lookup, transaction) = tokio::join!(
            statement_batcher.execute(Label::CATALOG, question()),
            lookup_batcher.execute(Label::CATALOG, question()),
            async { transactions.acquire().await.map(drop) }
        );
        if single.is_ok() && lookup.is_ok() && transaction.is_ok() {
            return None;
        }
        // A pool with all of its connections is busy. The size includes a connection that is being opened, so that a
        // size of one does not prove that the pool has a connection.
        let all = |pool: &PgPool| pool.options().get_max_connections();
        if pools.iter().all(|pool| all(pool) > 1 && pool.size() >= all(pool)) {
            return None;
        }
        // Other causes are for the heartbeat, which waits longer.
        unreachable::cause(options).await.filter(unreachable::is_exhaustion)
    }

    /// Closes the connections that are not in use and opens no new ones.
    pub(crate) async fn close(&self) {
        let closing = self.pool_set().close();
        closing.await;
    }

    fn pool_set(&self) -> RwLockReadGuard<'_, PoolSet> {
        self.pool_set.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_down(&self) {
        if self.health.is_up() {
            tokio::spawn(self.pool_set().close());
            self.health.mark_down();
            tracing::warn!("the database does not answer");
        }
    }

    fn mark_up(&self, pool_set: PoolSet) {
        *self.pool_set.write().unwrap_or_else(PoisonError::into_inner) = pool_set;
        self.health.mark_up();
        tracing::info!("the database answers again");
    }
}

/// Sends heartbeats until the pools are dropped.
async fn run_heartbeat(pools: Weak<Pools>, options: Arc<DatabaseOptions>, connection: DatabaseConnection) {
    let mut connection = Some(connection);
    loop {
        sleep(HEARTBEAT_INTERVAL).await;
        let (open, sent) = (connection.is_some(), Instant::now());
        let answer = timeout(RESPONSE_TIMEOUT, send_heartbeat(&mut connection, &options)).await;
        let Some(pools) = pools.upgrade() else { return };
        if matches!(answer, Ok(Ok(()))) {
            pools.health.record_response(sent);
            if !pools.health.is_up()
                && let Ok(Ok(pool_set)) = timeout(RESPONSE_TIMEOUT, PoolSet::open(&options)).await
            {
                pools.mark_up(pool_set);
            }
        } else {
            // After any failure, the next heartbeat uses a new connection.
            connection = None;
            let swallowed = open && answer.is_err();
            if swallowed {
                // Statements of calls that were sent a little later may have been answered: they get the same time.
                sleep(RESPONSE_TIMEOUT.saturating_sub(pools.health.time_since_response())).await;
            }
            if pools.health.time_since_response() >= if swallowed { RESPONSE_TIMEOUT } else { OUTAGE_TIMEOUT } {
                pools.mark_down();
            }
        }
    }
}

async fn send_heartbeat(connection: &mut Option<DatabaseConnection>, options: &DatabaseOptions) -> Result<(), DbErr> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(options, Purpose::Heartbeat).await?),
    };
    // A process that opens the database for reading only, such as `doctor`, is not counted.
    let question = if options.read_only { "SELECT 1" } else { HEARTBEAT_QUERY };
    connection.execute_unprepared(question).await.map(|_| ())
}
