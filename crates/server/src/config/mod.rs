//! The configuration: what can be set, and where it comes from.
//!
//! `default.toml` is both the defaults and their documentation. What it does not name does not exist.

mod aliases;
mod checks;
mod defaults;
mod describe;
mod hashing;
mod layers;
#[cfg(test)]
mod nonsense;
mod notifications;
mod reference;
mod settings;
mod strays;
#[cfg(test)]
mod tests;
mod variables;
mod weakness;

pub use aliases::Warning;
pub use defaults::DEFAULTS;
pub use hashing::{HashingSettings, Memory};
pub use layers::{ConfigError, ENVIRONMENT_FILE, Loaded, Origin};
pub use notifications::{NotificationSettings, Webhook, WebhookSettings};
pub use reference::{meaning, reference};
pub use settings::{
    DatabaseSettings, GatewaySettings, GrpcSettings, HttpSettings, KeySettings, OpsSettings, PolicySettings,
    ProcessSettings, Settings,
};
