//! Computes hashes of pass codes and passwords: off the async threads, a bounded number at a time.
//!
//! A hash takes 15 ms of a core and 19 MiB. Without a bound, a flood of log-ins would take all cores and all memory.
//!
//! There is one queue for each [`HashQueue`], each bounded. When a place becomes free, the queues take turns by weight, so
//! that a flood of anonymous log-ins takes neither places nor room from authenticated calls. Within a queue the shares (an
//! organisation, or the network of an anonymous log-in) take turns, and when a queue is full, a share with more waiting
//! callers makes room for one with fewer. One share therefore holds at most half while others wait.

mod scheduler;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_tokens_domain::ports::{HashQueue, HashWork};
use access_tokens_domain::{Error, Reason, Result};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::scheduler::HashingLoad;
use self::scheduler::{Limits, Scheduler};
use super::pass_code::Memory;

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Weight and room of the queues, in the order of [`HashQueue::ALL`]. At 15 ms a hash and one place, 64 callers wait for a
/// second at most.
const LIMITS: [Limits; 3] =
    [Limits { weight: 16, room: 64 }, Limits { weight: 4, room: 64 }, Limits { weight: 1, room: 32 }];

/// Maximum time that a log-in waits for a place. Clients give up after a few seconds, and a place for a client that has gone
/// is lost to the others. Authenticated calls wait as long as the bounded queue takes: imports belong to them.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct Hasher {
    shared: Arc<Shared>,
}

struct Shared {
    scheduler: Mutex<Scheduler<oneshot::Sender<HashPermit>>>,
    /// Work space of earlier hashes, kept while there is more to do and freed after.
    memory: Mutex<Vec<Memory>>,
}

/// The right to compute one hash. Dropping it gives the place to the next caller.
struct HashPermit {
    /// `None` once the place is given back.
    shared: Option<Arc<Shared>>,
    queue: HashQueue,
}

/// A caller that waits. Dropping it leaves the queue.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    work: HashWork,
    ticket: u64,
}

impl Hasher {
    /// One core stays free for everything else.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_limits(cores.saturating_sub(1).max(1), LIMITS)
    }

    fn with_limits(places: usize, limits: [Limits; 3]) -> Self {
        let scheduler = Mutex::new(Scheduler::new(places, limits));
        Self { shared: Arc::new(Shared { scheduler, memory: Mutex::default() }) }
    }

    /// Load of each queue at one moment.
    pub(super) fn load(&self) -> [(HashQueue, HashingLoad); 3] {
        let scheduler = self.shared.scheduler();
        HashQueue::ALL.map(|queue| (queue, scheduler.load(queue)))
    }

    /// Refuses a caller for which there is no room now.
    pub(super) fn check_queue(&self, work: HashWork) -> Result<()> {
        let mut scheduler = self.shared.scheduler();
        if scheduler.has_room(work) {
            return Ok(());
        }
        scheduler.count_refused(work.queue);
        Err(overloaded())
    }

    /// Runs a job on a blocking thread when its turn comes. A caller that stops waiting leaves the queue. A job that runs
    /// keeps its place until it is done, so that callers who give up cannot start more than are allowed.
    #[expect(clippy::disallowed_methods, reason = "this is the bound")]
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: HashWork,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T> {
        let place = self.place(work).await?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let mut memory = shared.memory().pop().unwrap_or_default();
            let result = job(&mut memory);
            // Before the next job runs, which would allocate new memory.
            shared.memory().push(memory);
            drop(place);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }

    async fn place(&self, work: HashWork) -> Result<HashPermit> {
        let (grant, granted) = oneshot::channel();
        let (ticket, evicted) = self.shared.scheduler().enter(work, grant).map_err(|_| overloaded())?;
        // Dropped outside of the lock: its caller hears that it is refused.
        drop(evicted);
        let waiting = Waiting { shared: &self.shared, work, ticket };
        dispatch(&self.shared);
        let place = if work.queue == HashQueue::Authenticated {
            granted.await.map_err(|_| overloaded())
        } else {
            match timeout(LOGIN_TIMEOUT, granted).await {
                Ok(granted) => granted.map_err(|_| overloaded()),
                Err(_) => {
                    self.shared.scheduler().count_refused(work.queue);
                    Err(overloaded())
                }
            }
        };
        drop(waiting);
        place
    }
}

impl Shared {
    fn scheduler(&self) -> MutexGuard<'_, Scheduler<oneshot::Sender<HashPermit>>> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives free places to waiting callers, until there are no more of either.
fn dispatch(shared: &Arc<Shared>) {
    loop {
        let Some((queue, grant)) = shared.scheduler().next() else { return };
        // The caller may have gone. Its place is given back, and the loop goes to the next caller.
        if let Err(mut place) = grant.send(HashPermit { shared: Some(Arc::clone(shared)), queue }) {
            place.give_back();
        }
    }
}

impl HashPermit {
    /// Gives the place back. Answers the state that it belongs to, the first time.
    fn give_back(&mut self) -> Option<Arc<Shared>> {
        let shared = self.shared.take()?;
        let is_idle = {
            let mut scheduler = shared.scheduler();
            scheduler.leave_place(self.queue);
            scheduler.is_idle()
        };
        if is_idle {
            shared.memory().clear();
        }
        Some(shared)
    }
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        if let Some(shared) = self.give_back() {
            dispatch(&shared);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Bound first: what is removed is dropped outside of the lock.
        let removed = self.shared.scheduler().leave(self.work, self.ticket);
        drop(removed);
    }
}

/// The refusal of a caller for which there is no room.
pub fn overloaded() -> Error {
    Error::new(Reason::Overloaded, "too many pass codes are being checked; try again").retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests;
