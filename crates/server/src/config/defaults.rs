//! The default values of settings.

/// The default settings with their documentation, as TOML.
pub const DEFAULTS: &str = include_str!("default.toml");
