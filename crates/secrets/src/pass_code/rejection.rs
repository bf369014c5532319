//! Reasons to reject a hash that another system made.

use std::fmt::{self, Display};

/// The reason why a hash cannot be checked or may not be imported. The text never contains the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashRejection {
    /// The text has none of the forms of a hash that this crate reads.
    NotPhc,
    /// The scheme is not supported. Contains the name of the scheme if it is known.
    Scheme(Option<&'static str>),
    /// The hash needs more memory than allowed.
    Memory {
        /// Memory that it needs, in KiB.
        needed: u64,
        /// Maximum memory, in KiB.
        limit: u64,
    },
    /// A parameter of the hash exceeds the limit that bounds the time of a comparison.
    Time {
        /// The parameter.
        what: &'static str,
        /// Value of the parameter.
        found: u64,
        /// Maximum value.
        limit: u64,
    },
    /// The salt is longer than 48 bytes.
    SaltTooLong,
    /// The salt is shorter than 8 bytes, or missing.
    SaltTooShort,
    /// A part is missing, too short, or does not belong to its scheme.
    Malformed,
    /// The hash was made with a key that is not in the key ring.
    Key,
}

/// Prefixes of hashes of schemes that are refused deliberately: they are too fast, or broken.
const UNSUPPORTED: [(&str, &str); 30] = [
    ("$1$", "MD5-crypt"),
    ("$apr1$", "MD5-crypt"),
    ("$5$", "SHA-crypt"),
    ("$6$", "SHA-crypt"),
    ("$y$", "yescrypt"),
    ("$gy$", "yescrypt"),
    ("$md5", "MD5-crypt"),
    ("$sha1$", "SHA-1-crypt"),
    ("$NT$", "NT hash"),
    ("$7$", "scrypt of crypt"),
    ("$P$", "phpass"),
    ("$H$", "phpass"),
    ("$S$", "Drupal 7"),
    ("U$S$", "Drupal 7"),
    ("U$P$", "phpass"),
    ("$wp$", "WordPress bcrypt"),
    ("$2x$", "bcrypt 2x"),
    ("$2$", "bcrypt 2"),
    ("$pbkdf2$", "PBKDF2-SHA1"),
    ("$pbkdf2-sha1$", "PBKDF2-SHA1"),
    ("{SSHA", "salted SHA"),
    ("{SHA", "SHA"),
    ("{SMD5}", "salted MD5"),
    ("{MD5}", "MD5"),
    ("{X-ISSHA", "salted SHA"),
    ("{SASL}", "SASL, which keeps it elsewhere"),
    ("{NOOP}", "clear text"),
    ("{CLEAR", "clear text"),
    ("{PLAIN", "clear text"),
    ("{CRYPT}", "crypt"),
];

impl HashRejection {
    /// Returns the name of an unsupported scheme, by the prefix of the hash.
    pub fn of_scheme(text: &str) -> Option<&'static str> {
        let begins = |prefix: &str| match text.get(..prefix.len()) {
            // Systems write schemes in braces in either case.
            Some(begin) if prefix.starts_with('{') => begin.eq_ignore_ascii_case(prefix),
            begin => begin == Some(prefix),
        };
        UNSUPPORTED.into_iter().find(|(prefix, _)| begins(prefix)).map(|(_, name)| name)
    }

    /// Returns whether the hash is above a limit of memory or time.
    pub fn is_over_limit(&self) -> bool {
        matches!(self, Self::Memory { .. } | Self::Time { .. })
    }
}

impl Display for HashRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPhc => f.write_str("is not a PHC string: use access-tokens convert-hashes for other forms"),
            Self::Scheme(Some(name)) => write!(f, "has a scheme that is not supported: {name}"),
            Self::Scheme(None) => f.write_str(
                "has an unknown scheme; known are Argon2, scrypt, PBKDF2 with SHA-256 or SHA-512, and bcrypt",
            ),
            Self::Memory { needed, limit } => {
                let (needed, limit) = (needed.div_ceil(1_024), limit / 1_024);
                write!(f, "is above the limit (memory {needed} MiB > {limit} MiB, hashing.max_foreign_memory)")
            }
            Self::Time { what, found, limit } => write!(f, "is above the limit ({what} {found} > {limit})"),
            Self::SaltTooLong => f.write_str("has a salt longer than 48 bytes"),
            Self::SaltTooShort => f.write_str("has a salt shorter than 8 bytes"),
            Self::Malformed => f.write_str("lacks a part of its scheme, or has one that does not belong to it"),
            Self::Key => f.write_str("is under a key that is not in the key ring"),
        }
    }
}
