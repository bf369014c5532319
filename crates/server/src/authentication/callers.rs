//! What was looked up about callers, for less than a second.
//!
//! A permission that is taken away, or an API key that is revoked, ends within that second on every replica; a caller
//! that stays asks the database once a second, not once a call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use access_tokens_domain::Result;
use tokio::time::Instant;

/// The longest that an answer is used.
const LIFETIME: Duration = Duration::from_millis(900);
/// A bound on memory, far above the number of callers of a second.
const MAX_ENTRIES: usize = 10_000;

pub(super) struct Callers<T> {
    entries: Mutex<HashMap<String, (Instant, T)>>,
    max: usize,
}

impl<T: Clone> Callers<T> {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::default(), max: MAX_ENTRIES }
    }

    /// What is known of `key`, or else what `load` finds. "Nothing" is not kept: a new user or key works at once.
    pub(super) async fn get(&self, key: &str, load: impl Future<Output = Result<Option<T>>>) -> Result<Option<T>> {
        // An answer is as old as its question.
        let asked = Instant::now();
        let known = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some((since, value)) = known
            && asked.duration_since(since) < LIFETIME
        {
            return Ok(Some(value));
        }
        let found = load.await?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match &found {
            Some(value) => {
                if entries.len() >= self.max {
                    entries.retain(|_, (since, _)| asked.duration_since(*since) < LIFETIME);
                }
                if entries.len() >= self.max {
                    entries.clear();
                }
                entries.insert(key.to_owned(), (asked, value.clone()));
            }
            None => {
                entries.remove(key);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(callers: &Callers<u32>, key: &str, found: Option<u32>) -> Option<u32> {
        callers.get(key, async { Ok(found) }).await.expect("no error")
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_used_for_less_than_a_second() {
        let callers = Callers::new();
        assert_eq!(get(&callers, "a", Some(1)).await, Some(1));
        tokio::time::advance(Duration::from_millis(899)).await;
        assert_eq!(get(&callers, "a", Some(2)).await, Some(1));
        assert_eq!(get(&callers, "b", Some(3)).await, Some(3));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get(&callers, "a", Some(2)).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_as_old_as_its_question() {
        let callers = Callers::new();
        let slow = async {
            tokio::time::sleep(Duration::from_millis(800)).await;
            Ok(Some(1))
        };
        assert_eq!(callers.get("a", slow).await.expect("no error"), Some(1));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(get(&callers, "a", None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_not_kept() {
        let callers = Callers::new();
        assert_eq!(get(&callers, "a", None).await, None);
        assert_eq!(get(&callers, "a", Some(1)).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let callers = Callers { max: 10, ..Callers::new() };
        for i in 0..1_000 {
            get(&callers, &i.to_string(), Some(i)).await;
            assert!(callers.entries.lock().expect("not poisoned").len() <= 10);
        }
    }
}
