//! Single statements on PostgreSQL: over few connections, and under load several lookups with one statement, and several new
//! tokens with one statement and one commit.
//!
//! A connection is kept between statements. A pool would ask it whether it still works when it comes back, which is a round trip, and
//! would take it back in a task of its own.
//!
//! The first waiter becomes the leader: it takes a connection, collects the waiting items of the same kind and runs them as one
//! statement. Followers wait for a bounded time, and either receive their answer through a channel or become the next leader. Another
//! connection is used when many wait, or when an answer takes long. Under little load, no task wakes another one.

mod batch_item;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_tokens_domain::store::CallState;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::{PgQueryResult, PgRow};
use sea_orm::sqlx::query::Query;
use sea_orm::sqlx::{self, PgPool, Postgres};
use sea_orm::{DbBackend, Statement, Value};
use sea_query_sqlx::SqlxValues;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use self::batch_item::{BatchItem, bound};
use crate::error::Failure;
use crate::lookup::PreparedQuery;
use crate::postgres::PING_AFTER_IDLE;
use crate::sql::observer::{self, Observer};

/// So many wait to be asked for together before another lane is taken; fewer do only for so long.
const QUEUE_LENGTH_FOR_NEXT_CONNECTION: usize = 8;
const MAX_FOLLOWER_WAIT: Duration = Duration::from_millis(1);
/// After so long a connection goes back to its pool, which looks at its age.
const MAX_CONNECTION_HOLD: Duration = Duration::from_secs(60);

/// Number of times that an insert is tried while each try ends in a deadlock.
const INSERT_ATTEMPTS: usize = 4;

/// The lanes of a pool.
pub(crate) struct QueryBatcher {
    pool: PgPool,
    observer: Observer,
    state: Mutex<State>,
}

struct State {
    slots: usize,
    /// Lanes that nobody uses.
    free: usize,
    /// When somebody asked last.
    asked: Instant,
    /// Connections for some of them.
    idle_connections: Vec<Connection>,
    waiting: VecDeque<Waiter>,
    closed: bool,
}

struct Connection {
    connection: PoolConnection<Postgres>,
    taken: Instant,
    used: Instant,
}

/// Somebody who waits for a lane, or for the answer.
struct Waiter {
    item: Arc<BatchItem>,
    reply: oneshot::Sender<Reply>,
}

enum Reply {
    /// Ask yourself.
    Lead(ConnectionSlot),
    /// Somebody has asked for several. No row: there is no such organisation, or nothing to be read.
    Finished(Result<Option<PgRow>, Failure>),
}

/// The right to ask. Whoever drops it hands it on.
struct ConnectionSlot {
    batcher: Arc<QueryBatcher>,
    connection: Option<Connection>,
}

impl QueryBatcher {
    /// So many lanes, over connections of this pool.
    pub(crate) fn new(pool: PgPool, slots: usize, observer: Observer) -> Arc<Self> {
        let slots = slots.max(1);
        let (idle_connections, waiting, asked) = (Vec::new(), VecDeque::new(), Instant::now());
        let state = State { slots, free: slots, asked, idle_connections, waiting, closed: false };
        Arc::new(Self { pool, observer, state: Mutex::new(state) })
    }

    /// Returns the row of a question. `None`: there is no such organisation. `call` may be dropped while it waits here: the leader
    /// of the next batch skips it.
    pub(crate) async fn find(
        self: &Arc<Self>,
        query: PreparedQuery,
        keys: &[&str],
        call: Option<&CallState>,
    ) -> Result<Option<PgRow>, Failure> {
        let keys = keys.iter().map(ToString::to_string).collect();
        let item = Arc::new(BatchItem::Lookup { query, keys });
        let wait_for_slot = self.wait_for_slot(&item);
        let reply = match call {
            Some(call) => call.queue(wait_for_slot).await,
            None => wait_for_slot.await,
        };
        match reply.map_err(|error| Failure::from_sqlx(&error))? {
            Reply::Lead(slot) => slot.run_batch(&item, true).await.0,
            Reply::Finished(answer) => answer,
        }
    }

    /// Writes a new token, by its values, and commits it.
    ///
    /// Together with others it may have been refused for what is wrong with one of them, and nothing was written. So it is
    /// asked for again, alone. When nobody knows whether it was written, it is not.
    pub(crate) async fn insert(self: &Arc<Self>, values: Vec<Value>) -> Result<(), Failure> {
        let item = Arc::new(BatchItem::NewToken { values });
        let (answer, alone) = match self.wait_for_slot(&item).await.map_err(|error| Failure::from_sqlx(&error))? {
            Reply::Lead(slot) => slot.run_batch(&item, true).await,
            Reply::Finished(answer) => (answer, false),
        };
        match answer {
            Ok(_) => Ok(()),
            Err(Failure::Conflict(_)) => self.insert_alone(&item).await,
            Err(failure) if alone || matches!(failure, Failure::Unavailable(_)) => Err(failure),
            Err(_) => self.insert_alone(&item).await,
        }
    }

