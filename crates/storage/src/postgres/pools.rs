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
use crate::postgres::query_batcher::Lanes;
use crate::postgres::unreachable;
use crate::postgres::{Purpose, check_encoding, check_safe, check_session, connect};
use crate::sql::executor::Single;

/// The question of the connection that watches. By its text, `doctor` counts the processes that serve a database.
pub(crate) const WATCH: &str = "SELECT 1 AS access_tokens_watch";
/// Between two questions.
const BEAT: Duration = Duration::from_millis(250);
/// After so long without an answer on an open connection the database is away.
const SILENCE: Duration = Duration::from_millis(1_250);
/// After so long without an answer the database is away, while connections break or cannot be opened.
const OUTAGE: Duration = Duration::from_secs(4);

/// Time between two looks at whether a new connection is back in its pool.
const RETURN_INTERVAL: Duration = Duration::from_millis(2);

/// The connections for each purpose.
struct Pair {
    statements: DatabaseConnection,
    /// Connections over which tokens are looked up. `None`: there are too few, and lookups share those for statements.
    ///
    /// They are a pool of their own: lanes keep connections, so that in one pool the lanes of statements could keep the only
    /// connection that the server gives, and no lookup would ever get one.
    looking_up: Option<DatabaseConnection>,
    lookups: Arc<Lanes>,
    singles: Arc<Lanes>,
    transactions: DatabaseConnection,
}

impl Pair {
    async fn open(options: &DatabaseOptions) -> Result<Self, SetupError> {
        let looking_up = async {
            if Purpose::Lookup.connections(options) == 0 {
                return Ok(None);
            }
            connect(options, Purpose::Lookup).await.map(Some)
        };
        // Each opens one connection: where there is none left, the start waits and says so.
        let (transactions, statements, looking_up) = match tokio::join!(
            connect(options, Purpose::Transaction),
            connect(options, Purpose::Statement),
            looking_up
        ) {
            (Ok(transactions), Ok(statements), Ok(looking_up)) => (transactions, statements, looking_up),
            // The pools that have opened a connection keep it until the cause is known: the limit of connections may be it.
            (transactions, statements, looking_up) => {
                let failed = [transactions.as_ref().err(), statements.as_ref().err(), looking_up.as_ref().err()];
                let error = failed.into_iter().flatten().next().cloned();
                let error = error.unwrap_or_else(|| DbErr::Custom("no pool has failed".to_owned()));
                return Err(unreachable::explained(options, error).await);
            }
        };
        let lanes = |pool: &DatabaseConnection, purpose: Purpose| {
            let pool = pool.get_postgres_connection_pool().clone();
            Lanes::new(pool, purpose.connections(options) as usize, options.watcher.clone())
        };
        let singles = lanes(&statements, Purpose::Statement);
        let lookups = looking_up.as_ref().map_or_else(|| Arc::clone(&singles), |pool| lanes(pool, Purpose::Lookup));
        let pair = Self { statements, looking_up, lookups, singles, transactions };
        // Waits until the new connection is back in its pool. Without the wait, the first call would open another one.
        for pool in pair.pools() {
            let back = async {
                while pool.num_idle() == 0 {
                    sleep(RETURN_INTERVAL).await;
                }
            };
            let _ = timeout(SILENCE, back).await;
        }
        Ok(pair)
    }

    /// The pools of calls.
    fn pools(&self) -> impl Iterator<Item = PgPool> {
        let pools = [Some(&self.statements), self.looking_up.as_ref(), Some(&self.transactions)];
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
        self.lookups.close();
        self.singles.close();
        async move {
            for pool in pools {
                pool.close().await;
            }
        }
    }
}

/// The pools of today, and whether the database answers.
pub(crate) struct Pools {
    pair: RwLock<Pair>,
    present: watch::Sender<bool>,
    start: Instant,
    /// When the last question that it has answered was asked, in milliseconds since the start.
    heard: AtomicU64,
}

impl Pools {
    /// Connects, and watches from then on. Refuses a database that would lose what it has acknowledged.
    pub(crate) async fn open(options: &Arc<DatabaseOptions>) -> Result<Arc<Self>, SetupError> {
        let pair = Pair::open(options).await?;
        check_session(&pair.statements, &pair.transactions).await?;
        if !options.read_only {
            check_encoding(&pair.transactions).await?;
            check_safe(&pair.transactions).await?;
        }
        let watching = match connect(options, Purpose::Watch).await {
            Ok(watching) => watching,
            Err(error) => return Err(unreachable::explained(options, error).await),
        };
        let pools = Arc::new(Self {
            pair: RwLock::new(pair),
            present: watch::Sender::new(true),
            start: Instant::now(),
            heard: AtomicU64::new(0),
        });
        tokio::spawn(watch_over(Arc::downgrade(&pools), Arc::clone(options), watching));
        Ok(pools)
    }

