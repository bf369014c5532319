//! Secrets as types that cannot be shown by accident.

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A pass code, a password or a one-time code in clear. It has no `Display` and no `Serialize`, its `Debug` shows
/// nothing, and its memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Wraps what was stored.
            pub fn from_stored(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// What is stored.
            pub fn as_stored(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "([REDACTED])"))
            }
        }
    };
}

opaque! {
    /// An Argon2id hash over the peppered pass code or password, as a PHC string with its key id.
    PassCodeHash
}
opaque! {
    /// A keyed hash of a code, bound to the token and the purpose, with its key id.
    CodeHash
}
opaque! {
    /// A code encrypted and authenticated, bound to the token and the purpose, with its key id.
    SealedCode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?} {:?}", Secret::new("1234"), PassCodeHash::from_stored("$argon2id$x"));
        assert!(!shown.contains("1234") && !shown.contains("argon2id"), "{shown}");
    }
}
