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

use self::batch_item::{Job, bound};
use crate::error::Failure;
use crate::lookup::Question;
use crate::postgres::PING_AFTER_IDLE;
use crate::sql::observer::{self, Watcher};

/// So many wait to be asked for together before another lane is taken; fewer do only for so long.
const ENOUGH: usize = 8;
const SOON: Duration = Duration::from_millis(1);
/// After so long a connection goes back to its pool, which looks at its age.
const KEPT: Duration = Duration::from_secs(60);

/// Number of times that an insert is tried while each try ends in a deadlock.
const INSERT_ATTEMPTS: usize = 4;

/// The lanes of a pool.
pub(crate) struct Lanes {
    pool: PgPool,
    watcher: Watcher,
    state: Mutex<State>,
}

struct State {
    lanes: usize,
    /// Lanes that nobody uses.
    free: usize,
    /// When somebody asked last.
    asked: Instant,
    /// Connections for some of them.
    parked: Vec<Connection>,
    waiting: VecDeque<Waiting>,
    closed: bool,
}

struct Connection {
    connection: PoolConnection<Postgres>,
    taken: Instant,
    used: Instant,
}

/// Somebody who waits for a lane, or for the answer.
struct Waiting {
    job: Arc<Job>,
    reply: oneshot::Sender<Reply>,
}

enum Reply {
    /// Ask yourself.
    Lane(Lane),
    /// Somebody has asked for several. No row: there is no such organisation, or nothing to be read.
    Answer(Result<Option<PgRow>, Failure>),
}

/// The right to ask. Whoever drops it hands it on.
struct Lane {
    lanes: Arc<Lanes>,
    connection: Option<Connection>,
}

impl Lanes {
    /// So many lanes, over connections of this pool.
    pub(crate) fn new(pool: PgPool, lanes: usize, watcher: Watcher) -> Arc<Self> {
        let lanes = lanes.max(1);
        let (parked, waiting, asked) = (Vec::new(), VecDeque::new(), Instant::now());
        let state = State { lanes, free: lanes, asked, parked, waiting, closed: false };
        Arc::new(Self { pool, watcher, state: Mutex::new(state) })
    }

    /// Returns the row of a question. `None`: there is no such organisation. `call` may be dropped while it waits here: the leader
    /// of the next batch skips it.
    pub(crate) async fn find(
        self: &Arc<Self>,
        question: Question,
        keys: &[&str],
        call: Option<&CallState>,
    ) -> Result<Option<PgRow>, Failure> {
        let keys = keys.iter().map(ToString::to_string).collect();
        let job = Arc::new(Job::Lookup { question, keys });
        let turn = self.turn(&job);
        let reply = match call {
            Some(call) => call.queue(turn).await,
            None => turn.await,
        };
        match reply.map_err(|error| Failure::of_sqlx(&error))? {
            Reply::Lane(lane) => lane.ask(&job, true).await.0,
            Reply::Answer(answer) => answer,
        }
    }

    /// Writes a new token, by its values, and commits it.
    ///
    /// Together with others it may have been refused for what is wrong with one of them, and nothing was written. So it is
    /// asked for again, alone. When nobody knows whether it was written, it is not.
    pub(crate) async fn insert(self: &Arc<Self>, values: Vec<Value>) -> Result<(), Failure> {
        let job = Arc::new(Job::NewToken { values });
        let (answer, alone) = match self.turn(&job).await.map_err(|error| Failure::of_sqlx(&error))? {
            Reply::Lane(lane) => lane.ask(&job, true).await,
            Reply::Answer(answer) => (answer, false),
        };
        match answer {
            Ok(_) => Ok(()),
            Err(Failure::Conflict(_)) => self.insert_alone(&job).await,
            Err(failure) if alone || matches!(failure, Failure::Unavailable(_)) => Err(failure),
            Err(_) => self.insert_alone(&job).await,
        }
    }

