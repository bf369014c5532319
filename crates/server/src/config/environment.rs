//! The environment variables of settings.

/// What the variables of settings begin with.
pub(super) const PREFIX: &str = "ACCESS_TOKENS__";

/// The environment variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}
