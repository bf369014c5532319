//! The settings with their types.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access_tokens_auth::LoginLimits;
use access_tokens_gateway::{GatewayConfig, Network, Release, TimeZone};
use access_tokens_host::SecretSetting;
use access_tokens_host::value::{listed, listed_urls, number, parsed, unless_empty};
use access_tokens_net::tls::{TlsSettings, UpstreamSettings};
use access_tokens_storage::DatabaseOptions;
use access_tokens_telemetry::settings::{LogSettings, TelemetrySettings};
use serde::Deserialize;

use super::{HashingSettings, NotificationSettings, WebhookSettings};

/// All settings. `default.toml` documents them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Time zone of dates without an offset, in imports and at the gateway.
    #[serde(deserialize_with = "parsed")]
    pub time_zone: TimeZone,
    /// The database.
    pub database: DatabaseSettings,
    /// The gRPC server.
    pub grpc: GrpcSettings,
    /// The HTTP server of the gateway.
    pub http: HttpSettings,
    /// The behaviour of the gateway.
    pub gateway: GatewaySettings,
    /// The port for operators.
    pub ops: OpsSettings,
    /// The key ring.
    pub keys: KeySettings,
    /// Limits on policies.
    pub policy: PolicySettings,
    /// Limits on hashes of other systems.
    pub hashing: HashingSettings,
    /// Limits on sessions.
    pub sessions: SessionSettings,
    /// Notifications to owners.
    pub notifications: NotificationSettings,
    /// Requests to receivers outside of the process.
    pub webhooks: WebhookSettings,
    /// The log.
    pub log: LogSettings,
    /// Traces and metrics for a collector.
    pub telemetry: TelemetrySettings,
    /// The process.
    pub process: ProcessSettings,
}

/// The database. Its URL may contain a password, so it is hidden in debug output.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite://…` or `postgres://…`.
    pub url: SecretSetting,
    /// Whether connections to PostgreSQL on another machine may be in plain text.
    pub allow_plain_text: bool,
    /// The PostgreSQL schema of the tables.
    pub schema: String,
    /// Whether `serve` migrates the schema of PostgreSQL.
    pub migrate_at_start: bool,
    /// Maximum number of PostgreSQL connections, 2 to 100.
    pub max_connections: u32,
    /// Number of SQLite connections for reading, 1 to 100.
    pub sqlite_readers: u32,
    /// Maximum time to wait for a connection, in milliseconds.
    pub acquire_timeout_ms: u64,
    /// Maximum time of a PostgreSQL statement, in milliseconds.
    pub statement_timeout_ms: u64,
    /// Maximum time to wait for a PostgreSQL lock, in milliseconds.
    pub lock_timeout_ms: u64,
    /// URLs of PostgreSQL replicas that may answer reads.
    #[serde(deserialize_with = "listed_urls")]
    pub replica_urls: Vec<SecretSetting>,
    /// Maximum delay of a replica, in milliseconds, 200 to 60000.
    pub replica_max_lag_ms: u64,
}

/// The gRPC server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Whether other machines may connect in plain text.
    pub allow_plain_text: bool,
    /// Certificates of the listener.
    pub tls: TlsSettings,
    /// Maximum number of authenticated requests that are processed concurrently.
    pub max_concurrent_requests: usize,
    /// Maximum number of logins, and of checks of credentials, that are processed concurrently.
    pub max_anonymous_requests: usize,
    /// Maximum number of these from one client address.
    pub max_anonymous_requests_per_address: usize,
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Maximum number of connections from one address without an authenticated request.
    pub max_anonymous_connections_per_address: usize,
    /// Age at which a connection is closed, in seconds.
    pub max_connection_age_seconds: u64,
    /// Time without a request after which a connection is closed, in seconds.
    pub idle_seconds: u64,
    /// Networks of peers whose forwarded client addresses count.
    #[serde(deserialize_with = "listed")]
    pub trusted_proxies: Vec<Network>,
    /// Whether reflection is served.
    pub reflection: bool,
}

/// The HTTP server of the gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port. None where the listener is switched off.
    #[serde(deserialize_with = "unless_empty")]
    pub listen: Option<SocketAddr>,
    /// Whether other machines may connect in plain text.
    pub allow_plain_text: bool,
    /// Certificates of the listener.
    pub tls: TlsSettings,
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Maximum number of connections from one address without an authenticated request.
    pub max_anonymous_connections_per_address: usize,
    /// Whether the page `/docs` and its `/openapi.json` are served.
    pub docs: bool,
}

