//! Shared parts of both kinds of writes: limits of a batch, counters, and replies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::Failure;
use crate::options::DatabaseOptions;

/// Limits of a batch and of waits.
pub(crate) struct Limits {
    /// Maximum number of writes that share a commit.
    pub(super) max_batch_size: usize,
    /// Age of a batch above which it accepts no further write.
    pub(super) max_batch_age: Duration,
    /// Maximum time that a request waits in the queue.
    pub(super) queue_timeout: Duration,
    /// Minimum time without a statement after which a transaction is rolled back. It takes at most twice this time.
    pub(super) idle_timeout: Duration,
    /// Size of the write-ahead log in bytes above which it is emptied.
    pub(super) max_log_bytes: u64,
}

impl Limits {
    pub(crate) fn new(options: &DatabaseOptions) -> Self {
        Self {
            max_batch_size: 64,
            max_batch_age: Duration::from_millis(20),
            queue_timeout: Duration::from_secs(5),
            idle_timeout: options.idle_transaction_timeout,
            max_log_bytes: 32 * 1024 * 1024,
        }
    }
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

#[derive(Default)]
pub(super) struct Counters {
    pub(super) writes: AtomicU64,
    pub(super) commits: AtomicU64,
    /// Time of the last commit. `None` after a batch that could not be written.
    last_commit: Mutex<Option<Instant>>,
}

impl Counters {
    pub(super) fn last_commit(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the end of a batch, before its writes receive their result.
    pub(super) fn record_batch(&self, result: &Result<(), Failure>, writes: usize) {
        match result {
            Ok(()) if writes == 0 => {}
            Ok(()) => {
                *self.last_commit() = Some(Instant::now());
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.writes.fetch_add(writes as u64, Ordering::Relaxed);
            }
            Err(failure) => {
                *self.last_commit() = None;
                tracing::error!(%failure, writes, "a batch of writes was rolled back");
            }
        }
    }
}

pub(super) fn stopped_error() -> Failure {
    Failure::unavailable("the writer has stopped")
}
