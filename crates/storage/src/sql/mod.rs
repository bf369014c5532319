//! Statements written by hand: their text and values, how they run, how their rows are read, and how they are reported.

mod builder;
pub(crate) mod connection;
pub(crate) mod executor;
pub(crate) mod label;
pub(crate) mod observer;
pub(crate) mod row_reader;
pub(crate) mod tables;

pub(crate) use builder::{Sql, cannot_exist, get, is_postgres, model, quoted, select};
