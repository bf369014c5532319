//! The settings as types, and the ranges that they must keep.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access_tokens_auth::LoginLimits;
use access_tokens_gateway::{GatewayConfig, Network, Release, TimeZone};
use access_tokens_host::SecretSetting;
use access_tokens_host::value::{listed, number, parsed, unless_empty};
use access_tokens_net::tls::{TlsSettings, UpstreamSettings};
use access_tokens_storage::DatabaseOptions;
use access_tokens_telemetry::settings::{LogSettings, TelemetrySettings};
use serde::Deserialize;

use super::{HashingSettings, NotificationSettings, WebhookSettings};

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Time zone of dates without an offset, at import and at the gateway.
    #[serde(deserialize_with = "parsed")]
    pub time_zone: TimeZone,
    /// Where access tokens are kept.
    pub database: DatabaseSettings,
    /// The gRPC server.
    pub grpc: GrpcSettings,
    /// The HTTP server of the gateway.
    pub http: HttpSettings,
    /// What the gateway presents.
    pub gateway: GatewaySettings,
    /// The port for operators.
    pub ops: OpsSettings,
    /// The keys.
    pub keys: KeySettings,
    /// What policies may allow.
    pub policy: PolicySettings,
    /// Limits on hashes that other systems made.
    pub hashing: HashingSettings,
    /// Limits on sessions.
    pub sessions: SessionSettings,
    /// Notifications to owners.
    pub notifications: NotificationSettings,
    /// Requests to receivers outside.
    pub webhooks: WebhookSettings,
    /// The log.
    pub log: LogSettings,
    /// Spans and metrics for a collector.
    pub telemetry: TelemetrySettings,
    /// The process itself.
    pub process: ProcessSettings,
}

/// Where access tokens are kept. The URL may hold a password, so it is hidden.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite://…` or `postgres://…`.
    pub url: SecretSetting,
    /// May a PostgreSQL on another machine be spoken to in plain text?
    pub allow_plain_text: bool,
    /// The PostgreSQL schema of the tables.
    pub schema: String,
    /// Does `serve` bring a PostgreSQL schema up to date?
    pub migrate_at_start: bool,
    /// PostgreSQL connections.
    pub max_connections: u32,
    /// SQLite connections that read.
    pub sqlite_readers: u32,
    /// Milliseconds to wait for a connection.
    pub acquire_timeout_ms: u64,
    /// Milliseconds for a PostgreSQL statement.
    pub statement_timeout_ms: u64,
    /// Milliseconds to wait for a PostgreSQL lock.
    pub lock_timeout_ms: u64,
    /// PostgreSQL replicas that may answer reads.
    #[serde(deserialize_with = "listed")]
    pub replica_urls: Vec<SecretSetting>,
    /// Milliseconds that a replica may be later than the primary.
    pub replica_max_lag_ms: u64,
}

/// The gRPC server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// May others than this machine speak plain text to it?
    pub allow_plain_text: bool,
    /// What connections are encrypted with.
    pub tls: TlsSettings,
    /// Calls at once.
    pub max_concurrent_requests: usize,
    /// Calls without a checked credential at once.
    pub max_anonymous_requests: usize,
    /// Those from one client address.
    pub max_anonymous_requests_per_address: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections from one address without an authenticated call.
    pub max_anonymous_connections_per_address: usize,
    /// Seconds after which a connection is closed.
    pub max_connection_age_seconds: u64,
    /// Seconds without a call after which a connection is closed.
    pub idle_seconds: u64,
    /// Peers whose forwarded addresses count.
    #[serde(deserialize_with = "listed")]
    pub trusted_proxies: Vec<Network>,
    /// Whether reflection is served.
    pub reflection: bool,
}

/// The HTTP server of the gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port; none when it is switched off.
    #[serde(deserialize_with = "unless_empty")]
    pub listen: Option<SocketAddr>,
    /// May others than this machine speak plain text to it?
    pub allow_plain_text: bool,
    /// What connections are encrypted with.
    pub tls: TlsSettings,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections from one address without an authenticated call.
    pub max_anonymous_connections_per_address: usize,
    /// Whether the page at `/docs` and its `/openapi.json` are served.
    pub docs: bool,
}

/// What the gateway presents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// The release of the original API.
    #[serde(deserialize_with = "parsed")]
    pub release: Release,
    /// Milliseconds for one call.
    pub timeout_ms: u64,
    /// Proxies that are believed.
    #[serde(deserialize_with = "listed")]
    pub trusted_proxies: Vec<Network>,
    /// The way to the service, for a gateway as a process of its own.
    pub upstream: UpstreamSettings,
}

/// The port for operators.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsSettings {
    /// Address and port; none when it is switched off.
    #[serde(deserialize_with = "unless_empty")]
    pub listen: Option<SocketAddr>,
    /// May others than this machine speak plain text to it?
    pub allow_plain_text: bool,
    /// What connections are encrypted with.
    pub tls: TlsSettings,
}

/// The keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// The file with the key ring.
    pub file: PathBuf,
    /// The key ring itself; empty when the file is used.
    pub ring: SecretSetting,
}

/// What policies may allow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// The chance, per access token and day, that somebody guesses a secret of it.
    #[serde(deserialize_with = "number")]
    pub max_guess_chance: f64,
}

/// Limits on sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// Log-ins a second of one user or API key; 0 for no limit.
    pub logins_per_second: u32,
    /// Log-ins at once of one user or API key.
    pub login_burst: u32,
}

impl SessionSettings {
    /// The limits of this process.
    pub fn limits(&self) -> LoginLimits {
        LoginLimits { per_second: self.logins_per_second, burst: self.login_burst }
    }
}

/// The process itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSettings {
    /// Threads that calls run on; 0 for a number that fits the machine.
    pub workers: usize,
}

impl ProcessSettings {
    /// How many threads calls run on: half of the cores, where it is not said. The others hash, and are the kernel's and the
    /// database's; threads that hand calls to each other cost more than they bring.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1),
            workers => workers,
        }
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

    /// The same for the storage.
    pub fn options(&self) -> DatabaseOptions {
        DatabaseOptions {
            postgres_connections: self.max_connections,
            sqlite_readers: self.sqlite_readers,
            acquire_timeout: Duration::from_millis(self.acquire_timeout_ms),
            statement_timeout: Duration::from_millis(self.statement_timeout_ms),
            lock_timeout: Duration::from_millis(self.lock_timeout_ms),
            allow_plain_text: self.allow_plain_text,
            schema: self.schema.clone(),
            replica_urls: self.replica_urls.iter().map(|url| url.expose().to_owned()).collect(),
            replica_max_lag: Duration::from_millis(self.replica_max_lag_ms),
            ..DatabaseOptions::new(self.url.expose())
        }
    }
}

impl GrpcSettings {
    /// How long a connection may live.
    pub fn connection_age(&self) -> Duration {
        Duration::from_secs(self.max_connection_age_seconds)
    }

    /// How long a connection may do without a call.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }
}

impl Settings {
    /// The same for the gateway, which presents dates in the time zone.
    pub fn gateway_config(&self) -> GatewayConfig {
        GatewayConfig {
            release: self.gateway.release,
            time_zone: self.time_zone,
            timeout: Duration::from_millis(self.gateway.timeout_ms),
            trusted_proxies: self.gateway.trusted_proxies.clone(),
            docs: self.http.docs,
        }
    }
}
