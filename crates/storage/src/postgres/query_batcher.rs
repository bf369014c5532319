//! Single statements on PostgreSQL over few connections. Under load, several lookups share one statement, and several
//! new tokens share one statement and one commit.
//!
//! A connection is kept between statements. A pool would test it on return, which is a round trip, and would take it
//! back in a separate task.
//!
//! The first waiter becomes the leader: it takes a connection, collects the waiting items of the same kind and runs
//! them as one statement. Followers wait for a bounded time, and either receive their answer through a channel or
//! become the next leader. Another connection is used when many items wait, or when an answer takes long. Under little
//! load, no task wakes another one.

mod batch_item;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_tokens_domain::store::CallState;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::{PgQueryResult, PgRow};
use sea_orm::sqlx::{self, PgPool, Postgres};
use sea_orm::{DbBackend, Statement, Value};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use self::batch_item::{BatchItem, bound};
use crate::error::Failure;
use crate::lookup::PreparedQuery;
use crate::postgres::PING_AFTER_IDLE;
use crate::postgres::alarm::Alarm;
use crate::sql::label::Label;
use crate::sql::observer::{Observer, observe};

/// Number of queued items above which another connection is used immediately. Fewer items wait for at most
/// [`MAX_FOLLOWER_WAIT`].
const QUEUE_LENGTH_FOR_NEXT_CONNECTION: usize = 8;
const MAX_FOLLOWER_WAIT: Duration = Duration::from_millis(1);
/// Maximum time that a connection is kept outside of its pool, which checks its age.
const MAX_CONNECTION_HOLD: Duration = Duration::from_secs(60);

/// Number of times that an insert is tried while each try ends in a deadlock.
const INSERT_ATTEMPTS: usize = 4;

/// Runs single statements and batches over the connections of one pool.
pub(crate) struct QueryBatcher {
    pool: PgPool,
    observer: Observer,
    alarm: Arc<Alarm>,
    state: Mutex<State>,
}

struct State {
    slots: usize,
    /// Number of slots that are not in use.
    free: usize,
    /// Time of the latest statement.
    asked: Instant,
    /// Connections of some of the free slots.
    idle_connections: Vec<Connection>,
    waiting: VecDeque<Waiter>,
    closed: bool,
}

struct Connection {
    connection: PoolConnection<Postgres>,
    taken: Instant,
    used: Instant,
}

/// An item that waits for a slot or for its answer.
struct Waiter {
    item: Arc<BatchItem>,
    reply: oneshot::Sender<Reply>,
}

enum Reply {
    /// The waiter becomes the leader and runs its item itself.
    Lead(ConnectionSlot),
    /// A leader has run the item in a batch. No row: the organisation does not exist, or the item was a write.
    Finished(Result<Option<PgRow>, Failure>),
}

/// The right to use one connection. When it is dropped, the next waiter gets it.
struct ConnectionSlot {
    batcher: Arc<QueryBatcher>,
    connection: Option<Connection>,
}

impl QueryBatcher {
    /// Creates a batcher with this number of slots over the connections of a pool.
    pub(crate) fn new(pool: PgPool, slots: usize, observer: Observer, alarm: Arc<Alarm>) -> Arc<Self> {
        let slots = slots.max(1);
        let (idle_connections, waiting, asked) = (Vec::new(), VecDeque::new(), Instant::now());
        let state = State { slots, free: slots, asked, idle_connections, waiting, closed: false };
        Arc::new(Self { pool, observer, alarm, state: Mutex::new(state) })
    }

    /// Returns the row of a lookup. `None`: the organisation does not exist. `call` may be dropped while it waits here:
    /// the leader of the next batch skips it.
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

    /// Inserts a new token, by its values, and commits it.
    ///
    /// An error in one token makes the whole batch fail, and nothing is written. In that case this token is inserted
    /// again, alone. If it is not known whether the batch was committed, the token is not inserted again.
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

    /// Inserts a new token by its own statement. If PostgreSQL makes it fail to end a deadlock, it has written nothing,
    /// and is tried again.
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

    /// Runs a statement and returns its rows.
    pub(crate) async fn rows(self: &Arc<Self>, label: Label, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        let mut slot = self.slot().await?;
        let mut connection = slot.connection().await?;
        let rows = bound(statement).fetch_all(&mut *connection.connection);
        let rows = observe(&self.observer, DbBackend::Postgres, label, rows).await;
        let rows = rows.inspect_err(|error| self.report(&mut connection, &Failure::from_sqlx(error)))?;
        slot.put_back(connection);
        Ok(rows)
    }

    /// Runs a statement and returns the number of affected rows.
    pub(crate) async fn execute(self: &Arc<Self>, label: Label, statement: Statement) -> sqlx::Result<PgQueryResult> {
        let mut slot = self.slot().await?;
        let mut connection = slot.connection().await?;
        let done = bound(statement).execute(&mut *connection.connection);
        let done = observe(&self.observer, DbBackend::Postgres, label, done).await;
        let done = done.inspect_err(|error| self.report(&mut connection, &Failure::from_sqlx(error)))?;
        slot.put_back(connection);
        Ok(done)
    }

