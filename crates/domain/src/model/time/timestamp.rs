//! A point in time with the precision of both databases.

use chrono::{DateTime, SubsecRound, Utc};

/// A point in time.
pub type Timestamp = DateTime<Utc>;

/// Cuts a time to microseconds, so that an answer shows the same time as a later read.
pub fn stored_precision(time: Timestamp) -> Timestamp {
    time.trunc_subsecs(6)
}
