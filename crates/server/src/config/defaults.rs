//! The values of settings that nothing sets.

/// The defaults with their documentation.
pub const DEFAULTS: &str = include_str!("default.toml");
