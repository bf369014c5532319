//! PostgreSQL as long as it answers: its pools, and a connection of its own that asks all the time.
//!
//! A link that swallows everything breaks no connection. What was asked on it waits until the system gives up, which
//! takes a quarter of an hour, and a new request on the same connection waits behind it. So when nobody has had an answer
//! for a moment, the database is away: the pools are closed, so that none of their connections is ever used again, and
//! only then is everybody told. Whoever waits for one of them may be cut now. When the database answers again there are
//! new pools.
//!
//! A database that is only slow must not count as away: to begin anew with all connections is the last thing that it
//! needs. So every question that was answered counts, whoever asked; and where connections break, those who use them
//! hear of it by themselves, and there is more time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use access_tokens_domain::store::StoreResult;
use sea_orm::sqlx::PgPool;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::counts::Connections;
use crate::error::Failure;
use crate::options::{DatabaseOptions, SetupError};
use crate::postgres::query_batcher::QueryBatcher;
use crate::postgres::unreachable;
use crate::postgres::{Purpose, check_encoding, check_safe, check_session, connect};
use crate::sql::executor::Executor;

/// The question of the connection that watches. By its text, `doctor` counts the processes that serve a database.
pub(crate) const HEARTBEAT_QUERY: &str = "SELECT 1 AS access_tokens_watch";
/// Between two questions.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// After so long without an answer on an open connection the database is away.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_250);
/// After so long without an answer the database is away, while connections break or cannot be opened.
const OUTAGE_TIMEOUT: Duration = Duration::from_secs(4);

/// Time between two looks at whether a new connection is back in its pool.
const RETURN_INTERVAL: Duration = Duration::from_millis(2);

