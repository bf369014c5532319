//! Environment variables of settings.

/// Prefix of the variables of settings.
pub(super) const PREFIX: &str = "ACCESS_TOKENS__";

/// Returns the name of the environment variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}