    /// Writes a new token by a statement of its own. PostgreSQL may choose it to end a circle of waiting transactions; nothing
    /// was written then, and it is asked for again.
    async fn insert_alone(self: &Arc<Self>, job: &Arc<Job>) -> Result<(), Failure> {
        for _ in 1..INSERT_ATTEMPTS {
            let lane = self.lane().await.map_err(|error| Failure::of_sqlx(&error))?;
            match lane.ask(job, false).await.0 {
                Err(Failure::Conflict(_)) => {}
                answer => return answer.map(|_| ()),
            }
        }
        let lane = self.lane().await.map_err(|error| Failure::of_sqlx(&error))?;
        lane.ask(job, false).await.0.map(|_| ())
    }

    /// The rows of a statement.
    pub(crate) async fn rows(self: &Arc<Self>, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        let mut lane = self.lane().await?;
        let mut connection = lane.connection().await?;
        let rows = self.told(statement, |asked| asked.fetch_all(&mut *connection.connection)).await?;
        lane.keep(connection);
        Ok(rows)
    }

    /// What a statement has done.
    pub(crate) async fn execute(self: &Arc<Self>, statement: Statement) -> sqlx::Result<PgQueryResult> {
        let mut lane = self.lane().await?;
        let mut connection = lane.connection().await?;
        let done = self.told(statement, |asked| asked.execute(&mut *connection.connection)).await?;
        lane.keep(connection);
        Ok(done)
    }

    async fn told<T, W>(
        &self,
        statement: Statement,
        run: impl FnOnce(Query<'static, Postgres, SqlxValues>) -> W,
    ) -> sqlx::Result<T>
    where
        W: Future<Output = sqlx::Result<T>>,
    {
        let text = self.watcher.as_ref().map(|_| statement.sql.clone()).unwrap_or_default();
        observer::told(&self.watcher, DbBackend::Postgres, &text, run(bound(statement))).await
    }

    async fn lane(self: &Arc<Self>) -> sqlx::Result<Lane> {
        match self.turn(&Arc::new(Job::Statement)).await? {
            Reply::Lane(lane) => Ok(lane),
            // To no question.
            Reply::Answer(_) => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// A lane, or the answer. Who gets neither in time is told what a pool would say.
    async fn turn(self: &Arc<Self>, job: &Arc<Job>) -> sqlx::Result<Reply> {
        let patience = Instant::now() + self.pool.options().get_acquire_timeout();
        let mut together = true;
        loop {
            let mut waits = match self.enter(job, together) {
                Ok(lane) => return Ok(Reply::Lane(lane)),
                Err(waits) => waits,
            };
            // What writes shares its lanes with statements that may take any time; lookups are among themselves.
            let until = if together && job.writes() { Instant::now() + SOON } else { patience };
            let reply = match timeout_at(until, &mut waits).await {
                Ok(reply) => reply,
                // Somebody asks for it just now.
                Err(_) if !self.withdraw(job) => waits.await,
                Err(_) if until == patience => return Err(sqlx::Error::PoolTimedOut),
                Err(_) => {
                    together = false;
                    continue;
                }
            };
            match reply {
                Ok(reply) => return Ok(reply),
                // Who asked for it was cut in the middle of it, and it may be written.
                Err(_) if job.writes() => return Err(sqlx::Error::WorkerCrashed),
                Err(_) => {}
            }
        }
    }

    /// How many connections nobody uses.
    pub(crate) fn parked(&self) -> u32 {
        u32::try_from(self.state().parked.len()).unwrap_or(u32::MAX)
    }

    /// Keeps no connection from now on, and lets nobody wait: whoever asks is told by the pool that it is closed.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = (std::mem::take(&mut state.parked), std::mem::take(&mut state.waiting));
        drop(state);
        drop(dropped);
    }

    fn enter(self: &Arc<Self>, job: &Arc<Job>, together: bool) -> Result<Lane, oneshot::Receiver<Reply>> {
        let mut state = self.state();
        if state.admits(together && job.most() > 1) {
            state.free = state.free.saturating_sub(1);
            state.asked = Instant::now();
            let connection = state.parked.pop();
            return Ok(Lane { lanes: Arc::clone(self), connection });
        }
        let (reply, waits) = oneshot::channel();
        state.waiting.push_back(Waiting { job: Arc::clone(job), reply });
        Err(waits)
    }

    /// Waits no longer. False: somebody has been told to ask, or asks.
    fn withdraw(&self, job: &Arc<Job>) -> bool {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.job, job));
        state.waiting.len() < before
    }

