//! Records the last use of API keys in memory, and writes it at most once a minute and key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_domain::Result;
use access_tokens_domain::store::AccountStore;
use access_tokens_domain::time::Timestamp;

/// Minimum time between two writes for one key, in microseconds. The store enforces the same between replicas.
const WRITE_INTERVAL: i64 = 60_000_000;
/// Maximum number of keys in memory. Uses of further keys are not recorded until there is room.
const MAX_KEYS: usize = 10_000;
/// Maximum number of keys that one tick writes.
const MAX_WRITES: usize = 50;

/// The uses of all keys.
#[derive(Default)]
pub(super) struct KeyUses(Mutex<HashMap<String, Arc<KeyUse>>>);

/// The uses of one key, in microseconds since 1970. 0 is never.
#[derive(Default)]
pub(super) struct KeyUse {
    last: AtomicI64,
    written: AtomicI64,
}

impl KeyUse {
    /// Records a use. It costs one store to memory.
    pub(super) fn note(&self, now: Timestamp) {
        self.last.store(now.timestamp_micros(), Ordering::Relaxed);
    }

    fn due(&self) -> Option<i64> {
        let (last, written) = (self.last.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed));
        // An earlier time is written too, because the clock may have been set back.
        (last != 0 && (written == 0 || (last - written).abs() >= WRITE_INTERVAL)).then_some(last)
    }
}

impl KeyUses {
    /// Returns the record of a key.
    pub(super) fn of(&self, id: &str) -> Arc<KeyUse> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = keys.get(id) {
            return Arc::clone(known);
        }
        if keys.len() >= MAX_KEYS {
            keys.retain(|_, one| one.due().is_some());
        }
        let fresh = Arc::<KeyUse>::default();
        if keys.len() < MAX_KEYS {
            keys.insert(id.to_owned(), Arc::clone(&fresh));
        }
        fresh
    }

    /// Writes the uses that are due, a bounded number at a time.
    pub(super) async fn write<S: AccountStore>(&self, store: &S) -> Result<()> {
        for (id, one, last) in self.due() {
            let Some(used) = Timestamp::from_timestamp_micros(last) else { continue };
            store.record_key_use(&id, used, None).await?;
            one.written.store(last, Ordering::Relaxed);
        }
        Ok(())
    }

    fn due(&self) -> Vec<(String, Arc<KeyUse>, i64)> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = keys.iter().filter_map(|(id, one)| Some((id.clone(), Arc::clone(one), one.due()?)));
        due.take(MAX_WRITES).collect()
    }
}
