//! A point in time as both databases keep it.

use chrono::{DateTime, SubsecRound, Utc};

/// A point in time.
pub type Timestamp = DateTime<Utc>;

/// Cuts a time to microseconds, so that what is answered now equals what is read later.
pub fn stored_precision(time: Timestamp) -> Timestamp {
    time.trunc_subsecs(6)
}
