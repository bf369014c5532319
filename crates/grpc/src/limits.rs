//! Bounds on calls and connections.

use std::time::Duration;

/// Bounds on the work that is done at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of authenticated calls at a time, of all connections together. Further calls wait for a second at most and are then
    /// refused with OVERLOADED.
    pub max_concurrent_requests: usize,
    /// Maximum number of calls without a checked credential at a time. They have permits of their own.
    pub max_anonymous_requests: usize,
    /// Maximum number of those calls from one client address.
    pub max_anonymous_requests_per_address: usize,
    /// Age at which a connection is closed gracefully, so that clients spread over new replicas.
    pub connection_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_concurrent_requests: 512,
            max_anonymous_requests: 128,
            max_anonymous_requests_per_address: 16,
            connection_age: Duration::from_secs(30 * 60),
        }
    }
}
