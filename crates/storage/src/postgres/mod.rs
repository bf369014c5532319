//! PostgreSQL: connections and their pools, batches of statements, replicas, rights of roles.

pub(crate) mod alarm;
mod connection;
mod connection_capacity;
pub(crate) mod health;
mod heartbeat;
mod host_list;
pub(crate) mod hosts;
mod lineage;
pub(crate) mod pools;
mod purpose;
pub(crate) mod query_batcher;
pub(crate) mod replicas;
pub(crate) mod rights;
mod rivals;
pub(crate) mod role;
pub(crate) mod servers;
pub(crate) mod session;
mod ssl_mode;
pub(crate) mod start;
pub(crate) mod unreachable;
pub(crate) mod url;

pub(crate) use connection::{ENCODING, PING_AFTER_IDLE, connect};
pub use connection_capacity::ConnectionCapacity;
pub(crate) use purpose::Purpose;

/// Opens a pool on the first server of the options.
#[cfg(test)]
pub(crate) async fn connect_to_first(
    options: &crate::DatabaseOptions,
    purpose: Purpose,
) -> Result<sea_orm::DatabaseConnection, sea_orm::DbErr> {
    let servers = servers::Servers::parse(&options.url, servers::UrlUse::Primary).expect("a valid URL");
    connect(options, servers.first(), purpose, &std::sync::Arc::default(), None).await
}
