//! The configuration of the service.
//!
//! `default.toml` has the defaults and their documentation. A setting that it does not name does not exist.

mod aliases;
mod defaults;
mod display;
mod environment;
mod hashing;
mod loading;
mod notifications;
mod reference;
mod settings;
#[cfg(test)]
mod tests;
mod unknown_variables;
mod validation;

pub use aliases::Warning;
pub use defaults::DEFAULTS;
pub use hashing::{HashingSettings, Memory};
pub use loading::{ConfigError, ENVIRONMENT_FILE, LoadedSettings, Origin};
pub use notifications::{NotificationSettings, Webhook, WebhookSettings};
pub use reference::{meaning, reference};
pub(crate) use settings::Listener;
pub use settings::{
    DatabaseSettings, GatewaySettings, GrpcSettings, HttpSettings, KeySettings, OpsSettings, PolicySettings,
    ProcessSettings, Settings,
};
