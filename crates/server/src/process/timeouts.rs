//! The end of the calls of a process.

use std::time::Duration;

/// How long calls that are under way may take after the signal to stop.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
