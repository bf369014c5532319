//! Reads from PostgreSQL's replicas: who may be answered by one, and by which.
//!
//! A replica shows what was committed up to some position in the primary's log. It answers a call only if that is known to
//! be not before the last position that this caller has written to, and if it was the primary's own position not too long
//! ago. Whatever is in doubt goes to the primary, as does whatever a replica fails at: a replica makes no call fail.
//!
//! Only what a use case declares to be good enough as it was a moment ago is read here ([`may_lag`]); whatever a
//! decision depends on, and above all a comparison with a secret, is read where it is written.

mod follow;
mod memory;
mod position;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use access_tokens_domain::session::Caller;
use access_tokens_domain::store::{StoreError, StoreResult};
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, timeout};

use crate::caller;
use crate::options::{DatabaseOptions, SetupError};
use crate::pools::Pools;
use crate::single::Single;
use crate::url;
use memory::Memory;
use position::Position;

/// How long a read waits for a connection to a replica, how long its statement may take, and how long both may together.
/// After that the primary is asked, which has to be done with it before the caller's patience ends.
const ACQUIRE: Duration = Duration::from_millis(500);
const STATEMENT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

tokio::task_local! {
    static ROUTE: Route;
}

/// The replicas of a database, and what its callers must not be shown without.
pub struct Replicas {
    primary: Arc<Pools>,
    all: Vec<Arc<Replica>>,
    memory: Memory,
    /// When the primary was asked, and where it was then; the oldest first.
    samples: Mutex<VecDeque<(Instant, Position)>>,
    max_lag: Duration,
    next: AtomicUsize,
    reads: ReadCounts,
    following: Once,
    closed: AtomicBool,
}

#[derive(Default)]
struct ReadCounts {
    primary: AtomicU64,
    replica: AtomicU64,
}

/// One of them.
struct Replica {
    /// For the log: which one in the order of the setting, from 1.
    number: usize,
    options: DatabaseOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pool: Option<DatabaseConnection>,
    /// `None`: not to be used.
    seen: Option<Seen>,
}

/// What is known of it.
#[derive(Clone, Copy)]
struct Seen {
    /// It has replayed so much.
    position: Position,
    /// It has replayed whatever was acknowledged before.
    fresh: Instant,
}

impl Replicas {
    /// The replicas of the options, if there are any. None of them need be there. Refuses URLs that are none.
    pub(crate) fn of(options: &DatabaseOptions, primary: &Arc<Pools>) -> Result<Option<Arc<Self>>, SetupError> {
        if options.replica_urls.is_empty() {
            return Ok(None);
        }
        let mut all = Vec::new();
        for (index, url) in options.replica_urls.iter().enumerate() {
            let options = replica_options(options, url);
            if !url::postgres::accepts(url) {
                return Err(SetupError::Url("expected postgres://user:password@host/database of a replica".to_owned()));
            }
            url::postgres::check_url(&options)?;
            url::postgres::warn_of_strangers(url);
            all.push(Arc::new(Replica { number: index + 1, options, state: Mutex::default() }));
        }
        Ok(Some(Arc::new(Self {
            primary: Arc::clone(primary),
            all,
            memory: Memory::default(),
            samples: Mutex::default(),
            max_lag: options.replica_max_lag,
            next: AtomicUsize::new(0),
            reads: ReadCounts::default(),
            following: Once::new(),
            closed: AtomicBool::new(false),
        })))
    }

    /// A replica that may answer this caller, who has sent `after` along: what [`Writing::done`] has answered before,
    /// in whichever process. `None`: nobody but the primary.
    pub fn choose(self: &Arc<Self>, caller: &Caller, after: Option<&str>) -> Option<Route> {
        let written = self.memory.written(self.memory.place(caller))?;
        // What is no position may have been one that we do not understand.
        let after = after.map(str::parse::<Position>).transpose().ok()?;
        let now = Instant::now();
        let ready = |replica: &Arc<Replica>| {
            let Some(seen) = replica.state().seen else { return false };
            seen.position.covers(written)
                && after.is_none_or(|after| seen.position.covers(after))
                && now.saturating_duration_since(seen.fresh) <= self.max_lag
        };
        // Each in turn.
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let found = self.all.iter().cycle().skip(first).take(self.all.len()).find(|replica| ready(replica))?;
        Some(Route { replica: Arc::clone(found), allowed: Cell::new(false) })
    }

