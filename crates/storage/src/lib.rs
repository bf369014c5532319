//! The store of access tokens, on SQLite and PostgreSQL, with sea-orm. It knows neither the contract nor the transport,
//! and no other crate knows sea-orm.
//!
//! [`connect`] returns a [`Database`], which implements the domain's [`Store`](access_tokens_domain::store::Store),
//! [`LedgerStore`](access_tokens_domain::store::LedgerStore),
//! [`AccountStore`](access_tokens_domain::store::AccountStore) and [`KeyStore`](access_tokens_domain::store::KeyStore).
//!
//! Two rules hold everywhere: a read is one statement, or runs in a transaction that sees one state; a change that
//! depends on a state has that state in its own condition.

mod accounts;
mod administration;
mod administrators;
mod convert;
mod counts;
mod database;
mod entities;
mod error;
mod import;
mod inspect;
mod keys;
mod ledger;
mod logins;
mod lookup;
mod migration;
mod new_token;
mod old_texts;
mod options;
mod owners;
mod postgres;
mod reference;
mod schema;
mod sequence;
mod sessions;
mod sql;
mod sqlite;
mod store;
#[cfg(test)]
mod tests;
mod tokens;
mod transaction;
mod url;
mod withdrawal;

pub use counts::Connections;
pub use database::{Database, Result, connect, connect_read_only};
pub use inspect::{FAILOVER_CURE, Setting, Verdict};
pub use migration::Schema;
pub use old_texts::OldTexts;
pub use options::{DatabaseOptions, SetupError};
pub use postgres::ConnectionCapacity;
pub use postgres::health::{Outage, OutageKind};
pub use postgres::hosts::{HostReport, HostRole, hosts};
pub use postgres::replicas::{PendingWrite, Replicas};
pub use postgres::rights::{ForeignObject, Rights, cure};
pub use sql::observer::{FinishedStatement, StatementObserver};
pub use sqlite::backup;
pub use sqlite::generation::has_tables;
pub use transaction::Transaction;
