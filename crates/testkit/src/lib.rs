//! What tests need and production does not: a PostgreSQL of their own, a network that fails on command, a clock that
//! stands still and chance that repeats itself.
//!
//! Nothing here is skipped when something is missing: a test without its PostgreSQL fails and says how to get one.

pub mod clock;
pub mod counting;
pub mod http;
pub mod keys;
pub mod postgres;
pub mod proxy;
pub mod random;