    /// To be called before a call that may write: until it has said where it has, nothing is read from replicas that it
    /// might have changed.
    pub fn writing(self: &Arc<Self>, caller: &Caller) -> Writing {
        Writing { place: self.memory.place(caller), replicas: Arc::clone(self), known: false }
    }

    /// How many reads that need not be of this very moment the primary has answered, and how many a replica.
    pub fn read_counts(&self) -> (u64, u64) {
        (self.reads.primary.load(Ordering::Relaxed), self.reads.replica.load(Ordering::Relaxed))
    }

    /// Runs a read on the replica of this call, if it has one and has said that it may lag. `None`: ask the primary.
    pub(crate) async fn read<T, W>(&self, work: impl Fn(Single) -> W) -> Option<T>
    where
        W: Future<Output = StoreResult<T>>,
    {
        let replica = ROUTE.try_with(|route| route.allowed.get().then(|| Arc::clone(&route.replica))).ok().flatten();
        let found = match replica {
            Some(replica) => replica.read(work).await,
            None => None,
        };
        let count = if found.is_some() { &self.reads.replica } else { &self.reads.primary };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Closes their connections and opens no new ones.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for replica in &self.all {
            let pool = replica.leave();
            if let Some(pool) = pool {
                let _ = pool.close().await;
            }
        }
    }
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicas").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

/// How a replica is spoken to.
fn replica_options(options: &DatabaseOptions, url: &str) -> DatabaseOptions {
    DatabaseOptions {
        url: url.to_owned(),
        acquire_timeout: options.acquire_timeout.min(ACQUIRE),
        statement_timeout: options.statement_timeout.min(STATEMENT),
        replica_urls: Vec::new(),
        ..options.clone()
    }
}

impl Replica {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read. `None`: it failed.
    async fn read<T, W>(&self, work: impl Fn(Single) -> W) -> Option<T>
    where
        W: Future<Output = StoreResult<T>>,
    {
        let pool = self.state().pool.clone()?;
        // A single statement may be dropped.
        match timeout(PATIENCE, work(Single::Pool(pool))).await {
            Ok(Ok(found)) => Some(found),
            // What it replays was in the way: next time it may not be.
            Ok(Err(StoreError::Conflict(_))) => None,
            Ok(Err(_)) => {
                // Until it is heard of again.
                self.state().seen = None;
                None
            }
            Err(_) => {
                // Whoever got one of its connections next would wait as long.
                self.abandon();
                None
            }
        }
    }

    /// Uses none of its connections again.
    fn abandon(&self) {
        if let Some(pool) = self.leave() {
            tokio::spawn(async move { pool.close().await });
        }
    }

    fn leave(&self) -> Option<DatabaseConnection> {
        let mut state = self.state();
        state.seen = None;
        state.pool.take()
    }
}

/// A replica that may answer one call.
pub struct Route {
    replica: Arc<Replica>,
    allowed: Cell<bool>,
}

impl Route {
    /// Runs a call that may read there, from when it says so ([`may_lag`]).
    pub async fn around<T>(self, call: impl Future<Output = T>) -> T {
        ROUTE.scope(self, call).await
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("replica", &self.replica.number).finish()
    }
}

/// Says of the call that this is part of: what it reads from now on may be as old as its replica, if it has one. Nothing
/// may be decided by it, and no secret be compared with it. So it need not be read at all when nobody waits for it
/// ([`Call::is_idle`](crate::Call::is_idle)).
pub fn may_lag() {
    caller::only_reads();
    let _ = ROUTE.try_with(|route| route.allowed.set(true));
}

/// A call that may write.
pub struct Writing {
    replicas: Arc<Replicas>,
    place: usize,
    known: bool,
}

impl Writing {
    /// It is over, whatever came of it. Asks how far the primary's log has come, notes it for the caller, and answers it
    /// as a text for [`Replicas::choose`] anywhere. `None`: the primary did not say; for a moment nobody reads from a
    /// replica.
    pub async fn done(mut self) -> Option<String> {
        let position = self.replicas.ask_primary().await?;
        self.replicas.memory.note(self.place, position);
        self.known = true;
        Some(position.to_string())
    }
}

/// Also when the call was cut: it may have written all the same.
impl Drop for Writing {
    fn drop(&mut self) {
        if !self.known {
            self.replicas.memory.doubt();
        }
    }
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writing")
    }
}
