//! PostgreSQL: connections and their pools, batches of statements, replicas, rights of roles.

pub(crate) mod alarm;
mod connection;
mod connection_capacity;
pub(crate) mod health;
mod heartbeat;
mod host_list;
pub(crate) mod hosts;
pub(crate) mod pools;
pub(crate) mod query_batcher;
pub(crate) mod replicas;
pub(crate) mod rights;
mod rivals;
pub(crate) mod servers;
pub(crate) mod session;
pub(crate) mod unreachable;
pub(crate) mod url;

pub(crate) use connection::{ENCODING, PING_AFTER_IDLE, Purpose, check_encoding, check_safe, check_session, connect};
pub use connection_capacity::ConnectionCapacity;

/// Opens a pool on the first server of the options.
#[cfg(test)]
pub(crate) async fn connect_to_first(
    options: &crate::DatabaseOptions,
    purpose: Purpose,
) -> Result<sea_orm::DatabaseConnection, sea_orm::DbErr> {
    let servers = servers::Servers::parse(&options.url, servers::UrlUse::Primary).expect("a valid URL");
    connect(options, servers.first(), purpose, &std::sync::Arc::default(), None).await
}
