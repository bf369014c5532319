//! Pools of PostgreSQL on the server that is the primary now. The heartbeat replaces them.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use access_tokens_domain::store::StoreResult;
use sea_orm::sqlx::PgPool;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::{DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep, timeout};

use super::alarm::Alarm;
use super::connection::{check_encoding, check_safe, check_session, connect};
use super::health::{DatabaseHealth, Outage, OutageKind};
use super::lineage::Lineage;
use super::purpose::Purpose;
use super::query_batcher::QueryBatcher;
use super::role::Wanted;
use super::servers::{Found, NotFound, Server, Servers, UrlUse};
use super::session::{self, SessionState};
use super::unreachable;
use crate::counts::Connections;
use crate::error::Failure;
use crate::options::{DatabaseOptions, SetupError};
use crate::sql::executor::Executor;
use crate::sql::label::Label;

/// Maximum time without a response while the connection of the heartbeat is open. After it the database is marked down.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_250);
/// Time between two checks whether a new connection is back in its pool.
const RETURN_INTERVAL: Duration = Duration::from_millis(2);
/// Time between two attempts to reach a server that starts.
const CONNECT_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The pools and batchers for each purpose.
pub(super) struct PoolSet {
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
    server: Arc<Server>,
    /// Start time of the server.
    started: String,
    lineage: Option<Lineage>,
}

impl PoolSet {
    /// Opens the pools on one server.
    pub(super) async fn open(
        options: &DatabaseOptions,
        server: &Arc<Server>,
        state: &SessionState,
        lineage: Option<Lineage>,
        alarm: &Arc<Alarm>,
    ) -> Result<Self, SetupError> {
        let connect = |purpose| connect(options, server, purpose, alarm, Some(&state.started));
        let lookup_pool = async {
            if Purpose::Lookup.connections(options) == 0 {
                return Ok(None);
            }
            connect(Purpose::Lookup).await.map(Some)
        };
        // Each pool opens one connection: where the server has none left, the start waits and reports it.
        let (transactions, statements, lookup_pool) =
            match tokio::join!(connect(Purpose::Transaction), connect(Purpose::Statement), lookup_pool) {
                (Ok(transactions), Ok(statements), Ok(lookup_pool)) => (transactions, statements, lookup_pool),
                // The pools that have opened a connection keep it until the cause is known, because the connection limit
                // may be the cause.
                (transactions, statements, lookup_pool) => {
                    let failed = [transactions.as_ref().err(), statements.as_ref().err(), lookup_pool.as_ref().err()];
                    let error = failed.into_iter().flatten().next().cloned();
                    let error = error.unwrap_or_else(|| DbErr::Custom("no pool has failed".to_owned()));
                    return Err(unreachable::explained(server, error).await);
                }
            };
        let batcher = |pool: &DatabaseConnection, purpose: Purpose| {
            let pool = pool.get_postgres_connection_pool().clone();
            let slots = purpose.connections(options) as usize;
            QueryBatcher::new(pool, slots, options.observer.clone(), Arc::clone(alarm))
        };
        let statement_batcher = batcher(&statements, Purpose::Statement);
        let lookup_batcher =
            lookup_pool.as_ref().map_or_else(|| Arc::clone(&statement_batcher), |pool| batcher(pool, Purpose::Lookup));
        let (server, started) = (Arc::clone(server), state.started.clone());
        let pool_set =
            Self { statements, lookup_pool, lookup_batcher, statement_batcher, transactions, server, started, lineage };
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
    pub(super) options: Arc<DatabaseOptions>,
    pub(super) servers: Servers,
    pool_set: RwLock<PoolSet>,
    health: DatabaseHealth,
    alarm: Arc<Alarm>,
    /// Lineage of the first server. `None`: it could not be read.
    first_lineage: Option<Lineage>,
}

impl Pools {
    /// Opens the pools on the primary. Refuses a database whose settings would lose acknowledged commits. Returns the
    /// connection that has found the primary too.
    pub(super) async fn open(options: &Arc<DatabaseOptions>) -> Result<(Self, PgConnection), SetupError> {
        let (servers, alarm) = (Servers::parse(&options.url, UrlUse::Primary)?, Arc::default());
        let Found { server, mut connection, state } =
            find_at_start(&servers, options).await.map_err(|not_found| not_found.explained())?;
        let first_lineage = Lineage::of(&mut connection).await.ok();
        let pool_set = PoolSet::open(options, &server, &state, first_lineage, &alarm).await?;
        check_session(&pool_set.statements, &pool_set.transactions).await?;
        if !options.read_only {
            check_encoding(&pool_set.transactions).await?;
            check_safe(&pool_set.transactions).await?;
        }
        let options = Arc::clone(options);
        let (pool_set, health) = (RwLock::new(pool_set), DatabaseHealth::new());
        let pools = Self { options, servers, pool_set, health, alarm, first_lineage };
        Ok((pools, connection))
    }

