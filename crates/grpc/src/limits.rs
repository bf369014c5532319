//! Bounds on calls and connections.

use std::time::Duration;

/// How much is served at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most calls at a time, of all connections together. Further ones wait for a moment, and are refused with OVERLOADED then.
    pub max_concurrent_requests: usize,
    /// Most calls without a checked credential at a time. They have permits of their own.
    pub max_anonymous_requests: usize,
    /// Most of those from one client address.
    pub max_anonymous_requests_per_address: usize,
    /// A connection is closed, gracefully, when it is so old: clients spread over new replicas.
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
