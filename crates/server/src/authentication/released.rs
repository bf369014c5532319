//! Sessions that were released before they expired.
//!
//! A release counts at once where it happens. Other replicas read the list every half second; where that fails or is
//! late (a process that was stopped and continued, a database that is away), a call reads it before it is let in. So no
//! replica ever accepts a session that was released more than a second ago.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use access_tokens_domain::Result;
use access_tokens_domain::session::Session;
use access_tokens_domain::store::AccountStore;
use access_tokens_domain::time::Timestamp;
use tokio::time::Instant;

/// The longest that the list may be out of date.
const MAX_AGE: Duration = Duration::from_millis(900);

#[derive(Default)]
pub(super) struct Released {
    list: RwLock<List>,
    /// One reads the list, the others wait for it.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct List {
    /// As the database had it.
    stored: HashSet<String>,
    /// Released here, with their expiry: the list that is being read may be older than these.
    here: HashMap<String, Timestamp>,
    /// When the database was asked last, successfully.
    asked: Option<Instant>,
}

impl Released {
    /// Was it released? Answers by a list that is young enough.
    pub(super) async fn contains<S: AccountStore>(&self, store: &S, session: &Session, now: Timestamp) -> Result<bool> {
        let known = |list: &List| list.stored.contains(&session.id) || list.here.contains_key(&session.id);
        {
            let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
            if list.is_young() || known(&list) {
                return Ok(known(&list));
            }
        }
        let reading = self.reading.lock().await;
        let young = self.list.read().unwrap_or_else(PoisonError::into_inner).is_young();
        if !young {
            self.read(store, now).await?;
        }
        drop(reading);
        Ok(known(&self.list.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the list from the database.
    pub(super) async fn refresh<S: AccountStore>(&self, store: &S, now: Timestamp) -> Result<()> {
        let _reading = self.reading.lock().await;
        self.read(store, now).await
    }

    async fn read<S: AccountStore>(&self, store: &S, now: Timestamp) -> Result<()> {
        let asked = Instant::now();
        let stored = store.released_sessions(now).await?.into_iter().collect();
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.stored = stored;
        list.here.retain(|_, expires_at| *expires_at > now);
        list.asked = Some(asked);
        Ok(())
    }

    /// How many there are that have not expired yet, as far as is known here.
    pub(super) fn count(&self) -> usize {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.stored.len() + list.here.keys().filter(|id| !list.stored.contains(*id)).count()
    }

    /// Counts from now on.
    pub(super) fn add(&self, session: &Session) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.here.insert(session.id.clone(), session.expires_at);
    }
}

impl List {
    fn is_young(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < MAX_AGE)
    }
}
