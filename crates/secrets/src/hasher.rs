//! Computes hashes of pass codes and passwords on blocking threads, a bounded number at a time.
//!
//! A hash takes 15 ms of a core and 19 MiB. Without a limit, a flood of log-ins would take all cores and all memory.
//!
//! Each [`HashQueue`] has a bounded queue. A free permit goes to the queues in turn by weight, so that a flood of
//! anonymous log-ins takes neither permits nor queue space from authenticated calls. Within a queue the shares (an
//! organisation, or the network of an anonymous log-in) take turns. When a queue is full, a share with more waiting
//! callers makes room for one with fewer. So one share holds at most half of a queue while others wait.

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

/// Weight and capacity of the queues, in the order of [`HashQueue::ALL`]. At 15 ms a hash and one permit, 64 callers
/// wait for a second at most.
const LIMITS: [Limits; 3] = [
    Limits { weight: 16, max_waiting: 64 },
    Limits { weight: 4, max_waiting: 64 },
    Limits { weight: 1, max_waiting: 32 },
];

/// Maximum time that a log-in waits for a permit. Clients give up after a few seconds, and a permit for a client that
/// has gone is lost to the others. Authenticated calls wait as long as the bounded queue takes: imports belong to them.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct Hasher {
    shared: Arc<Shared>,
}

struct Shared {
    scheduler: Mutex<Scheduler<oneshot::Sender<HashPermit>>>,
    /// Work space of earlier hashes. It is kept while there is more to do, and then freed.
    memory: Mutex<Vec<Memory>>,
}

/// Permit to compute one hash. Dropping it gives the permit to the next caller.
struct HashPermit {
    /// None once the permit is given back.
    shared: Option<Arc<Shared>>,
    queue: HashQueue,
}

/// A caller in a queue. Dropping it leaves the queue.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    work: HashWork,
    ticket: u64,
}

impl Hasher {
    /// Makes a hasher that leaves one core for other work.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_limits(cores.saturating_sub(1).max(1), LIMITS)
    }

    fn with_limits(permits: usize, limits: [Limits; 3]) -> Self {
        let scheduler = Mutex::new(Scheduler::new(permits, limits));
        Self { shared: Arc::new(Shared { scheduler, memory: Mutex::default() }) }
    }

    /// Returns the load of each queue.
    pub(super) fn load(&self) -> [(HashQueue, HashingLoad); 3] {
        let scheduler = self.shared.scheduler();
        HashQueue::ALL.map(|queue| (queue, scheduler.load(queue)))
    }

    /// Refuses a caller if its queue has no room for it now.
    pub(super) fn check_queue(&self, work: HashWork) -> Result<()> {
        let mut scheduler = self.shared.scheduler();
        if scheduler.has_room(work) {
            return Ok(());
        }
        scheduler.count_refused(work.queue);
        Err(overloaded())
    }

    /// Runs a job on a blocking thread when it gets a permit. A caller that stops waiting leaves the queue. A job that
    /// has started keeps its permit until it is done, so that callers who give up cannot start more jobs than allowed.
    #[expect(clippy::disallowed_methods, reason = "this is the bound")]
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: HashWork,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit(work).await?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let mut memory = shared.memory().pop().unwrap_or_default();
            let result = job(&mut memory);
            // Returned before the permit, since the next job would allocate new memory.
            shared.memory().push(memory);
            drop(permit);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }

    async fn permit(&self, work: HashWork) -> Result<HashPermit> {
        let (grant, granted) = oneshot::channel();
        let (ticket, evicted) = self.shared.scheduler().enter(work, grant).map_err(|_| overloaded())?;
        // Dropped outside of the lock. Its caller learns that it is refused.
        drop(evicted);
        let waiting = Waiting { shared: &self.shared, work, ticket };
        dispatch(&self.shared);
        let permit = if work.queue == HashQueue::Authenticated {
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
        permit
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

/// Gives free permits to waiting callers, until there are no more of either.
fn dispatch(shared: &Arc<Shared>) {
    loop {
        let Some((queue, grant)) = shared.scheduler().next() else { return };
        // The caller may have gone. Its permit is given back, and the loop continues with the next caller.
        if let Err(mut permit) = grant.send(HashPermit { shared: Some(Arc::clone(shared)), queue }) {
            permit.give_back();
        }
    }
}

impl HashPermit {
    /// Gives the permit back. Returns the shared state the first time, and None after that.
    fn give_back(&mut self) -> Option<Arc<Shared>> {
        let shared = self.shared.take()?;
        let is_idle = {
            let mut scheduler = shared.scheduler();
            scheduler.release(self.queue);
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
        // Bound to a variable, so that the removed value is dropped outside of the lock.
        let removed = self.shared.scheduler().leave(self.work, self.ticket);
        drop(removed);
    }
}

/// Returns the error for a caller for which there is no room.
pub fn overloaded() -> Error {
    Error::new(Reason::Overloaded, "too many pass codes are being checked; try again").retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests;
