//! Hashes of ASP.NET Identity, LDAP directories, Spring and Magento.

use super::conversion::{
    Conversion, DAMAGED, Digest, PBKDF2_SHA1, UNKNOWN, decode, decode_hex, encode, pbkdf2, scrypt, unsupported,
};
use super::phc;

/// ASP.NET Identity: a blob in base64. Version 3 states its parameters as big-endian numbers.
pub(super) fn aspnet(text: &str) -> Conversion {
    let Some(blob) = decode(text) else { return unsupported(text) };
    match blob.split_first() {
        Some((0, _)) => Conversion::Unsupported("ASP.NET Identity 2 (PBKDF2-SHA1)"),
        Some((1, rest)) => identity_v3(rest),
        _ => unsupported(text),
    }
}

fn identity_v3(rest: &[u8]) -> Conversion {
    let number = |at: usize| {
        let bytes: Option<[u8; 4]> = rest.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes)
    };
    let (Some(function), Some(rounds), Some(length)) = (number(0), number(4), number(8)) else {
        return Conversion::Unsupported(DAMAGED);
    };
    let parts = usize::try_from(length).ok().and_then(|length| rest.get(12..)?.split_at_checked(length));
    let Some((salt, hash)) = parts else { return Conversion::Unsupported(DAMAGED) };
    match function {
        0 => Conversion::Unsupported(PBKDF2_SHA1),
        1 => Conversion::of(pbkdf2(Digest::Sha256, &rounds.to_string(), salt, hash)),
        2 => Conversion::of(pbkdf2(Digest::Sha512, &rounds.to_string(), salt, hash)),
        _ => Conversion::Unsupported(UNKNOWN),
    }
}

/// LDAP: the scheme in braces. PBKDF2 is as in passlib, `{CRYPT}` and `{ARGON2}` have a hash with `$`.
pub(super) fn ldap(text: &str) -> Conversion {
    let Some((scheme, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return if text.starts_with('$') { phc::convert(text) } else { unsupported(text) };
    };
    let scheme = scheme.to_ascii_uppercase();
    match scheme.as_str() {
        "PBKDF2" | "PBKDF2-SHA1" => Conversion::Unsupported(PBKDF2_SHA1),
        "PBKDF2-SHA256" | "PBKDF2-SHA512" => {
            let digest = if scheme.ends_with("256") { Digest::Sha256 } else { Digest::Sha512 };
            match rest.split('$').collect::<Vec<_>>().as_slice() {
                [rounds, salt, hash] => phc::passlib(digest, rounds, salt, hash),
                _ => Conversion::Unsupported(DAMAGED),
            }
        }
        "PBKDF2_SHA256" => Conversion::Unsupported("PBKDF2 of 389 Directory Server"),
        "URL" => Conversion::Unsupported("in a file of its own"),
        "CRYPT" | "ARGON2" | "BCRYPT" | "BLF-CRYPT" => phc::convert(rest),
        _ => unsupported(&format!("{{{scheme}}}")),
    }
}

/// Spring: the name of an encoder in braces. PBKDF2 of version 5.8 has 310,000 rounds of SHA-256 and 16 bytes of salt before the hash,
/// in hexadecimal digits; earlier ones have SHA-1. scrypt states its parameters as one number: 65,536 times the logarithm of N, plus 256
/// times r, plus p.
pub(super) fn spring(text: &str) -> Conversion {
    let Some((encoder, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return if text.starts_with('$') {
            spring_scrypt(text).unwrap_or_else(|| phc::convert(text))
        } else {
            unsupported(text)
        };
    };
    match encoder {
        "bcrypt" | "argon2" | "argon2@SpringSecurity_v5_8" => phc::convert(rest),
        "scrypt" | "scrypt@SpringSecurity_v5_8" => spring_scrypt(rest).unwrap_or(Conversion::Unsupported(DAMAGED)),
        "pbkdf2@SpringSecurity_v5_8" => {
            let bytes = decode_hex(rest).filter(|bytes| bytes.len() == 16 + 32);
            Conversion::of(bytes.and_then(|bytes| pbkdf2(Digest::Sha256, "310000", &bytes[..16], &bytes[16..])))
        }
        "pbkdf2" => Conversion::Unsupported(PBKDF2_SHA1),
        "noop" => Conversion::Unsupported("clear text"),
        "ldap" => ldap(rest),
        "MD4" | "MD5" => Conversion::Unsupported("MD5"),
        "SHA-1" | "SHA-256" | "sha256" => Conversion::Unsupported("salted SHA"),
        _ => Conversion::Unsupported(UNKNOWN),
    }
}

/// Converts scrypt of Spring. None where the text has another form.
fn spring_scrypt(text: &str) -> Option<Conversion> {
    let ["", parameters, salt, hash] = text.split('$').collect::<Vec<_>>()[..] else { return None };
    let parameters = u32::from_str_radix(parameters, 16).ok()?;
    let (ln, r, p) = (parameters >> 16, (parameters >> 8) & 0xff, parameters & 0xff);
    let n = 1_u64.checked_shl(ln)?;
    let bytes = decode(salt).zip(decode(hash))?;
    Some(Conversion::of(scrypt(&n.to_string(), &r.to_string(), &p.to_string(), &bytes.0, &bytes.1)))
}

/// Magento: hexadecimal digits, salt, version. Version 3 states length, passes and memory of Argon2id, version 2 has those of
/// libsodium; both take the first 16 characters of the salt. A chained version is a hash of a hash.
pub(super) fn magento(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split(':').collect();
    let (hash, salt, version) = match fields.as_slice() {
        [hash, salt, version] => (decode_hex(hash), salt, *version),
        [_, _, _, _, ..] => return Conversion::Unsupported("chained hashes of Magento"),
        [_, _] => return Conversion::Unsupported("salted MD5"),
        _ if text.starts_with('$') => return phc::convert(text),
        _ => return unsupported(text),
    };
    let version = if version == "2" { "3_32_2_67108864" } else { version };
    let (length, passes, memory) = match version.split('_').collect::<Vec<_>>().as_slice() {
        ["0"] => return Conversion::Unsupported("salted MD5"),
        ["1"] => return Conversion::Unsupported("salted SHA"),
        ["3", length, passes, memory] => (length.parse::<usize>(), passes.parse::<u32>(), memory.parse::<u64>()),
        _ => return Conversion::Unsupported(UNKNOWN),
    };
    let (Some(hash), Ok(length), Ok(passes), Ok(memory)) = (hash, length, passes, memory) else {
        return Conversion::Unsupported(DAMAGED);
    };
    let Some(salt) = salt.as_bytes().get(..16).filter(|_| hash.len() == length) else {
        return Conversion::Unsupported(DAMAGED);
    };
    let kib = memory / 1_024;
    Conversion::Hash(format!("$argon2id$v=19$m={kib},t={passes},p=1${}${}", encode(salt), encode(&hash)))
}
