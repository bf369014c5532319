//! The settings as types, and the ranges that they must keep.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access_tokens_domain::secret::Secret;
use access_tokens_storage::DatabaseOptions;
use serde::Deserialize;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where access tokens are kept.
    pub database: DatabaseSettings,
    /// The gRPC server.
    pub grpc: GrpcSettings,
    /// The keys.
    pub keys: KeySettings,
    /// The log.
    pub log: LogSettings,
}

/// Where access tokens are kept. The URL may hold a password, so it is a secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite://…` or `postgres://…`.
    pub url: Secret,
    /// Does `serve` bring a PostgreSQL schema up to date?
    pub migrate_at_start: bool,
    /// PostgreSQL connections.
    pub connections: u32,
    /// SQLite connections that read.
    pub sqlite_readers: u32,
    /// Milliseconds to wait for a connection.
    pub acquire_timeout_ms: u64,
    /// Milliseconds for a PostgreSQL statement.
    pub statement_timeout_ms: u64,
    /// Milliseconds to wait for a PostgreSQL lock.
    pub lock_timeout_ms: u64,
}

/// The gRPC server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Calls at once.
    pub calls_at_once: usize,
    /// Connections at once.
    pub connections: usize,
    /// Seconds after which a connection is closed.
    pub connection_age_seconds: u64,
}

/// The keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// The file with the key ring.
    pub file: PathBuf,
    /// The key ring itself; empty when the file is used.
    pub ring: Secret,
}

/// The log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is logged.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

impl Settings {
    /// What is out of range, as (key, what it must be).
    pub(super) fn out_of_range(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut range = |key, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                found.push((key, format!("must be between {low} and {high}")));
            }
        };
        let (database, grpc) = (&self.database, &self.grpc);
        range("database.connections", database.connections.into(), 2, 100);
        range("database.sqlite_readers", database.sqlite_readers.into(), 1, 100);
        range("database.acquire_timeout_ms", database.acquire_timeout_ms, 1, 60_000);
        range("database.statement_timeout_ms", database.statement_timeout_ms, 1, 600_000);
        range("database.lock_timeout_ms", database.lock_timeout_ms, 1, 600_000);
        range("grpc.calls_at_once", grpc.calls_at_once as u64, 1, 100_000);
        range("grpc.connections", grpc.connections as u64, 1, 1_000_000);
        range("grpc.connection_age_seconds", grpc.connection_age_seconds, 1, 604_800);
        if !(database.is_sqlite() || database.is_postgres()) {
            found.push(("database.url", "must begin with sqlite:// or postgres://".to_owned()));
        }
        if tracing_subscriber::EnvFilter::try_new(&self.log.level).is_err() {
            found.push(("log.level", "must be a level, or a list such as info,access_tokens_server=debug".to_owned()));
        }
        if self.keys.file.as_os_str().is_empty() && self.keys.ring.expose().is_empty() {
            found.push(("keys.file", "must not be empty while keys.ring is".to_owned()));
        }
        found
    }
}

impl DatabaseSettings {
    /// Is it SQLite?
    pub fn is_sqlite(&self) -> bool {
        self.url.expose().starts_with("sqlite:")
    }

    /// The file of a SQLite database.
    pub(crate) fn sqlite_file(&self) -> Option<&Path> {
        let path = self.url.expose().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(Path::new(path.split('?').next().unwrap_or(path)))
    }

    fn is_postgres(&self) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| self.url.expose().starts_with(scheme))
    }

    /// The same for the storage.
    pub fn options(&self) -> DatabaseOptions {
        DatabaseOptions {
            postgres_connections: self.connections,
            sqlite_readers: self.sqlite_readers,
            acquire_timeout: Duration::from_millis(self.acquire_timeout_ms),
            statement_timeout: Duration::from_millis(self.statement_timeout_ms),
            lock_timeout: Duration::from_millis(self.lock_timeout_ms),
            ..DatabaseOptions::new(self.url.expose())
        }
    }
}

impl GrpcSettings {
    /// How long a connection may live.
    pub fn connection_age(&self) -> Duration {
        Duration::from_secs(self.connection_age_seconds)
    }
}
