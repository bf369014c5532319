//! Types of secrets that cannot be shown by accident. A secret in clear has neither `Debug` nor `Display` nor
//! `Serialize`. Hashes and sealed codes print nothing of themselves. Comparisons take constant time.

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::model::named::named_document;

/// A pass code, a password or a one-time code in clear. Its memory is overwritten when it is dropped.
///
/// ```compile_fail
/// println!("{:?}", access_tokens_domain::secret::Secret::new("1234"));
/// ```
///
/// ```compile_fail
/// println!("{}", access_tokens_domain::secret::Secret::new("1234"));
/// ```
///
/// ```compile_fail
/// serde_json::to_string(&access_tokens_domain::secret::Secret::new("1234"));
/// ```
///
/// ```compile_fail
/// let _ = access_tokens_domain::secret::Secret::new("1234") == access_tokens_domain::secret::Secret::new("1234");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text. Call it only where the secret is hashed, encrypted or sent.
    pub fn expose(&self) -> &str {
        &self.0
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
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            /// Wraps a stored text.
            pub fn from_stored(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the text to store.
            pub fn as_stored(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
            }
        }

        impl Eq for $name {}

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
    /// An encrypted and authenticated code, bound to the token and the purpose, with its key id.
    SealedCode
}

named_document! {
    /// A kind of secret of a token that can be guessed. The names stand in the contract and in the database.
    #[derive(PartialOrd, Ord)]
    SecretKind {
        /// The pass code that goes with the identifier.
        PassCode = "PASS_CODE",
        /// The code that verifies a token.
        VerificationCode = "VERIFICATION_CODE",
        /// The code that logs in once.
        OneTimePassword = "ONE_TIME_PASSWORD",
    }
}