    /// For statements that read, or commit by themselves.
    pub(crate) fn singles(&self) -> Single {
        Single::Postgres(Arc::clone(&self.pair().singles))
    }

    /// For new tokens.
    pub(crate) fn creates(&self) -> Arc<Lanes> {
        Arc::clone(&self.pair().singles)
    }

    /// For looking up.
    pub(crate) fn lookups(&self) -> Arc<Lanes> {
        Arc::clone(&self.pair().lookups)
    }

    /// How many connections there are, for what.
    pub(crate) fn connections(&self) -> Vec<Connections> {
        let pair = self.pair();
        let mut statements = Connections::of("statements", &pair.statements);
        let mut parked = pair.singles.parked();
        if let Some(pool) = &pair.looking_up {
            let lookups = Connections::of("statements", pool);
            statements.open += lookups.open;
            statements.idle += lookups.idle;
            statements.most += lookups.most;
            parked += pair.lookups.parked();
        }
        // They are counted one after the other, and used meanwhile.
        statements.idle = (statements.idle + parked).min(statements.open);
        vec![statements, Connections::of("transactions", &pair.transactions)]
    }

    /// For transactions.
    pub(crate) fn transactions(&self) -> DatabaseConnection {
        self.pair().transactions.clone()
    }

    /// Does the database answer? When it no longer does, whatever uses the pools may be dropped at any point.
    pub(crate) fn presence(&self) -> watch::Receiver<bool> {
        self.present.subscribe()
    }

    /// It has just answered what was asked then.
    pub(crate) fn heard(&self, asked: Instant) {
        self.heard.fetch_max(self.moment(asked), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(self.moment(Instant::now()).saturating_sub(self.heard.load(Ordering::Relaxed)))
    }

    fn moment(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// The same, as a refusal.
    pub(crate) fn check(&self) -> StoreResult<()> {
        if *self.present.borrow() { Ok(()) } else { Err(Failure::unavailable("the database does not answer").into()) }
    }

    /// Why calls get no connection although the database answers: the server gives none. Each pool of calls is asked, by the way
    /// that calls take. `None`: each answers, or is merely busy, so that its calls wait their turn.
    pub(crate) async fn trouble(&self, options: &DatabaseOptions) -> Option<SetupError> {
        let (singles, lookups, pools) = {
            let pair = self.pair();
            (Arc::clone(&pair.singles), Arc::clone(&pair.lookups), pair.pools().collect::<Vec<_>>())
        };
        let question = || Statement::from_string(DbBackend::Postgres, "SELECT 1");
        let transactions = pools.last()?.clone();
        let (single, lookup, transaction) =
            tokio::join!(singles.execute(question()), lookups.execute(question()), async {
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
        let closing = self.pair().close();
        closing.await;
    }

    fn pair(&self) -> RwLockReadGuard<'_, Pair> {
        self.pair.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) {
        if *self.present.borrow() {
            tokio::spawn(self.pair().close());
            self.present.send_replace(false);
            tracing::warn!("the database does not answer");
        }
    }

    fn found(&self, pair: Pair) {
        *self.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
        self.present.send_replace(true);
        tracing::info!("the database answers again");
    }
}

/// Asks as long as there are pools.
async fn watch_over(pools: Weak<Pools>, options: Arc<DatabaseOptions>, connection: DatabaseConnection) {
    let mut connection = Some(connection);
    loop {
        sleep(BEAT).await;
        let (open, asked) = (connection.is_some(), Instant::now());
        let answer = timeout(SILENCE, ask(&mut connection, &options)).await;
        let Some(pools) = pools.upgrade() else { return };
        if matches!(answer, Ok(Ok(()))) {
            pools.heard(asked);
            if !*pools.present.borrow()
                && let Ok(Ok(pair)) = timeout(SILENCE, Pair::open(&options)).await
            {
                pools.found(pair);
            }
        } else {
            // Whatever it was, the next question is asked on a new connection.
            connection = None;
            let swallowed = open && answer.is_err();
            if swallowed {
                // Others may have asked a little later, and have been answered: they are given as much time.
                sleep(SILENCE.saturating_sub(pools.silence())).await;
            }
            if pools.silence() >= if swallowed { SILENCE } else { OUTAGE } {
                pools.lost();
            }
        }
    }
}

async fn ask(connection: &mut Option<DatabaseConnection>, options: &DatabaseOptions) -> Result<(), DbErr> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(options, Purpose::Watch).await?),
    };
    // A process that only looks, such as `doctor`, is not counted.
    let question = if options.read_only { "SELECT 1" } else { WATCH };
    connection.execute_unprepared(question).await.map(|_| ())
}
