//! PostgreSQL: connections and their pools, batches of statements, replicas, rights of roles.

mod connection;
mod connection_capacity;
mod health;
pub(crate) mod pools;
pub(crate) mod query_batcher;
pub(crate) mod replicas;
pub(crate) mod rights;
pub(crate) mod unreachable;
pub(crate) mod url;

pub(crate) use connection::{
    ENCODING, PING_AFTER_IDLE, Purpose, check_encoding, check_safe, check_session, connect, connect_if,
};
pub use connection_capacity::ConnectionCapacity;
