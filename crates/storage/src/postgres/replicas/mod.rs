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
/// Lag behind the most current replica below which replicas count as equally current: the positions are polled one after
/// the other.
const MIN_LAG_MARGIN: Duration = Duration::from_millis(200);

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
    reads_in_flight: AtomicUsize,
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
            all.push(Arc::new(Replica::new(index + 1, options, servers)));
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

    /// Returns the replica for a read that must cover this position.
    fn choose(&self, position: LogPosition) -> Option<&Replica> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        choose(&self.all, turn, Instant::now(), self.max_lag, position)
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

/// Returns the replica that answers the fewest reads now, of those that cover this position and are within the bound on
/// staleness. Equal ones take turns. A replica that is much further behind than the most current one is left out, because
/// it is still replaying.
fn choose(
    all: &[Arc<Replica>],
    turn: usize,
    now: Instant,
    max_lag: Duration,
    position: LogPosition,
) -> Option<&Replica> {
    let covered = |replica: &Replica| {
        let observed = replica.state().observed?;
        let is_current = now.saturating_duration_since(observed.covers_until) <= max_lag;
        (is_current && observed.position.covers(position)).then_some(observed.covers_until)
    };
    let most_current = all.iter().filter_map(|replica| covered(replica)).max()?;
    let margin = (max_lag / 2).max(MIN_LAG_MARGIN);
    let is_close = |replica: &&Arc<Replica>| {
        covered(replica).is_some_and(|until| most_current.saturating_duration_since(until) <= margin)
    };
    let in_turn = all.iter().cycle().skip(turn % all.len()).take(all.len());
    let chosen = in_turn.filter(is_close).min_by_key(|replica| replica.reads_in_flight.load(Ordering::Relaxed));
    chosen.map(AsRef::as_ref)
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

/// A read that a replica answers now.
struct ReadInFlight<'a>(&'a AtomicUsize);

impl<'a> ReadInFlight<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for ReadInFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Replica {
    fn new(number: usize, options: DatabaseOptions, servers: Servers) -> Self {
        Self { number, options, servers, reads_in_flight: AtomicUsize::new(0), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read. `None`: it failed.
    async fn read<T, W>(&self, work: impl Fn(Executor) -> W) -> Option<T>
    where
        W: Future<Output = StoreResult<T>>,
    {
        let pool = self.state().pool.clone()?;
        let _read = ReadInFlight::new(&self.reads_in_flight);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_LAG: Duration = Duration::from_secs(1);

    /// Returns replicas with their lags in milliseconds, positions and numbers of reads in flight.
    fn replicas(all: &[(u64, u64, usize)], now: Instant) -> Vec<Arc<Replica>> {
        let replica = |(index, (lag, offset, reads)): (usize, &(u64, u64, usize))| {
            let options = DatabaseOptions::new("postgres://h/d");
            let servers = Servers::parse(&options.url, UrlUse::Replica).expect("a valid URL");
            let replica = Replica::new(index, options, servers);
            let (position, covers_until) =
                (LogPosition { timeline: 1, offset: *offset }, now - Duration::from_millis(*lag));
            replica.state().observed = Some(ObservedPosition { position, covers_until });
            replica.reads_in_flight.store(*reads, Ordering::Relaxed);
            Arc::new(replica)
        };
        all.iter().enumerate().map(replica).collect()
    }

    /// Returns the indexes of the replicas for four reads in turn.
    fn chosen(all: &[(u64, u64, usize)], offset: u64) -> [Option<usize>; 4] {
        let now = Instant::now() + Duration::from_secs(60);
        let (replicas, position) = (replicas(all, now), LogPosition { timeline: 1, offset });
        std::array::from_fn(|turn| choose(&replicas, turn, now, MAX_LAG, position).map(|replica| replica.number))
    }

    #[test]
    fn reads_go_to_the_replica_with_the_fewest_of_those_that_are_current() {
        assert_eq!(chosen(&[(0, 9, 0), (0, 9, 0)], 9), [Some(0), Some(1), Some(0), Some(1)], "equal ones take turns");
        assert_eq!(chosen(&[(0, 9, 5), (0, 9, 4), (0, 9, 6)], 9), [Some(1); 4]);
        assert_eq!(chosen(&[(0, 9, 5), (0, 8, 0)], 9), [Some(0); 4], "the other one does not cover the position");
        assert_eq!(chosen(&[(0, 9, 5), (2_000, 9, 0)], 9), [Some(0); 4], "the other one is too far behind");
        assert_eq!(chosen(&[(0, 9, 5), (700, 9, 0)], 9), [Some(0); 4], "the other one is much further behind");
        assert_eq!(chosen(&[(100, 9, 5), (300, 9, 0)], 9), [Some(1); 4]);
        assert_eq!(chosen(&[(700, 9, 5), (900, 9, 4)], 9), [Some(1); 4], "both are");
        assert_eq!(chosen(&[(2_000, 9, 0)], 9), [None; 4]);
        assert_eq!(chosen(&[(0, 8, 0)], 9), [None; 4]);
    }

    #[test]
    fn a_read_counts_until_it_ends() {
        let count = AtomicUsize::new(0);
        let (one, other) = (ReadInFlight::new(&count), ReadInFlight::new(&count));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop((one, other));
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
