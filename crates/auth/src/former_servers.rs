//! Detects servers of version 0.2.0 or before on the same database, as there are during a rolling update.
//!
//! They read ids in claims of a session token in which later versions write names. A token that they must accept has
//! ids there.

use std::sync::{Mutex, PoisonError};

use access_tokens_domain::store::AccountStore;
use access_tokens_domain::time::Timestamp;
use chrono::TimeDelta;

/// Age after which the database is asked again.
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
