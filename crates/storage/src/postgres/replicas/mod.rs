//! Reads from PostgreSQL's replicas: who may be answered by one, and by which.
//!
//! A replica shows what was committed up to some position in the primary's log. It answers a call only if that is known to
//! be not before the last position that this caller has written to, and if it was the primary's own position not too long
//! ago. Whatever is in doubt goes to the primary, as does whatever a replica fails at: a replica makes no call fail.
//!
//! Each read says how current its answer must be ([`ReadConsistency`]). What a decision depends on, and above all what a secret is
//! compared with, is read from the primary.

mod follow;
mod position;
mod write_positions;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use access_tokens_domain::session::Caller;
use access_tokens_domain::store::{LogPosition, ReadConsistency, StoreError, StoreResult};
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, timeout};

use crate::options::{DatabaseOptions, SetupError};
use crate::postgres::pools::Pools;
use crate::postgres::url;
use crate::sql::executor::Executor;
use write_positions::WritePositions;

/// How long a read waits for a connection to a replica, how long its statement may take, and how long both may together.
/// After that the primary is asked, which has to be done with it before the caller's patience ends.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The replicas of a database, and what its callers must not be shown without.
pub struct Replicas {
    primary: Arc<Pools>,
    all: Vec<Arc<Replica>>,
    write_positions: WritePositions,
    /// When the primary was asked, and where it was then; the oldest first.
    samples: Mutex<VecDeque<(Instant, LogPosition)>>,
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
    observed: Option<ObservedPosition>,
}

/// What is known of it.
#[derive(Clone, Copy)]
struct ObservedPosition {
    /// It has replayed so much.
    position: LogPosition,
    /// It has replayed whatever was acknowledged before.
    covers_until: Instant,
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
            if !url::accepts(url) {
                return Err(SetupError::Url("expected postgres://user:password@host/database of a replica".to_owned()));
            }
            url::check_url(&options)?;
            url::warn_of_unverified_server(url);
            all.push(Arc::new(Replica { number: index + 1, options, state: Mutex::default() }));
        }
        Ok(Some(Arc::new(Self {
            primary: Arc::clone(primary),
            all,
            write_positions: WritePositions::default(),
            samples: Mutex::default(),
            max_lag: options.replica_max_lag,
            next: AtomicUsize::new(0),
            reads: ReadCounts::default(),
            following: Once::new(),
            closed: AtomicBool::new(false),
        })))
    }

    /// Returns how current the reads of a caller must be, so that it sees its own writes. `after` is what it has sent along: what
    /// [`PendingWrite::finish`] has returned before, in any process.
    pub fn consistency(&self, caller: &Caller, after: Option<&str>) -> ReadConsistency {
        let Some(written) = self.write_positions.required_position(self.write_positions.slot(caller)) else {
            return ReadConsistency::Strong;
        };
        // A text that is not understood may be the position of a later version.
        let Ok(after) = after.map(str::parse::<LogPosition>).transpose() else { return ReadConsistency::Strong };
        let position = written.join(after.unwrap_or_default());
        if position == LogPosition::default() {
            ReadConsistency::BoundedStaleness
        } else {
            ReadConsistency::AtLeast(position)
        }
    }

    /// Returns a replica that covers this position and is within the bound on staleness. Each is chosen in turn.
    fn choose(&self, position: LogPosition) -> Option<&Replica> {
        let now = Instant::now();
        let ready = |replica: &Arc<Replica>| {
            let Some(observed) = replica.state().observed else { return false };
            observed.position.covers(position) && now.saturating_duration_since(observed.covers_until) <= self.max_lag
        };
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let found = self.all.iter().cycle().skip(first).take(self.all.len()).find(|replica| ready(replica));
        found.map(AsRef::as_ref)
    }

    /// To be called before a call that may write: until it has said where it has, nothing is read from replicas that it
    /// might have changed.
    pub fn begin_write(self: &Arc<Self>, caller: &Caller) -> PendingWrite {
        PendingWrite { slot: self.write_positions.slot(caller), replicas: Arc::clone(self), position_known: false }
    }

    /// How many reads that need not be of this very moment the primary has answered, and how many a replica.
    pub fn read_counts(&self) -> (u64, u64) {
        (self.reads.primary.load(Ordering::Relaxed), self.reads.replica.load(Ordering::Relaxed))
    }

    /// Runs a read on a replica that is as current as `consistency` demands. `None`: there is none, or it failed; the primary has to
    /// answer.
    pub(crate) async fn read<T, W>(&self, consistency: ReadConsistency, work: impl Fn(Executor) -> W) -> Option<T>
    where
        W: Future<Output = StoreResult<T>>,
    {
        let replica = match consistency {
            ReadConsistency::Strong => None,
            ReadConsistency::AtLeast(position) => self.choose(position),
            ReadConsistency::BoundedStaleness => self.choose(LogPosition::default()),
        };
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
            let pool = replica.take_pool();
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
        acquire_timeout: options.acquire_timeout.min(ACQUIRE_TIMEOUT),
        statement_timeout: options.statement_timeout.min(STATEMENT_TIMEOUT),
        replica_urls: Vec::new(),
        ..options.clone()
    }
}

impl Replica {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read. `None`: it failed.
    async fn read<T, W>(&self, work: impl Fn(Executor) -> W) -> Option<T>
    where
        W: Future<Output = StoreResult<T>>,
    {
        let pool = self.state().pool.clone()?;
        // A single statement may be dropped.
        match timeout(READ_TIMEOUT, work(Executor::Pool(pool))).await {
            Ok(Ok(found)) => Some(found),
            // What it replays was in the way: next time it may not be.
            Ok(Err(StoreError::Conflict(_))) => None,
            Ok(Err(_)) => {
                // Until it is heard of again.
                self.state().observed = None;
                None
            }
            Err(_) => {
                // Whoever got one of its connections next would wait as long.
                self.discard_pool();
                None
            }
        }
    }

    /// Uses none of its connections again.
    fn discard_pool(&self) {
        if let Some(pool) = self.take_pool() {
            tokio::spawn(async move { pool.close().await });
        }
    }

    fn take_pool(&self) -> Option<DatabaseConnection> {
        let mut state = self.state();
        state.observed = None;
        state.pool.take()
    }
}

/// A call that may write.
pub struct PendingWrite {
    replicas: Arc<Replicas>,
    slot: usize,
    position_known: bool,
}

impl PendingWrite {
    /// Ends the call, with any outcome. Asks how far the primary's log has come, notes it for the caller, and returns it as a text
    /// for [`Replicas::consistency`] in any process. `None`: the primary did not say; for a moment no call reads from a replica.
    pub async fn finish(mut self) -> Option<String> {
        let position = self.replicas.primary_position().await?;
        self.replicas.write_positions.record_write(self.slot, position);
        self.position_known = true;
        Some(position.to_string())
    }
}

/// Also when the call was cut: it may have written all the same.
impl Drop for PendingWrite {
    fn drop(&mut self) {
        if !self.position_known {
            self.replicas.write_positions.record_unknown_write();
        }
    }
}

impl std::fmt::Debug for PendingWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writing")
    }
}