/// The connections for each purpose.
struct PoolSet {
    statements: DatabaseConnection,
    /// Connections over which tokens are looked up. `None`: there are too few, and lookups share those for statements.
    ///
    /// They are a pool of their own: lanes keep connections, so that in one pool the lanes of statements could keep the only
    /// connection that the server gives, and no lookup would ever get one.
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
        // Each opens one connection: where there is none left, the start waits and says so.
        let (transactions, statements, lookup_pool) = match tokio::join!(
            connect(options, Purpose::Transaction),
            connect(options, Purpose::Statement),
            lookup_pool
        ) {
            (Ok(transactions), Ok(statements), Ok(lookup_pool)) => (transactions, statements, lookup_pool),
            // The pools that have opened a connection keep it until the cause is known: the limit of connections may be it.
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

    /// The pools of calls.
    fn pools(&self) -> impl Iterator<Item = PgPool> {
        let pools = [Some(&self.statements), self.lookup_pool.as_ref(), Some(&self.transactions)];
        let pools: Vec<_> = pools.into_iter().flatten().map(|one| one.get_postgres_connection_pool().clone()).collect();
        pools.into_iter()
    }

    /// Lets nobody in from now on. In the answer, waits for those who are.
    fn close(&self) -> impl Future<Output = ()> + use<> {
        let pools: Vec<_> = self.pools().collect();
        for pool in &pools {
            // It is closed with the call; the waiting is for later.
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

/// The pools of today, and whether the database answers.
pub(crate) struct Pools {
    pool_set: RwLock<PoolSet>,
    available: watch::Sender<bool>,
    start: Instant,
    /// When the last question that it has answered was asked, in milliseconds since the start.
    last_response: AtomicU64,
}

impl Pools {
    /// Connects, and watches from then on. Refuses a database that would lose what it has acknowledged.
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
        let pools = Arc::new(Self {
            pool_set: RwLock::new(pool_set),
            available: watch::Sender::new(true),
            start: Instant::now(),
            last_response: AtomicU64::new(0),
        });
        tokio::spawn(run_heartbeat(Arc::downgrade(&pools), Arc::clone(options), heartbeat));
        Ok(pools)
    }

    /// For statements that read, or commit by themselves.
    pub(crate) fn executor(&self) -> Executor {
        Executor::Postgres(Arc::clone(&self.pool_set().statement_batcher))
    }

    /// For new tokens.
    pub(crate) fn statement_batcher(&self) -> Arc<QueryBatcher> {
        Arc::clone(&self.pool_set().statement_batcher)
    }

    /// For looking up.
    pub(crate) fn lookup_batcher(&self) -> Arc<QueryBatcher> {
        Arc::clone(&self.pool_set().lookup_batcher)
    }

    /// How many connections there are, for what.
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
        // They are counted one after the other, and used meanwhile.
        statements.idle = (statements.idle + idle_connections).min(statements.open);
        vec![statements, Connections::of("transactions", &pool_set.transactions)]
    }

    /// For transactions.
    pub(crate) fn transactions(&self) -> DatabaseConnection {
        self.pool_set().transactions.clone()
    }

    /// Does the database answer? When it no longer does, whatever uses the pools may be dropped at any point.
    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.available.subscribe()
    }

    /// It has just answered what was asked then.
    pub(crate) fn record_response(&self, asked: Instant) {
        self.last_response.fetch_max(self.millis_since_start(asked), Ordering::Relaxed);
    }

    fn time_since_response(&self) -> Duration {
        Duration::from_millis(
            self.millis_since_start(Instant::now()).saturating_sub(self.last_response.load(Ordering::Relaxed)),
        )
    }

    fn millis_since_start(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// The same, as a refusal.
    pub(crate) fn check(&self) -> StoreResult<()> {
        if *self.available.borrow() { Ok(()) } else { Err(Failure::unavailable("the database does not answer").into()) }
    }

    /// Why calls get no connection although the database answers: the server gives none. Each pool of calls is asked, by the way
    /// that calls take. `None`: each answers, or is merely busy, so that its calls wait their turn.
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
        let (single, lookup, transaction) =
            tokio::join!(statement_batcher.execute(question()), lookup_batcher.execute(question()), async {
                transactions.acquire().await.map(drop)
            });
        if single.is_ok() && lookup.is_ok() && transaction.is_ok() {
            return None;
        }
        // With all of its connections, a pool is busy. A connection that is being opened counts, so that one is not enough to tell.
        let all = |pool: &PgPool| pool.options().get_max_connections();
        if pools.iter().all(|pool| all(pool) > 1 && pool.size() >= all(pool)) {
            return None;
        }
        // Another cause is for the connection that watches, which has more patience.
        unreachable::cause(options).await.filter(unreachable::is_exhaustion)
    }

    /// Closes the connections that are not in use and lets no new ones open.
    pub(crate) async fn close(&self) {
        let closing = self.pool_set().close();
        closing.await;
    }

    fn pool_set(&self) -> RwLockReadGuard<'_, PoolSet> {
        self.pool_set.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_down(&self) {
        if *self.available.borrow() {
            tokio::spawn(self.pool_set().close());
            self.available.send_replace(false);
            tracing::warn!("the database does not answer");
        }
    }

    fn mark_up(&self, pool_set: PoolSet) {
        *self.pool_set.write().unwrap_or_else(PoisonError::into_inner) = pool_set;
        self.available.send_replace(true);
        tracing::info!("the database answers again");
    }
}

/// Asks as long as there are pools.
async fn run_heartbeat(pools: Weak<Pools>, options: Arc<DatabaseOptions>, connection: DatabaseConnection) {
    let mut connection = Some(connection);
    loop {
        sleep(HEARTBEAT_INTERVAL).await;
        let (open, asked) = (connection.is_some(), Instant::now());
        let answer = timeout(RESPONSE_TIMEOUT, send_heartbeat(&mut connection, &options)).await;
        let Some(pools) = pools.upgrade() else { return };
        if matches!(answer, Ok(Ok(()))) {
            pools.record_response(asked);
            if !*pools.available.borrow()
                && let Ok(Ok(pool_set)) = timeout(RESPONSE_TIMEOUT, PoolSet::open(&options)).await
            {
                pools.mark_up(pool_set);
            }
        } else {
            // Whatever it was, the next question is asked on a new connection.
            connection = None;
            let swallowed = open && answer.is_err();
            if swallowed {
                // Others may have asked a little later, and have been answered: they are given as much time.
                sleep(RESPONSE_TIMEOUT.saturating_sub(pools.time_since_response())).await;
            }
            if pools.time_since_response() >= if swallowed { RESPONSE_TIMEOUT } else { OUTAGE_TIMEOUT } {
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
    // A process that only looks, such as `doctor`, is not counted.
    let question = if options.read_only { "SELECT 1" } else { HEARTBEAT_QUERY };
    connection.execute_unprepared(question).await.map(|_| ())
}
