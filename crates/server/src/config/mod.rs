//! The configuration: what can be set, and where it comes from.
//!
//! `default.toml` is both the defaults and their documentation. What it does not name does not exist.

mod checks;
mod describe;
mod hashing;
mod hidden;
mod layers;
#[cfg(test)]
mod nonsense;
mod notifications;
mod reference;
mod settings;
mod strays;
mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod value;

pub use hashing::{HashingSettings, Memory};
pub use hidden::Hidden;
pub use layers::{ConfigError, ENVIRONMENT_FILE, Loaded, Origin};
pub use notifications::{NotificationSettings, Webhook, WebhookSettings};
pub use reference::{meaning, reference};
pub use settings::{
    DatabaseSettings, GatewaySettings, GrpcSettings, HttpSettings, KeySettings, OpsSettings, PolicySettings,
    ProcessSettings, Settings,
};
pub(crate) use telemetry::pairs;
pub use telemetry::{LogFormat, LogSettings, TelemetrySettings};
pub use tls::{ClientAuth, IdentitySettings, TlsSettings, UpstreamSettings};
pub(crate) use url::is_local;

/// The defaults with their documentation.
pub const DEFAULTS: &str = include_str!("default.toml");