    /// Writes a new token by a statement of its own. PostgreSQL may choose it to end a circle of waiting transactions; nothing
    /// was written then, and it is asked for again.
    async fn insert_alone(self: &Arc<Self>, item: &Arc<BatchItem>) -> Result<(), Failure> {
        for _ in 1..INSERT_ATTEMPTS {
            let slot = self.slot().await.map_err(|error| Failure::from_sqlx(&error))?;
            match slot.run_batch(item, false).await.0 {
                Err(Failure::Conflict(_)) => {}
                answer => return answer.map(|_| ()),
            }
        }
        let slot = self.slot().await.map_err(|error| Failure::from_sqlx(&error))?;
        slot.run_batch(item, false).await.0.map(|_| ())
    }

    /// The rows of a statement.
    pub(crate) async fn rows(self: &Arc<Self>, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        let mut slot = self.slot().await?;
        let mut connection = slot.connection().await?;
        let rows = self.observe(statement, |asked| asked.fetch_all(&mut *connection.connection)).await?;
        slot.put_back(connection);
        Ok(rows)
    }

    /// What a statement has done.
    pub(crate) async fn execute(self: &Arc<Self>, statement: Statement) -> sqlx::Result<PgQueryResult> {
        let mut slot = self.slot().await?;
        let mut connection = slot.connection().await?;
        let done = self.observe(statement, |asked| asked.execute(&mut *connection.connection)).await?;
        slot.put_back(connection);
        Ok(done)
    }

    async fn observe<T, W>(
        &self,
        statement: Statement,
        run: impl FnOnce(Query<'static, Postgres, SqlxValues>) -> W,
    ) -> sqlx::Result<T>
    where
        W: Future<Output = sqlx::Result<T>>,
    {
        let text = self.observer.as_ref().map(|_| statement.sql.clone()).unwrap_or_default();
        observer::observe(&self.observer, DbBackend::Postgres, &text, run(bound(statement))).await
    }

    async fn slot(self: &Arc<Self>) -> sqlx::Result<ConnectionSlot> {
        match self.wait_for_slot(&Arc::new(BatchItem::Statement)).await? {
            Reply::Lead(slot) => Ok(slot),
            // To no question.
            Reply::Finished(_) => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// A lane, or the answer. Who gets neither in time is told what a pool would say.
    async fn wait_for_slot(self: &Arc<Self>, item: &Arc<BatchItem>) -> sqlx::Result<Reply> {
        let deadline = Instant::now() + self.pool.options().get_acquire_timeout();
        let mut batchable = true;
        loop {
            let mut receiver = match self.try_enter(item, batchable) {
                Ok(slot) => return Ok(Reply::Lead(slot)),
                Err(receiver) => receiver,
            };
            // What writes shares its lanes with statements that may take any time; lookups are among themselves.
            let until = if batchable && item.is_write() { Instant::now() + MAX_FOLLOWER_WAIT } else { deadline };
            let reply = match timeout_at(until, &mut receiver).await {
                Ok(reply) => reply,
                // Somebody asks for it just now.
                Err(_) if !self.stop_waiting(item) => receiver.await,
                Err(_) if until == deadline => return Err(sqlx::Error::PoolTimedOut),
                Err(_) => {
                    batchable = false;
                    continue;
                }
            };
            match reply {
                Ok(reply) => return Ok(reply),
                // Who asked for it was cut in the middle of it, and it may be written.
                Err(_) if item.is_write() => return Err(sqlx::Error::WorkerCrashed),
                Err(_) => {}
            }
        }
    }

    /// How many connections nobody uses.
    pub(crate) fn idle_connections(&self) -> u32 {
        u32::try_from(self.state().idle_connections.len()).unwrap_or(u32::MAX)
    }

    /// Keeps no connection from now on, and lets nobody wait: whoever asks is told by the pool that it is closed.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = (std::mem::take(&mut state.idle_connections), std::mem::take(&mut state.waiting));
        drop(state);
        drop(dropped);
    }

    fn try_enter(
        self: &Arc<Self>,
        item: &Arc<BatchItem>,
        batchable: bool,
    ) -> Result<ConnectionSlot, oneshot::Receiver<Reply>> {
        let mut state = self.state();
        if state.has_free_slot(batchable && item.max_batch_size() > 1) {
            state.free = state.free.saturating_sub(1);
            state.asked = Instant::now();
            let connection = state.idle_connections.pop();
            return Ok(ConnectionSlot { batcher: Arc::clone(self), connection });
        }
        let (reply, receiver) = oneshot::channel();
        state.waiting.push_back(Waiter { item: Arc::clone(item), reply });
        Err(receiver)
    }

    /// Waits no longer. False: somebody has been told to ask, or asks.
    fn stop_waiting(&self, item: &Arc<BatchItem>) -> bool {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.item, item));
        state.waiting.len() < before
    }

