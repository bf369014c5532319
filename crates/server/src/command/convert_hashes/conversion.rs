//! The conversion of a hash, and the functions that formats share.

use access_tokens_secrets::HashRejection;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD_NO_PAD};
use base64::{Engine, alphabet};

/// Reads base64 with and without padding, and with unused bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The result of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conversion {
    /// The hash in a form that an import accepts.
    Hash(String),
    /// The hash cannot be converted. The name of its scheme, without a part of the hash.
    Unsupported(&'static str),
}

/// A converted hash of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) conversion: Conversion,
    /// Whether the export has the hash in this form already.
    pub(super) is_same: bool,
}

/// Scheme of a text that names none.
pub(super) const UNKNOWN: &str = "unknown";
pub(super) const PBKDF2_SHA1: &str = "PBKDF2-SHA1";
pub(super) const DAMAGED: &str = "damaged";

impl Conversion {
    pub(super) fn of(hash: Option<String>) -> Self {
        hash.map_or(Self::Unsupported(DAMAGED), Self::Hash)
    }
}

/// Hash functions of PBKDF2 that an import accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digest {
    Sha256,
    Sha512,
}

impl Digest {
    /// Reads a name such as `sha256`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// Returns the PHC string of a PBKDF2 hash.
pub(super) fn pbkdf2(digest: Digest, rounds: &str, salt: &[u8], hash: &[u8]) -> Option<String> {
    let name = match digest {
        Digest::Sha256 => "pbkdf2-sha256",
        Digest::Sha512 => "pbkdf2-sha512",
    };
    let rounds: u32 = rounds.parse().ok()?;
    Some(format!("${name}$i={rounds},l={}${}${}", hash.len(), encode(salt), encode(hash)))
}

/// Returns the PHC string of a scrypt hash. `n` is a power of two.
pub(super) fn scrypt(n: &str, r: &str, p: &str, salt: &[u8], hash: &[u8]) -> Option<String> {
    let n: u64 = n.parse().ok().filter(|n: &u64| n.is_power_of_two())?;
    let (r, p): (u32, u32) = (r.parse().ok()?, p.parse().ok()?);
    Some(format!("$scrypt$ln={},r={r},p={p}${}${}", n.ilog2(), encode(salt), encode(hash)))
}

/// Encodes base64 without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Reads base64, with padding or without.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text).ok()
}

/// Reads the base64 of passlib, which has `.` for `+`.
pub(super) fn decode_passlib(text: &str) -> Option<Vec<u8>> {
    decode(&text.replace('.', "+"))
}

/// Reads hexadecimal digits.
pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Returns the name of an unsupported scheme, from the beginning of the hash.
pub(super) fn unsupported(text: &str) -> Conversion {
    Conversion::Unsupported(HashRejection::of_scheme(text).or_else(|| of_digits(text)).unwrap_or(UNKNOWN))
}

/// Returns the name of a bare digest, from its number of hexadecimal digits.
fn of_digits(text: &str) -> Option<&'static str> {
    let digits = text.strip_prefix('*').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match (digits.len(), text.starts_with('*')) {
        (40, true) => Some("password of MySQL"),
        (32, false) => Some("bare digest as of MD5"),
        (40, false) => Some("bare digest as of SHA-1"),
        (64, false) => Some("bare digest as of SHA-256"),
        (128, false) => Some("bare digest as of SHA-512"),
        _ => None,
    }
}
