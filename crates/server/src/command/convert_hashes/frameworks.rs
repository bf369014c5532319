//! Hashes of Django, Werkzeug and Better Auth, whose salts are texts.

use super::conversion::{
    Conversion, DAMAGED, Digest, PBKDF2_SHA1, UNKNOWN, decode, decode_hex, pbkdf2, scrypt, unsupported,
};
use super::phc;

/// Django: the name of the scheme, then its parts with `$` between.
pub(super) fn django(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split('$').collect();
    match fields.as_slice() {
        ["", ..] => phc::convert(text),
        ["pbkdf2_sha1", ..] => Conversion::Unsupported(PBKDF2_SHA1),
        [name, rounds, salt, hash] if name.starts_with("pbkdf2_") => {
            let Some(digest) = Digest::from_name(&name["pbkdf2_".len()..]) else {
                return Conversion::Unsupported(UNKNOWN);
            };
            Conversion::of(decode(hash).and_then(|hash| pbkdf2(digest, rounds, salt.as_bytes(), &hash)))
        }
        ["scrypt", n, salt, r, p, hash] => {
            Conversion::of(decode(hash).and_then(|hash| scrypt(n, r, p, salt.as_bytes(), &hash)))
        }
        ["argon2", ..] => phc::convert(&text["argon2".len()..]),
        ["bcrypt", "", ..] => phc::convert(&text["bcrypt$".len()..]),
        ["bcrypt_sha256", ..] => Conversion::Unsupported("bcrypt of SHA-256"),
        ["md5" | "unsalted_md5", ..] => Conversion::Unsupported("MD5"),
        ["sha1" | "unsalted_sha1", ..] => Conversion::Unsupported("SHA-1"),
        ["pbkdf2_sha256" | "pbkdf2_sha512" | "scrypt" | "bcrypt", ..] => Conversion::Unsupported(DAMAGED),
        _ => unsupported(text),
    }
}

/// Werkzeug: the method with `:` between its parts, the salt as text, the hash in hexadecimal digits.
pub(super) fn werkzeug(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split('$').collect();
    let [method, salt, hash] = fields.as_slice() else {
        return if text.starts_with('$') { phc::convert(text) } else { unsupported(text) };
    };
    let hash = decode_hex(hash);
    match method.split(':').collect::<Vec<_>>().as_slice() {
        ["scrypt", n, r, p] => Conversion::of(hash.and_then(|hash| scrypt(n, r, p, salt.as_bytes(), &hash))),
        ["pbkdf2", "sha1", ..] => Conversion::Unsupported(PBKDF2_SHA1),
        ["pbkdf2", name, rounds] => {
            let Some(digest) = Digest::from_name(name) else { return Conversion::Unsupported(UNKNOWN) };
            Conversion::of(hash.and_then(|hash| pbkdf2(digest, rounds, salt.as_bytes(), &hash)))
        }
        ["plain"] => Conversion::Unsupported("clear text"),
        ["md5"] => Conversion::Unsupported("salted MD5"),
        ["sha1" | "sha256" | "sha512"] => Conversion::Unsupported("salted SHA"),
        _ => Conversion::Unsupported(UNKNOWN),
    }
}

/// Better Auth: the salt as text, and scrypt with N 16384, r 16, p 1 in hexadecimal digits. Better Auth normalises passwords with NFKC, so
/// that a password that NFKC changes does not match.
pub(super) fn better_auth(text: &str) -> Conversion {
    let Some((salt, hash)) = text.split_once(':') else {
        return if text.starts_with('$') { phc::convert(text) } else { unsupported(text) };
    };
    Conversion::of(decode_hex(hash).and_then(|hash| scrypt("16384", "16", "1", salt.as_bytes(), &hash)))
}
