//! Timeouts of a stopping process.

use std::time::Duration;

/// Maximum time of calls in progress after the signal to stop.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
