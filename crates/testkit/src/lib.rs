//! Support for tests of any crate: PostgreSQL clusters, a fault proxy, a clock, seeded random numbers, known keys, a log in
//! memory and an HTTP client. It does not depend on the server.
//!
//! No test is skipped because something is missing: a test without PostgreSQL fails and says how to get it.

pub mod clock;
pub mod counting;
pub mod http;
pub mod keys;
pub mod log;
pub mod postgres;
pub mod proxy;
pub mod random;
pub mod switchable_proxy;
