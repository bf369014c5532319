//! Where pass codes are hashed: off the async threads, few at once, few in the queue.
//!
//! A hash takes 15 ms of a core and 19 MiB. Without a bound, a flood of logins takes all cores and all memory, and
//! everything else with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access_tokens_domain::{Error, Reason, Result};
use tokio::sync::Semaphore;

use super::pass_code::Memory;

/// How many may wait. At 15 ms a hash the last of them waits about a second.
const QUEUE: usize = 64;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much there is to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingLoad {
    /// Hashes that are being made.
    pub running: usize,
    /// Callers whose turn comes later.
    pub waiting: usize,
    /// Callers for whom there was no room, ever.
    pub refused: u64,
}

pub(super) struct Hasher {
    /// Runs or waits. Over it, a caller is refused at once.
    admitted: Arc<Semaphore>,
    /// Runs.
    running: Arc<Semaphore>,
    /// How many may run.
    places: usize,
    capacity: usize,
    refused: AtomicU64,
    /// Work space of earlier hashes, kept while there is more to do and given back to the system after.
    memory: Arc<Mutex<Vec<Memory>>>,
}

impl Hasher {
    /// One core stays free for everything else.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_limits(cores.saturating_sub(1).max(1), QUEUE)
    }

    fn with_limits(running: usize, waiting: usize) -> Self {
        Self {
            admitted: Arc::new(Semaphore::new(running + waiting)),
            running: Arc::new(Semaphore::new(running)),
            places: running,
            capacity: running + waiting,
            refused: AtomicU64::new(0),
            memory: Arc::default(),
        }
    }

    /// How much there is to do. The counts are read one after the other, so they may be off by what changes meanwhile.
    pub(super) fn load(&self) -> HashingLoad {
        let running = self.places.saturating_sub(self.running.available_permits());
        let admitted = self.capacity.saturating_sub(self.admitted.available_permits());
        let waiting = admitted.saturating_sub(running);
        HashingLoad { running, waiting, refused: self.refused.load(Ordering::Relaxed) }
    }

    /// Refuses whoever would be refused now.
    pub(super) fn check_queue(&self) -> Result<()> {
        if self.admitted.available_permits() == 0 { Err(self.refuse()) } else { Ok(()) }
    }

    /// Runs a job on a blocking thread when its turn comes. Whoever stops waiting leaves the queue; a job that runs
    /// keeps its permits until it is done, so that callers who give up cannot start more than are allowed.
    #[expect(clippy::disallowed_methods, reason = "this is the bound")]
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| self.refuse())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal)?;
        let (pool, semaphore, capacity) = (Arc::clone(&self.memory), Arc::clone(&self.admitted), self.capacity);
        let work = move || {
            let mut memory = pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let result = job(&mut memory);
            // Under the lock, so that whoever is last knows it; and before the next one runs, who would take new memory.
            let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
            drop(admitted);
            if semaphore.available_permits() == capacity {
                pool.clear();
            } else {
                pool.push(memory);
            }
            drop(running);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }

    fn refuse(&self) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        overloaded()
    }
}

fn overloaded() -> Error {
    Error::new(Reason::Overloaded, "too many pass codes are being checked; try again").retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn more_than_the_queue_holds_is_refused_at_once() {
        let hasher = Arc::new(Hasher::with_limits(1, 2));
        let (release, blocked) = mpsc::channel::<()>();
        let first = {
            let hasher = Arc::clone(&hasher);
            tokio::spawn(async move { hasher.run(move |_| blocked.recv().is_ok()).await })
        };
        while hasher.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let hasher = Arc::clone(&hasher);
                tokio::spawn(async move { hasher.run(|_| true).await })
            })
            .collect();
        while hasher.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        hasher.check_queue().expect_err("there is no room");
        let error = hasher.run(|_| true).await.expect_err("refused");
        assert_eq!(error.reason(), Reason::Overloaded);
        assert!(error.wait().is_some());
        assert_eq!(hasher.load(), HashingLoad { running: 1, waiting: 2, refused: 2 });

        // Who stops waiting makes room; who runs does not until it is done.
        waiting[0].abort();
        first.abort();
        while hasher.admitted.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hasher.running.available_permits(), 0, "nobody listens to the first any more, but it still runs");
        release.send(()).expect("the first still runs");
        for job in waiting {
            let _ = job.await;
        }
        assert_eq!(hasher.admitted.available_permits(), hasher.capacity);
        assert_eq!(hasher.load(), HashingLoad { running: 0, waiting: 0, refused: 2 });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    #[expect(clippy::disallowed_methods, reason = "a job blocks its thread, as a hash does")]
    async fn never_more_at_once_than_allowed_even_when_callers_leave() {
        let hasher = Arc::new(Hasher::with_limits(2, 100));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..50)
            .map(|i| {
                let (hasher, now, most) = (Arc::clone(&hasher), Arc::clone(&now), Arc::clone(&most));
                let job = move |_: &mut Memory| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                };
                let patience = Duration::from_millis(if i % 2 == 0 { 1 } else { 10_000 });
                tokio::spawn(async move { tokio::time::timeout(patience, hasher.run(job)).await.is_ok() })
            })
            .collect();
        for caller in callers {
            caller.await.expect("no panic");
        }
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
    }

    #[tokio::test]
    async fn memory_is_given_back_when_nothing_is_left_to_do() {
        let hasher = Hasher::with_limits(2, 8);
        let jobs = (0..3).map(|_| hasher.run(|_| ()));
        for result in futures::future::join_all(jobs).await {
            result.expect("ran");
        }
        assert!(hasher.memory.lock().expect("not poisoned").is_empty());
        assert_eq!(hasher.admitted.available_permits(), hasher.capacity);
    }

    #[tokio::test]
    async fn a_panic_frees_its_place() {
        let hasher = Hasher::with_limits(1, 0);
        let error = hasher.run::<()>(|_| panic!("a test")).await.expect_err("no answer");
        assert_eq!(error.reason(), Reason::Internal);
        hasher.run(|_| ()).await.expect("the place is free");
    }
}