    /// Those who wait for the same kind of answer, but for the one who asks.
    fn others(&self, job: &Job) -> Vec<Waiting> {
        let mut state = self.state();
        state.asked = Instant::now();
        let mut others = Vec::new();
        let mut left = VecDeque::with_capacity(state.waiting.len());
        for waiting in state.waiting.drain(..) {
            if waiting.reply.is_closed() {
                continue;
            }
            if others.len() + 1 < job.most() && job.goes_with(&waiting.job) {
                others.push(waiting);
            } else {
                left.push_back(waiting);
            }
        }
        state.waiting = left;
        others
    }

    fn hand_on(self: &Arc<Self>, mut connection: Option<Connection>) {
        let next = {
            let mut state = self.state();
            let mut waiting = std::iter::from_fn(|| state.waiting.pop_front());
            let next = waiting.find(|waiting| !waiting.reply.is_closed());
            if next.is_none() {
                state.free += 1;
                if !state.closed {
                    state.parked.extend(connection.take().filter(|kept| kept.taken.elapsed() < KEPT));
                }
            }
            next
        };
        // Without the lock: what is not kept goes back to the pool, and who goes at this very moment hands it on again.
        if let Some(next) = next {
            let _ = next.reply.send(Reply::Lane(Lane { lanes: Arc::clone(self), connection }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Is there a lane to be taken? Who may rather waits for a lane that will soon be handed on, and is asked for with others.
    fn admits(&self, together: bool) -> bool {
        let soon = self.free < self.lanes && self.waiting.len() < ENOUGH && self.asked.elapsed() < SOON;
        self.closed || self.free > 0 && !(together && soon)
    }
}

impl Lane {
    /// Its connection, to be given back with [`Self::keep`] after it has done well. Else the pool sees to it.
    async fn connection(&mut self) -> sqlx::Result<Connection> {
        // One that has rested goes to the pool, where it is looked at.
        if let Some(kept) = self.connection.take().filter(|kept| kept.used.elapsed() < PING_AFTER_IDLE) {
            return Ok(kept);
        }
        // In a box: it is four kilobytes, which every call would have to move around.
        let (connection, taken) = (Box::pin(self.lanes.pool.acquire()).await?, Instant::now());
        Ok(Connection { connection, taken, used: taken })
    }

    fn keep(&mut self, connection: Connection) {
        self.connection = Some(Connection { used: Instant::now(), ..connection });
    }

    /// Asks for it, with all who wait for the same kind of answer or alone. Was it alone?
    async fn ask(mut self, job: &Arc<Job>, together: bool) -> (Result<Option<PgRow>, Failure>, bool) {
        let lanes = Arc::clone(&self.lanes);
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return (Err(Failure::of_sqlx(&error)), true),
        };
        let others = if together { lanes.others(job) } else { Vec::new() };
        let alone = others.is_empty();
        let jobs: Vec<_> = std::iter::once(job).chain(others.iter().map(|other| &other.job)).collect();
        let asked = batch_item::ask(&mut connection.connection, &jobs);
        let asked = observer::told(&lanes.watcher, DbBackend::Postgres, batch_item::text(&jobs), asked).await;
        let rows = match asked {
            Ok(rows) => rows,
            Err(error) => {
                // Whatever state the connection is in, the pool will see.
                let failure = Failure::of_sqlx(&error);
                for other in others {
                    let _ = other.reply.send(Reply::Answer(Err(failure.clone())));
                }
                return (Err(failure), alone);
            }
        };
        self.keep(connection);
        // The next one may ask before the answers are read.
        drop(self);
        let mut rows = rows.into_iter();
        let own = rows.next().flatten();
        for (other, row) in others.into_iter().zip(rows.chain(std::iter::repeat_with(|| None))) {
            let _ = other.reply.send(Reply::Answer(Ok(row)));
        }
        (Ok(own), alone)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let connection = self.connection.take();
        self.lanes.hand_on(connection);
    }
}
