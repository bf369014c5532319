//! Hashes of Django, Werkzeug and Better Auth, whose salts are texts.

use super::conversion::{
    Conversion, DAMAGED, PBKDF2_SHA1, PBKDF2_SHA256, PBKDF2_SHA512, UNKNOWN, decode, decode_hex, pbkdf2, scrypt,
    unsupported,
};
use super::phc;

/// Django: the name of the scheme, then its parts with `$` between.
pub(super) fn django(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split('$').collect();
    match fields.as_slice() {
        ["", ..] => phc::convert(text),
        ["pbkdf2_sha1", ..] => Err(PBKDF2_SHA1),
        ["pbkdf2_sha256", rounds, salt, hash] => pbkdf2(PBKDF2_SHA256, rounds, salt.as_bytes(), &decode(hash)?),
        ["pbkdf2_sha512", rounds, salt, hash] => pbkdf2(PBKDF2_SHA512, rounds, salt.as_bytes(), &decode(hash)?),
        [name, _, _, _] if name.starts_with("pbkdf2_") => Err(UNKNOWN),
        ["scrypt", n, salt, r, p, hash] => scrypt(n, r, p, salt.as_bytes(), &decode(hash)?),
        ["argon2", ..] => phc::convert(&text["argon2".len()..]),
        ["bcrypt", "", ..] => phc::convert(&text["bcrypt$".len()..]),
        ["bcrypt_sha256", ..] => Err("bcrypt of SHA-256"),
        ["md5" | "unsalted_md5", ..] => Err("MD5"),
        ["sha1" | "unsalted_sha1", ..] => Err("SHA-1"),
        ["pbkdf2_sha256" | "pbkdf2_sha512" | "scrypt" | "bcrypt", ..] => Err(DAMAGED),
        _ => unsupported(text),
    }
}

/// Werkzeug: the method with `:` between its parts, the salt as text, the hash in hexadecimal digits.
pub(super) fn werkzeug(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split('$').collect();
    let [method, salt, hash] = fields.as_slice() else { return phc::convert(text) };
    let (salt, hash) = (salt.as_bytes(), decode_hex(hash));
    match method.split(':').collect::<Vec<_>>().as_slice() {
        ["scrypt", n, r, p] => scrypt(n, r, p, salt, &hash?),
        ["pbkdf2", "sha1", ..] => Err(PBKDF2_SHA1),
        ["pbkdf2", "sha256", rounds] => pbkdf2(PBKDF2_SHA256, rounds, salt, &hash?),
        ["pbkdf2", "sha512", rounds] => pbkdf2(PBKDF2_SHA512, rounds, salt, &hash?),
        ["plain"] => Err("clear text"),
        ["md5"] => Err("salted MD5"),
        ["sha1" | "sha256" | "sha512"] => Err("salted SHA"),
        _ => Err(UNKNOWN),
    }
}

/// Better Auth: the salt as text, and scrypt with N 16384, r 16, p 1 in hexadecimal digits. Better Auth normalises passwords with NFKC, so
/// that a password that NFKC changes does not match.
pub(super) fn better_auth(text: &str) -> Conversion {
    let Some((salt, hash)) = text.split_once(':') else { return phc::convert(text) };
    scrypt("16384", "16", "1", salt.as_bytes(), &decode_hex(hash)?)
}
