//! Settings that nobody is shown.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use access_tokens_domain::secret::Secret;
use serde::Deserialize;

/// A setting that is, or may hold, a secret. A [`Secret`] cannot be shown at all; settings as a whole can, so this shows
/// itself as `***`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretSetting(Secret);

impl SecretSetting {
    /// The text, for the one place that needs it.
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