    /// Those who wait for the same kind of answer, but for the one who asks.
    fn followers(&self, item: &BatchItem) -> Vec<Waiter> {
        let mut state = self.state();
        state.asked = Instant::now();
        let mut followers = Vec::new();
        let mut left = VecDeque::with_capacity(state.waiting.len());
        for waiting in state.waiting.drain(..) {
            if waiting.reply.is_closed() {
                continue;
            }
            if followers.len() + 1 < item.max_batch_size() && item.can_share_statement(&waiting.item) {
                followers.push(waiting);
            } else {
                left.push_back(waiting);
            }
        }
        state.waiting = left;
        followers
    }

    fn pass_on(self: &Arc<Self>, mut connection: Option<Connection>) {
        let next = {
            let mut state = self.state();
            let mut waiting = std::iter::from_fn(|| state.waiting.pop_front());
            let next = waiting.find(|waiting| !waiting.reply.is_closed());
            if next.is_none() {
                state.free += 1;
                if !state.closed {
                    state
                        .idle_connections
                        .extend(connection.take().filter(|kept| kept.taken.elapsed() < MAX_CONNECTION_HOLD));
                }
            }
            next
        };
        // Without the lock: what is not kept goes back to the pool, and who goes at this very moment hands it on again.
        if let Some(next) = next {
            let _ = next.reply.send(Reply::Lead(ConnectionSlot { batcher: Arc::clone(self), connection }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Is there a lane to be taken? Who may rather waits for a lane that will soon be handed on, and is asked for with others.
    fn has_free_slot(&self, batchable: bool) -> bool {
        let soon = self.free < self.slots
            && self.waiting.len() < QUEUE_LENGTH_FOR_NEXT_CONNECTION
            && self.asked.elapsed() < MAX_FOLLOWER_WAIT;
        self.closed || self.free > 0 && !(batchable && soon)
    }
}

impl ConnectionSlot {
    /// Its connection, to be given back with [`Self::put_back`] after it has done well. Else the pool sees to it.
    async fn connection(&mut self) -> sqlx::Result<Connection> {
        // One that has rested goes to the pool, where it is looked at.
        if let Some(kept) = self.connection.take().filter(|kept| kept.used.elapsed() < PING_AFTER_IDLE) {
            return Ok(kept);
        }
        // In a box: it is four kilobytes, which every call would have to move around.
        let (connection, taken) = (Box::pin(self.batcher.pool.acquire()).await?, Instant::now());
        Ok(Connection { connection, taken, used: taken })
    }

    fn put_back(&mut self, connection: Connection) {
        self.connection = Some(Connection { used: Instant::now(), ..connection });
    }

    /// Asks for it, with all who wait for the same kind of answer or alone. Was it alone?
    async fn run_batch(mut self, item: &Arc<BatchItem>, batchable: bool) -> (Result<Option<PgRow>, Failure>, bool) {
        let batcher = Arc::clone(&self.batcher);
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return (Err(Failure::from_sqlx(&error)), true),
        };
        let followers = if batchable { batcher.followers(item) } else { Vec::new() };
        let alone = followers.is_empty();
        let items: Vec<_> = std::iter::once(item).chain(followers.iter().map(|follower| &follower.item)).collect();
        let asked = batch_item::run(&mut connection.connection, &items);
        let asked = observer::observe(&batcher.observer, DbBackend::Postgres, batch_item::sql_of(&items), asked).await;
        let rows = match asked {
            Ok(rows) => rows,
            Err(error) => {
                // Whatever state the connection is in, the pool will see.
                let failure = Failure::from_sqlx(&error);
                for follower in followers {
                    let _ = follower.reply.send(Reply::Finished(Err(failure.clone())));
                }
                return (Err(failure), alone);
            }
        };
        self.put_back(connection);
        // The next one may ask before the answers are read.
        drop(self);
        let mut rows = rows.into_iter();
        let own = rows.next().flatten();
        for (follower, row) in followers.into_iter().zip(rows.chain(std::iter::repeat_with(|| None))) {
            let _ = follower.reply.send(Reply::Finished(Ok(row)));
        }
        (Ok(own), alone)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let connection = self.connection.take();
        self.batcher.pass_on(connection);
    }
}