    /// Reports a failed statement to the heartbeat. A connection to a server that cannot be written is closed.
    fn report(&self, connection: &mut Connection, failure: &Failure) {
        if self.alarm.report(failure) {
            connection.connection.close_on_drop();
        }
    }

    async fn slot(self: &Arc<Self>) -> sqlx::Result<ConnectionSlot> {
        match self.wait_for_slot(&Arc::new(BatchItem::Statement)).await? {
            Reply::Lead(slot) => Ok(slot),
            // An item without a statement is never run in a batch.
            Reply::Finished(_) => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// Waits for a slot or for the answer of a leader. At the timeout of the pool it returns the error of the pool.
    async fn wait_for_slot(self: &Arc<Self>, item: &Arc<BatchItem>) -> sqlx::Result<Reply> {
        let deadline = Instant::now() + self.pool.options().get_acquire_timeout();
        let mut batchable = true;
        loop {
            let mut receiver = match self.try_enter(item, batchable) {
                Ok(slot) => return Ok(Reply::Lead(slot)),
                Err(receiver) => receiver,
            };
            // Writes share their slots with statements of any duration; lookups only with each other.
            let until = if batchable && item.is_write() { Instant::now() + MAX_FOLLOWER_WAIT } else { deadline };
            let reply = match timeout_at(until, &mut receiver).await {
                Ok(reply) => reply,
                // A leader runs the item at this moment.
                Err(_) if !self.stop_waiting(item) => receiver.await,
                Err(_) if until == deadline => return Err(sqlx::Error::PoolTimedOut),
                Err(_) => {
                    batchable = false;
                    continue;
                }
            };
            match reply {
                Ok(reply) => return Ok(reply),
                // The leader was dropped during the statement, which may have been committed.
                Err(_) if item.is_write() => return Err(sqlx::Error::WorkerCrashed),
                Err(_) => {}
            }
        }
    }

    /// Returns the number of connections that are not in use.
    pub(crate) fn idle_connections(&self) -> u32 {
        u32::try_from(self.state().idle_connections.len()).unwrap_or(u32::MAX)
    }

    /// Keeps no connection any more and ends all waits: later callers get the error of the closed pool.
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

    /// Removes the item from the queue. `false`: a leader has taken it, or it has become the leader.
    fn stop_waiting(&self, item: &Arc<BatchItem>) -> bool {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.item, item));
        state.waiting.len() < before
    }

    /// Takes the waiting items from the queue that can share a statement with this one.
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
        // Without the lock: a connection that is not kept returns to the pool, and a waiter that is dropped now passes
        // the slot on again.
        if let Some(next) = next {
            let _ = next.reply.send(Reply::Lead(ConnectionSlot { batcher: Arc::clone(self), connection }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reports whether a slot can be taken now. A batchable item waits instead if a slot will soon be passed on, so
    /// that it shares a statement.
    fn has_free_slot(&self, batchable: bool) -> bool {
        let soon = self.free < self.slots
            && self.waiting.len() < QUEUE_LENGTH_FOR_NEXT_CONNECTION
            && self.asked.elapsed() < MAX_FOLLOWER_WAIT;
        self.closed || self.free > 0 && !(batchable && soon)
    }
}

impl ConnectionSlot {
    /// Returns the connection of the slot. After a success the caller gives it back with [`Self::put_back`]; otherwise
    /// the pool handles it.
    async fn connection(&mut self) -> sqlx::Result<Connection> {
        // An idle connection goes back to the pool, which tests it.
        if let Some(kept) = self.connection.take().filter(|kept| kept.used.elapsed() < PING_AFTER_IDLE) {
            return Ok(kept);
        }
        // Boxed: the future has four kilobytes, which every call would have to move.
        let (connection, taken) = (Box::pin(self.batcher.pool.acquire()).await?, Instant::now());
        Ok(Connection { connection, taken, used: taken })
    }

    fn put_back(&mut self, connection: Connection) {
        self.connection = Some(Connection { used: Instant::now(), ..connection });
    }

    /// Runs the item, together with its followers if it is `batchable`. The second value is `true` if it was alone.
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
        let asked = observe(&batcher.observer, DbBackend::Postgres, item.label(), asked).await;
        let rows = match asked {
            Ok(rows) => rows,
            Err(error) => {
                // The connection is in an unknown state, which the pool handles.
                let failure = Failure::from_sqlx(&error);
                batcher.report(&mut connection, &failure);
                for follower in followers {
                    let _ = follower.reply.send(Reply::Finished(Err(failure.clone())));
                }
                return (Err(failure), alone);
            }
        };
        self.put_back(connection);
        // The next leader may start before the answers are sent.
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
