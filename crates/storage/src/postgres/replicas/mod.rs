//! Reads from replicas of PostgreSQL: which calls may use one, and which replica is used.
//!
//! A replica shows the commits up to a position in the log of the primary. It answers a call only if its position is
//! known to be at or after the last write of this caller, and if the primary had that position at most
//! [`max_lag`](DatabaseOptions::replica_max_lag) ago. In all other cases, and after any failure of a replica, the
//! primary answers: a replica makes no call fail.
//!
//! Each read says how current its answer must be ([`ReadConsistency`]). Data on which a decision depends, and above all
//! data that a secret is compared with, is read from the primary.

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
use crate::postgres::servers::{Servers, UrlUse};
use crate::postgres::url;
use crate::sql::executor::Executor;
use write_positions::WritePositions;

/// Maximum time that a read waits for a connection to a replica, maximum time of its statement, and maximum time of
/// both together. After that the primary is used, which must answer within the deadline of the caller.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The replicas of a database, and the write positions of its callers.
pub struct Replicas {
    primary: Arc<Pools>,
    all: Vec<Arc<Replica>>,
    write_positions: WritePositions,
    /// Times at which the primary was polled, and its positions; the oldest first.
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

/// One replica.
struct Replica {
    /// Number for the log, in the order of the setting, from 1.
    number: usize,
    options: DatabaseOptions,
    /// The servers of its URL, of which one is used.
    servers: Servers,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pool: Option<DatabaseConnection>,
    /// `None`: the replica is not used.
    observed: Option<ObservedPosition>,
}

/// Last known position of a replica.
#[derive(Clone, Copy)]
struct ObservedPosition {
    /// Position up to which it has replayed the log.
    position: LogPosition,
    /// Time before which every acknowledged write is replayed on the replica.
    covers_until: Instant,
}

impl Replicas {
    /// Opens the replicas of the options, if there are any. They need not be reachable. Refuses invalid URLs.
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
            url::check_url(&options, UrlUse::Replica)?;
            url::warn_of_unverified_server(url, UrlUse::Replica);
            let servers = Servers::parse(url, UrlUse::Replica)?;
            all.push(Arc::new(Replica { number: index + 1, options, servers, state: Mutex::default() }));
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

    /// Returns how current the reads of a caller must be, so that it sees its own writes. `after` is a text that the
    /// caller has sent: the result of an earlier [`PendingWrite::finish`] in any process.
    pub fn consistency(&self, caller: &Caller, after: Option<&str>) -> ReadConsistency {
        let Some(written) = self.write_positions.required_position(self.write_positions.slot(caller)) else {
            return ReadConsistency::Strong;
        };
        // A text that cannot be parsed may be a position of a later version.
        let Ok(after) = after.map(str::parse::<LogPosition>).transpose() else { return ReadConsistency::Strong };
        let position = written.join(after.unwrap_or_default());
        if position == LogPosition::default() {
            ReadConsistency::BoundedStaleness
        } else {
            ReadConsistency::AtLeast(position)
        }
    }

    /// Returns a replica that covers this position and is within the bound on staleness. Replicas take turns.
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

    /// Starts a call that may write. Until [`PendingWrite::finish`] has recorded its position, the reads of this caller
    /// use the primary.
    pub fn begin_write(self: &Arc<Self>, caller: &Caller) -> PendingWrite {
        PendingWrite { slot: self.write_positions.slot(caller), replicas: Arc::clone(self), position_known: false }
    }

    /// Returns the number of reads that a replica might have answered and the primary has, and the number that a
    /// replica has answered.
    pub fn read_counts(&self) -> (u64, u64) {
        (self.reads.primary.load(Ordering::Relaxed), self.reads.replica.load(Ordering::Relaxed))
    }

    /// Runs a read on a replica that is as current as `consistency` demands. `None`: there is no such replica, or it
    /// failed; the primary has to answer.
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

    /// Closes the connections and opens no new ones.
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

/// Returns the options for connections to a replica.
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
        match timeout(READ_TIMEOUT, work(Executor::Pool(pool, self.options.observer.clone()))).await {
            Ok(Ok(found)) => Some(found),
            // The read conflicted with the replay. A later read may succeed.
            Ok(Err(StoreError::Conflict(_))) => None,
            Ok(Err(_)) => {
                // Until the next poll succeeds.
                self.state().observed = None;
                None
            }
            Err(_) => {
                // The next user of one of its connections would wait as long.
                self.discard_pool();
                None
            }
        }
    }

    /// Closes the pool, so that none of its connections is used again.
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
    /// Ends the call, after success or failure. Queries the log position of the primary, records it for the caller, and
    /// returns it as a text for [`Replicas::consistency`] in any process. `None`: the primary did not answer in time.
    /// In that case no call reads from a replica until the next poll of the primary.
    pub async fn finish(mut self) -> Option<String> {
        let position = self.replicas.primary_position().await?;
        self.replicas.write_positions.record_write(self.slot, position);
        self.position_known = true;
        Some(position.to_string())
    }
}

/// Covers an aborted call too, which may have written.
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
