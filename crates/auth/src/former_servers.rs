//! Detects servers of version 0.2.0 or earlier that use the same database during a rolling update.
//!
//! Some claims of a session token contain names since version 0.3.0, and contained ids before. A token that such a
//! server must accept contains ids.

use std::sync::{Mutex, PoisonError};

use access_tokens_domain::store::AccountStore;
use access_tokens_domain::time::Timestamp;
use chrono::TimeDelta;

/// Maximum age of the last answer. After that time the database is queried again.
const MAX_AGE: TimeDelta = TimeDelta::seconds(5);

/// The last answer of the database, and its time.
#[derive(Debug, Default)]
pub(super) struct FormerServers(Mutex<Option<(Timestamp, bool)>>);

impl FormerServers {
    /// Returns whether there are such servers. Returns true while the database does not answer: every server reads a
    /// token with ids.
    pub(super) async fn are_connected<S: AccountStore>(&self, store: &S, now: Timestamp) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, found)) = last
            && (TimeDelta::zero()..MAX_AGE).contains(&(now - asked))
        {
            return found;
        }
        let Ok(found) = store.has_former_servers().await else { return true };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, found));
        found
    }
}
