//! Hashes of ASP.NET Identity, LDAP directories, Spring and Magento.

use super::conversion::{
    Conversion, DAMAGED, PBKDF2_SHA1, PBKDF2_SHA256, PBKDF2_SHA512, UNKNOWN, decode, decode_hex, encode, number,
    pbkdf2, scrypt, unsupported,
};
use super::phc;

/// ASP.NET Identity: a blob in base64. Version 3 states its parameters as big-endian numbers.
pub(super) fn aspnet(text: &str) -> Conversion {
    let Ok(blob) = decode(text) else { return unsupported(text) };
    match blob.split_first() {
        Some((0, _)) => Err("ASP.NET Identity 2 (PBKDF2-SHA1)"),
        Some((1, rest)) => identity_v3(rest),
        _ => unsupported(text),
    }
}

fn identity_v3(rest: &[u8]) -> Conversion {
    let number = |at: usize| {
        let bytes: Option<[u8; 4]> = rest.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(DAMAGED)
    };
    let (function, rounds, length) = (number(0)?, number(4)?.to_string(), number(8)?);
    let parts = usize::try_from(length).ok().and_then(|length| rest.get(12..)?.split_at_checked(length));
    let (salt, hash) = parts.ok_or(DAMAGED)?;
    match function {
        0 => Err(PBKDF2_SHA1),
        1 => pbkdf2(PBKDF2_SHA256, &rounds, salt, hash),
        2 => pbkdf2(PBKDF2_SHA512, &rounds, salt, hash),
        _ => Err(UNKNOWN),
    }
}

/// LDAP: the scheme in braces. PBKDF2 is as in passlib, `{CRYPT}` and `{ARGON2}` have a hash with `$`.
pub(super) fn ldap(text: &str) -> Conversion {
    let Some((scheme, rest)) = in_braces(text) else { return phc::convert(text) };
    let scheme = scheme.to_ascii_uppercase();
    match scheme.as_str() {
        "PBKDF2" | "PBKDF2-SHA1" => Err(PBKDF2_SHA1),
        "PBKDF2-SHA256" | "PBKDF2-SHA512" => match rest.split('$').collect::<Vec<_>>().as_slice() {
            [rounds, salt, hash] => phc::passlib(&scheme.to_ascii_lowercase(), rounds, salt, hash),
            _ => Err(DAMAGED),
        },
        "PBKDF2_SHA256" => Err("PBKDF2 of 389 Directory Server"),
        "URL" => Err("in a file of its own"),
        "CRYPT" | "ARGON2" | "BCRYPT" | "BLF-CRYPT" => phc::convert(rest),
        _ => unsupported(&format!("{{{scheme}}}")),
    }
}

/// Spring: the name of an encoder in braces. PBKDF2 of version 5.8 has 310,000 rounds of SHA-256 and 16 bytes of salt before the hash,
/// in hexadecimal digits; earlier ones have SHA-1. scrypt states its parameters as one number: 65,536 times the logarithm of N, plus 256
/// times r, plus p.
pub(super) fn spring(text: &str) -> Conversion {
    let Some((encoder, rest)) = in_braces(text) else {
        return spring_scrypt(text).unwrap_or_else(|| phc::convert(text));
    };
    match encoder {
        "bcrypt" | "argon2" | "argon2@SpringSecurity_v5_8" => phc::convert(rest),
        "scrypt" | "scrypt@SpringSecurity_v5_8" => spring_scrypt(rest).unwrap_or(Err(DAMAGED)),
        "pbkdf2@SpringSecurity_v5_8" => match decode_hex(rest)?.split_at_checked(16) {
            Some((salt, hash)) if hash.len() == 32 => pbkdf2(PBKDF2_SHA256, "310000", salt, hash),
            _ => Err(DAMAGED),
        },
        "pbkdf2" => Err(PBKDF2_SHA1),
        "noop" => Err("clear text"),
        "ldap" => ldap(rest),
        "MD4" | "MD5" => Err("MD5"),
        "SHA-1" | "SHA-256" | "sha256" => Err("salted SHA"),
        _ => Err(UNKNOWN),
    }
}

/// Converts scrypt of Spring. None where the text has another form.
fn spring_scrypt(text: &str) -> Option<Conversion> {
    let ["", parameters, salt, hash] = text.split('$').collect::<Vec<_>>()[..] else { return None };
    let parameters = u32::from_str_radix(parameters, 16).ok()?;
    let (ln, r, p) = (parameters >> 16, (parameters >> 8) & 0xff, parameters & 0xff);
    let n = 1_u64.checked_shl(ln)?;
    let (salt, hash) = (decode(salt).ok()?, decode(hash).ok()?);
    Some(scrypt(&n.to_string(), &r.to_string(), &p.to_string(), &salt, &hash))
}

/// Magento: hexadecimal digits, salt, version. Version 3 states length, passes and memory of Argon2id, version 2 has those of
/// libsodium; both take the first 16 characters of the salt. A chained version is a hash of a hash.
pub(super) fn magento(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split(':').collect();
    let (hash, salt, version) = match fields.as_slice() {
        [hash, salt, version] => (hash, salt, *version),
        [_, _, _, _, ..] => return Err("chained hashes of Magento"),
        [_, _] => return Err("salted MD5"),
        _ => return phc::convert(text),
    };
    let version = if version == "2" { "3_32_2_67108864" } else { version };
    let (length, passes, memory): (usize, u32, u64) = match version.split('_').collect::<Vec<_>>().as_slice() {
        ["0"] => return Err("salted MD5"),
        ["1"] => return Err("salted SHA"),
        ["3", length, passes, memory] => (number(length)?, number(passes)?, number(memory)?),
        _ => return Err(UNKNOWN),
    };
    let hash = decode_hex(hash)?;
    let salt = salt.as_bytes().get(..16).filter(|_| hash.len() == length).ok_or(DAMAGED)?;
    let kib = memory / 1_024;
    Ok(format!("$argon2id$v=19$m={kib},t={passes},p=1${}${}", encode(salt), encode(&hash)))
}

/// Returns the name in braces at the beginning of a text, and the rest of the text.
fn in_braces(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('{')?.split_once('}')
}
