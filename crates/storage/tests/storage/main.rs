//! The store, on SQLite and on a throwaway PostgreSQL.

#[macro_use]
mod common;

mod accounts;
mod concurrency;
mod creates;
mod failover;
mod health;
mod import;
mod import_locks;
mod keys;
mod ledger;
mod logins;
mod lookups;
mod replicas;
mod rights;
mod setup;
mod tokens;
mod updates;
