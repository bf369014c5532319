//! The store, on SQLite and on a throwaway PostgreSQL.

#[macro_use]
mod common;

mod accounts;
mod concurrency;
mod import;
mod setup;
mod tokens;
