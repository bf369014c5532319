//! What tests need and production does not: PostgreSQL clusters, a fault proxy, a clock, seeded random numbers, known keys and an HTTP
//! client. It does not know the server.
//!
//! Nothing here is skipped when something is missing: a test without its PostgreSQL fails and says how to get one.

pub mod clock;
pub mod counting;
pub mod http;
pub mod keys;
pub mod postgres;
pub mod proxy;
pub mod random;
