//! Whether servers of version 0.2.0 or before share the database, as they do while a new version is rolled out.
//!
//! They read ids in the claims of a session token where later versions write names, so a token that they are to accept has ids there.

use std::sync::{Mutex, PoisonError};

use access_tokens_domain::store::AccountStore;
use access_tokens_domain::time::Timestamp;
use chrono::TimeDelta;

/// Age at which the answer of the database is asked for again.
const MAX_AGE: TimeDelta = TimeDelta::seconds(5);

/// The last answer of the database, and when it came.
#[derive(Debug, Default)]
pub(super) struct FormerServers(Mutex<Option<(Timestamp, bool)>>);

impl FormerServers {
    /// Returns whether there are any. While the database does not answer there may be: a token with ids is right for every server.
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
