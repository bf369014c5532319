//! The conversion of a hash, and the functions that formats share.

use std::str::FromStr;

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

/// The hash in a form that an import accepts. The error is the name of its scheme, without a part of the hash.
pub(super) type Conversion = Result<String, &'static str>;

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

/// Names of PBKDF2 in PHC strings, with the hash functions that an import accepts.
pub(super) const PBKDF2_SHA256: &str = "pbkdf2-sha256";
pub(super) const PBKDF2_SHA512: &str = "pbkdf2-sha512";

/// Returns the PHC string of a PBKDF2 hash. `name` is [`PBKDF2_SHA256`] or [`PBKDF2_SHA512`].
pub(super) fn pbkdf2(name: &str, rounds: &str, salt: &[u8], hash: &[u8]) -> Conversion {
    let rounds: u32 = number(rounds)?;
    Ok(format!("${name}$i={rounds},l={}${}${}", hash.len(), encode(salt), encode(hash)))
}

/// Returns the PHC string of a scrypt hash. `n` is a power of two.
pub(super) fn scrypt(n: &str, r: &str, p: &str, salt: &[u8], hash: &[u8]) -> Conversion {
    let (n, r, p): (u64, u32, u32) = (number(n)?, number(r)?, number(p)?);
    let ln = n.checked_ilog2().filter(|_| n.is_power_of_two()).ok_or(DAMAGED)?;
    Ok(format!("$scrypt$ln={ln},r={r},p={p}${}${}", encode(salt), encode(hash)))
}

/// Reads a parameter.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| DAMAGED)
}

/// Encodes base64 without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Reads base64, with padding or without.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    LENIENT.decode(text).map_err(|_| DAMAGED)
}

/// Reads the base64 of passlib, which has `.` for `+`.
pub(super) fn decode_passlib(text: &str) -> Result<Vec<u8>, &'static str> {
    decode(&text.replace('.', "+"))
}

/// Reads hexadecimal digits.
pub(super) fn decode_hex(text: &str) -> Result<Vec<u8>, &'static str> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(DAMAGED);
    }
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().map_err(|_| DAMAGED)
}

/// Returns the name of an unsupported scheme, from the beginning of the hash.
pub(super) fn unsupported(text: &str) -> Conversion {
    Err(HashRejection::of_scheme(text).or_else(|| of_digits(text)).unwrap_or(UNKNOWN))
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
