//! What both kinds of units share: the limits of a batch, its counts, and replies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::Failure;

/// What bounds a batch and a wait.
pub(super) struct Limits {
    /// Maximum number of units that share a commit...
    pub(super) max_batch_size: usize,
    /// ...and no unit gets a turn in a batch that is this old.
    pub(super) max_batch_age: Duration,
    /// How long a unit waits for its turn.
    pub(super) queue_timeout: Duration,
    /// How long a unit may go without a statement. At least that, at most twice as long.
    pub(super) idle_timeout: Duration,
    /// Size of the write-ahead log above which it is emptied, in bytes.
    pub(super) max_log_bytes: u64,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

#[derive(Default)]
pub(super) struct Counters {
    pub(super) units: AtomicU64,
    pub(super) commits: AtomicU64,
    /// When the last commit was made; none after a batch that could not be written.
    last_commit: Mutex<Option<Instant>>,
}

impl Counters {
    pub(super) fn last_commit(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the end of a batch, before its units receive their result.
    pub(super) fn record_batch(&self, result: &Result<(), Failure>, units: usize) {
        match result {
            Ok(()) if units == 0 => {}
            Ok(()) => *self.last_commit() = Some(Instant::now()),
            Err(_) => *self.last_commit() = None,
        }
        match result {
            Ok(()) if units == 0 => {}
            Ok(()) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.units.fetch_add(units as u64, Ordering::Relaxed);
            }
            Err(failure) => tracing::error!(%failure, units, "a batch of writes was rolled back"),
        }
    }
}

pub(super) fn stopped_error() -> Failure {
    Failure::unavailable("the writer has stopped")
}
