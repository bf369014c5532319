//! Secrets as types that cannot be shown by accident. What is in clear has neither `Debug` nor `Display` nor
//! `Serialize`; hashes and sealed codes show nothing; whatever is compared is compared in constant time.

use serde::{Deserialize, Deserializer, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A pass code, a password or a one-time code in clear. Its memory is wiped when it goes.
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
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that needs it.
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
            /// Wraps what was stored.
            pub fn from_stored(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// What is stored.
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
    /// A code encrypted and authenticated, bound to the token and the purpose, with its key id.
    SealedCode
}

/// The secrets of a token that can be guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SecretKind {
    /// The pass code that goes with the identifier.
    PassCode,
    /// The code that verifies a token.
    VerificationCode,
    /// The code that logs in once.
    OneTimePassword,
}

impl SecretKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::PassCode, Self::VerificationCode, Self::OneTimePassword];

    /// The name in the contract and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::PassCode => "PASS_CODE",
            Self::VerificationCode => "VERIFICATION_CODE",
            Self::OneTimePassword => "ONE_TIME_PASSWORD",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
