//! Caches look-ups of callers for at most half a second.
//!
//! So a permission that is taken away, or an API key that is revoked, ends within a second on every replica, and a
//! caller costs one look-up each half second instead of one for each call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use access_tokens_domain::Result;
use tokio::time::Instant;

/// Maximum age of an entry.
const MAX_AGE: Duration = Duration::from_millis(500);
/// Maximum number of callers, and of keys without a caller. It bounds memory.
const MAX_ENTRIES: usize = 10_000;

/// Look-ups by the key of the caller.
pub(super) struct CallerCache<T> {
    found: Entries<T>,
    /// Keys without a caller. None: they are not cached, so that a new user works at once.
    unknown: Option<Entries<()>>,
}

struct Entries<T> {
    entries: Mutex<HashMap<String, (Instant, T)>>,
    max: usize,
}

impl<T: Clone> CallerCache<T> {
    /// Makes a cache that keeps callers only.
    pub(super) fn new() -> Self {
        Self { found: Entries::new(MAX_ENTRIES), unknown: None }
    }

    /// Makes a cache that also keeps keys without a caller: for keys that unauthenticated clients present.
    pub(super) fn remembering_unknown() -> Self {
        Self { unknown: Some(Entries::new(MAX_ENTRIES)), ..Self::new() }
    }

    /// Returns the cached caller of `key`, or the result of `load`.
    pub(super) async fn get(&self, key: &str, load: impl Future<Output = Result<Option<T>>>) -> Result<Option<T>> {
        // The age of an entry counts from the start of its look-up.
        let started = Instant::now();
        if let Some(value) = self.found.get(key, started) {
            return Ok(Some(value));
        }
        if self.unknown.as_ref().is_some_and(|unknown| unknown.get(key, started).is_some()) {
            return Ok(None);
        }
        let found = load.await?;
        match &found {
            Some(value) => self.found.put(key, started, value.clone()),
            None => {
                self.found.remove(key);
                if let Some(unknown) = &self.unknown {
                    unknown.put(key, started, ());
                }
            }
        }
        Ok(found)
    }
}

impl<T: Clone> Entries<T> {
    fn new(max: usize) -> Self {
        Self { entries: Mutex::default(), max }
    }

    fn get(&self, key: &str, now: Instant) -> Option<T> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (stored, value) = entries.get(key)?;
        (now.duration_since(*stored) < MAX_AGE).then(|| value.clone())
    }

    fn put(&self, key: &str, started: Instant, value: T) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.max {
            entries.retain(|_, (stored, _)| started.duration_since(*stored) < MAX_AGE);
        }
        if entries.len() >= self.max {
            entries.clear();
        }
        entries.insert(key.to_owned(), (started, value));
    }

    fn remove(&self, key: &str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(caller_cache: &CallerCache<u32>, key: &str, found: Option<u32>) -> Option<u32> {
        caller_cache.get(key, async { Ok(found) }).await.expect("no error")
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_used_for_less_than_half_a_second() {
        let caller_cache = CallerCache::new();
        assert_eq!(get(&caller_cache, "a", Some(1)).await, Some(1));
        tokio::time::advance(Duration::from_millis(499)).await;
        assert_eq!(get(&caller_cache, "a", Some(2)).await, Some(1));
        assert_eq!(get(&caller_cache, "b", Some(3)).await, Some(3));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get(&caller_cache, "a", Some(2)).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_as_old_as_its_question() {
        let caller_cache = CallerCache::new();
        let slow = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            Ok(Some(1))
        };
        assert_eq!(caller_cache.get("a", slow).await.expect("no error"), Some(1));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(get(&caller_cache, "a", None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_keys_are_not_cached_by_default() {
        let caller_cache = CallerCache::new();
        assert_eq!(get(&caller_cache, "a", None).await, None);
        assert_eq!(get(&caller_cache, "a", Some(1)).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_is_remembered_for_less_than_half_a_second() {
        let caller_cache = CallerCache::remembering_unknown();
        assert_eq!(get(&caller_cache, "a", None).await, None);
        tokio::time::advance(Duration::from_millis(499)).await;
        assert_eq!(get(&caller_cache, "a", Some(1)).await, None, "it is looked up too often");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get(&caller_cache, "a", Some(1)).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let caller_cache = CallerCache { found: Entries::new(10), unknown: Some(Entries::new(10)) };
        for i in 0..1_000 {
            get(&caller_cache, &i.to_string(), Some(i)).await;
            get(&caller_cache, &format!("unknown {i}"), None).await;
            assert!(caller_cache.found.entries.lock().expect("not poisoned").len() <= 10);
            let unknown = caller_cache.unknown.as_ref().expect("kept");
            assert!(unknown.entries.lock().expect("not poisoned").len() <= 10);
        }
    }
}