/// The behaviour of the gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// The presented release of the original API.
    #[serde(deserialize_with = "parsed")]
    pub release: Release,
    /// Maximum time of one call, in milliseconds.
    pub timeout_ms: u64,
    /// Networks of proxies whose forwarded client addresses count.
    #[serde(deserialize_with = "listed")]
    pub trusted_proxies: Vec<Network>,
    /// The connection to the service, for a gateway as a separate process.
    pub upstream: UpstreamSettings,
}

/// The port for operators.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsSettings {
    /// Address and port. None where the listener is switched off.
    #[serde(deserialize_with = "unless_empty")]
    pub listen: Option<SocketAddr>,
    /// Whether other machines may connect in plain text.
    pub allow_plain_text: bool,
    /// Certificates of the listener.
    pub tls: TlsSettings,
}

/// The key ring.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// The file with the key ring.
    pub file: PathBuf,
    /// The key ring as a text. Empty where the file is used.
    pub ring: SecretSetting,
}

impl KeySettings {
    /// Returns the file with the key ring. None where the key ring is a setting.
    pub(crate) fn ring_file(&self) -> Option<&Path> {
        self.ring.expose().is_empty().then_some(&self.file)
    }
}

/// Limits on policies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// Maximum probability, per access token and day, that a secret of the token is guessed.
    #[serde(deserialize_with = "number")]
    pub max_guess_chance: f64,
}

/// Limits on sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// Maximum log-ins a second of one user or API key. 0: no limit.
    pub logins_per_second: u32,
    /// Maximum number of log-ins of one user or API key in a burst.
    pub login_burst: u32,
}

impl SessionSettings {
    /// Returns the limits of this process.
    pub fn limits(&self) -> LoginLimits {
        LoginLimits { per_second: self.logins_per_second, burst: self.login_burst }
    }
}

/// The process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSettings {
    /// Number of threads that process calls. 0: half of the cores.
    pub workers: usize,
}

impl ProcessSettings {
    /// Returns the number of threads that process calls: half of the cores, unless the setting says otherwise. The other cores are for
    /// hashing, the kernel and the database. More threads lose time by passing calls to each other.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1),
            workers => workers,
        }
    }
}

impl DatabaseSettings {
    /// Returns whether the database is SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.url.expose().starts_with("sqlite:")
    }

    /// Returns the file of a SQLite database.
    pub(crate) fn sqlite_file(&self) -> Option<&Path> {
        let path = self.url.expose().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(Path::new(path.split('?').next().unwrap_or(path)))
    }

    /// Returns the options of the storage.
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
    /// Returns the maximum age of a connection.
    pub fn connection_age(&self) -> Duration {
        Duration::from_secs(self.max_connection_age_seconds)
    }
}

/// A listener of the service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener<'a> {
    /// The section of its settings.
    pub(crate) section: &'static str,
    /// The setting of its address.
    pub(crate) listen: &'static str,
    /// The section of its certificates.
    pub(crate) tls_section: &'static str,
    /// Address and port. None where the listener is switched off.
    pub(crate) address: Option<SocketAddr>,
    /// Certificates of the listener.
    pub(crate) tls: &'a TlsSettings,
    /// Whether other machines may connect in plain text.
    pub(crate) allow_plain_text: bool,
}

impl Listener<'_> {
    /// Returns the address, if other machines can reach it.
    pub(crate) fn public_address(&self) -> Option<SocketAddr> {
        self.address.filter(|address| !address.ip().to_canonical().is_loopback())
    }
}

impl Settings {
    /// Returns all listeners.
    pub(crate) fn listeners(&self) -> [Listener<'_>; 3] {
        let Self { grpc, http, ops, .. } = self;
        let listener = |[section, listen, tls_section]: [&'static str; 3], address, tls, allow_plain_text| Listener {
            section,
            listen,
            tls_section,
            address,
            tls,
            allow_plain_text,
        };
        [
            listener(["grpc", "grpc.listen", "grpc.tls"], Some(grpc.listen), &grpc.tls, grpc.allow_plain_text),
            listener(["http", "http.listen", "http.tls"], http.listen, &http.tls, http.allow_plain_text),
            listener(["ops", "ops.listen", "ops.tls"], ops.listen, &ops.tls, ops.allow_plain_text),
        ]
    }

    /// Returns the connections to servers elsewhere, each with its section.
    pub(crate) fn upstreams(&self) -> [(&'static str, &UpstreamSettings); 2] {
        [("gateway.upstream", &self.gateway.upstream), ("telemetry.collector", &self.telemetry.collector)]
    }

    /// Returns the settings of the gateway. It shows dates in the time zone.
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
