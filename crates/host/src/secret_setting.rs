//! Settings whose values are never shown.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use access_tokens_domain::secret::Secret;
use serde::Deserialize;

/// A setting that is a secret or may contain one. A [`Secret`] has no `Debug`; settings are printed as a whole, so this
/// type prints as `***`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretSetting(Secret);

impl SecretSetting {
    /// Returns the text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl FromStr for SecretSetting {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Secret::new(text)))
    }
}

impl fmt::Debug for SecretSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
