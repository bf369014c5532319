//! Tests of the whole crate.

pub(crate) mod query_plans;
