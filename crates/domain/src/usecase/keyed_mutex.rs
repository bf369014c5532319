//! Mutual exclusion by name: if several calls of one process present a secret for the same name, they are counted and
//! compared one after the other.
//!
//! The count is correct without the mutex, because the database counts attempts for all replicas. The mutex helps
//! callers with the right secret: without it, five concurrent calls with the right pass code would be five attempts
//! without a result, and the sixth call would find a lock. With it, the calls of a flood at one token wait instead of
//! repeating their writes of the same entry.
//!
//! The key is the presented name, whether or not a token has it, so that waiting reveals nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{Error, Reason, Result};

type SharedMutex = Arc<AsyncMutex<()>>;

/// Maximum number of calls that hold or wait for one mutex. Without it, a flood at one name would fill all concurrent
/// requests of the process.
const MAX_HOLDERS: usize = 64;

/// Mutexes by the hash of a name. Only names in use have one.
#[derive(Default)]
pub struct KeyedMutex {
    mutexes: Arc<Mutex<HashMap<u64, SharedMutex>>>,
    hasher: RandomState,
}

/// The lock of one name. It is released when the guard is dropped.
pub struct KeyedMutexGuard {
    mutexes: Arc<Mutex<HashMap<u64, SharedMutex>>>,
    key: u64,
    guard: Option<OwnedMutexGuard<()>>,
}

impl KeyedMutex {
    /// Waits for the lock of a name. Returns OVERLOADED when there are too many waiters. Two names with the same hash
    /// share a lock, which only costs time.
    pub async fn lock(&self, name: impl Hash) -> Result<KeyedMutexGuard> {
        let key = self.hasher.hash_one(name);
        let mutex = {
            let mut mutexes = self.mutexes.lock().unwrap_or_else(PoisonError::into_inner);
            let mutex = mutexes.entry(key).or_default();
            // Each holder and each waiter has one reference, and so does the map.
            if Arc::strong_count(mutex) > MAX_HOLDERS {
                return Err(too_many_calls());
            }
            Arc::clone(mutex)
        };
        // Created before the wait, so that a waiter that is dropped also removes its entry.
        let mut guard = KeyedMutexGuard { mutexes: Arc::clone(&self.mutexes), key, guard: None };
        guard.guard = Some(mutex.lock_owned().await);
        Ok(guard)
    }
}

impl Drop for KeyedMutexGuard {
    fn drop(&mut self) {
        self.guard = None;
        let mut mutexes = self.mutexes.lock().unwrap_or_else(PoisonError::into_inner);
        // A waiter also has a reference, from the moment at which it looked the mutex up.
        if mutexes.get(&self.key).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
            mutexes.remove(&self.key);
        }
    }
}

/// Returns the error of a call beyond the limit for one access token.
pub(super) fn too_many_calls() -> Error {
    Error::new(Reason::Overloaded, "too many calls about one access token at once; try again")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn lock<'t>(locks: &'t KeyedMutex, name: &'static str) -> impl Future<Output = KeyedMutexGuard> + 't {
        locks.lock(name).map(|guard| guard.unwrap_or_else(|error| panic!("{error}")))
    }

    fn locked_keys(locks: &KeyedMutex) -> usize {
        locks.mutexes.lock().expect("not poisoned").len()
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left_behind() {
        let locks = KeyedMutex::default();
        let first = lock(&locks, "a").now_or_never().expect("its guard");
        let other = lock(&locks, "b").now_or_never().expect("its guard");
        let mut second = Box::pin(lock(&locks, "a"));
        assert!(second.as_mut().now_or_never().is_none(), "it is not its guard");
        let mut gone = Box::pin(lock(&locks, "a"));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        let second = second.as_mut().now_or_never().expect("its guard");
        drop((second, other));
        assert_eq!(locked_keys(&locks), 0);
    }

    #[test]
    fn a_line_that_is_full_refuses_and_others_go_on() {
        let locks = KeyedMutex::default();
        let first = lock(&locks, "a").now_or_never().expect("its guard");
        let mut mutex: Vec<_> = (1..MAX_HOLDERS).map(|_| Box::pin(lock(&locks, "a"))).collect();
        assert!(mutex.iter_mut().all(|waits| waits.as_mut().now_or_never().is_none()));
        assert!(matches!(locks.lock("a").now_or_never(), Some(Err(_))));
        assert!(locks.lock("b").now_or_never().is_some());
        mutex.pop();
        assert!(locks.lock("a").now_or_never().is_none(), "there is room again");
        drop((mutex, first));
        assert_eq!(locked_keys(&locks), 0);
    }
}