    /// Returns the server of the current pools.
    pub(crate) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.pool_set().server)
    }

    /// Returns the alarm that failed statements raise.
    pub(crate) fn alarm(&self) -> &Arc<Alarm> {
        &self.alarm
    }

    /// Returns the cluster and timeline of the current server. `None`: they could not be read when the pools were opened.
    pub(super) fn lineage(&self) -> Option<Lineage> {
        self.pool_set().lineage
    }

    /// Reports whether a server is of another cluster than the first one. With several hosts it must not be used: a host
    /// that is in the list by mistake would take the writes of a lost primary. The only host of a URL is what the
    /// operator says it is.
    pub(super) fn is_foreign(&self, lineage: Option<Lineage>) -> bool {
        let both = self.first_lineage.zip(lineage);
        self.servers.len() > 1 && both.is_some_and(|(first, other)| !other.is_of_cluster(first))
    }

    /// Reports whether the pools are on this server, and opened since its start.
    pub(super) fn are_on(&self, server: &Arc<Server>, state: &SessionState) -> bool {
        let pool_set = self.pool_set();
        Arc::ptr_eq(&pool_set.server, server) && pool_set.started == state.started
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
        match self.health.outage() {
            None => Ok(()),
            Some(outage) => Err(Failure::unavailable(outage.kind.text()).into()),
        }
    }

    /// Returns the reason why calls get no connection although the database answers: the server refuses more
    /// connections. Each pool is tested in the way that calls use it. `None`: each pool answers, or is only busy, so
    /// that its calls wait.
    pub(crate) async fn exhaustion(&self) -> Option<SetupError> {
        let (server, statement_batcher, lookup_batcher, pools) = {
            let pool_set = self.pool_set();
            (
                Arc::clone(&pool_set.server),
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
        unreachable::cause(&server).await.filter(unreachable::is_exhaustion)
    }

    /// Closes the connections that are not in use and opens no new ones.
    pub(crate) async fn close(&self) {
        let closing = self.pool_set().close();
        closing.await;
    }

    fn pool_set(&self) -> RwLockReadGuard<'_, PoolSet> {
        self.pool_set.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the pools, so that none of their connections is used again, and then notifies the subscribers. Logs each
    /// new reason.
    pub(super) fn mark_down(&self, kind: OutageKind, cause: String) {
        if self.health.is_up() {
            tokio::spawn(self.pool_set().close());
        }
        let outage = Outage { kind, cause };
        if self.health.outage().as_ref() != Some(&outage) {
            tracing::warn!(cause = outage.cause, "{}", kind.text());
        }
        self.health.mark_down(outage);
    }

    /// Replaces the pools by those of a server that can be used.
    pub(super) fn replace(&self, pool_set: PoolSet) {
        let server = Arc::clone(&pool_set.server);
        tokio::spawn(log_unsafe_settings(Arc::clone(&server), pool_set.transactions.clone()));
        let old = std::mem::replace(&mut *self.pool_set.write().unwrap_or_else(PoisonError::into_inner), pool_set);
        if self.health.is_up() {
            tracing::info!(server = server.name, "the connections to the database are replaced");
            tokio::spawn(old.close());
        } else {
            self.health.mark_up();
            tracing::info!(server = server.name, "the database answers again");
        }
    }
}

/// Logs settings of a server under which a crash loses acknowledged commits. A start refuses them; a service that moves to
/// such a server uses it, because a refusal would end all calls.
async fn log_unsafe_settings(server: Arc<Server>, connection: DatabaseConnection) {
    if let Err(error @ SetupError::Unsafe { .. }) = check_safe(&connection).await {
        tracing::error!(server = server.name, %error, "the primary has settings that lose acknowledged commits");
    }
}

/// Searches for the server at a start. A server that starts at the same moment is waited for, like a connection.
async fn find_at_start(servers: &Servers, options: &DatabaseOptions) -> Result<Found, NotFound> {
    let (settings, started) = (session::settings(options, Purpose::Heartbeat), Instant::now());
    let wanted = if options.read_only { Wanted::Any } else { Wanted::Primary };
    loop {
        match servers.find(&settings, wanted).await {
            Err(not_found) if not_found.is_starting() && started.elapsed() < options.acquire_timeout => {
                sleep(CONNECT_RETRY_INTERVAL).await;
            }
            result => return result,
        }
    }
}
