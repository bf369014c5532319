//! The store, on SQLite and on a throwaway PostgreSQL.

#[macro_use]
mod common;

mod accounts;
mod concurrency;
mod creates;
mod import;
mod import_locks;
mod keys;
mod ledger;
mod logins;
mod lookups;
mod presence;
mod replicas;
mod rights;
mod setup;
mod tokens;
mod updates;
