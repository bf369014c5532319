//! Converts hashes that begin with `$` and a scheme: PHC strings, those of Kratos and passlib, and bcrypt. Exports of Auth0, Odoo, Zitadel
//! and others have such hashes.

use super::conversion::{
    Conversion, DAMAGED, Digest, PBKDF2_SHA1, decode, decode_passlib, pbkdf2, scrypt, unsupported,
};

/// Converts a hash that begins with `$`.
pub(super) fn convert(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split('$').collect();
    match fields.as_slice() {
        ["", "2a" | "2b" | "2y", ..] => Conversion::Hash(text.to_owned()),
        ["", name, rest @ ..] if name.starts_with("argon2") => Conversion::Hash(without_padding(name, rest)),
        ["", "scrypt", parameters, salt, hash] => kratos_scrypt(parameters, salt, hash),
        ["", "pbkdf2", ..] => Conversion::Unsupported(PBKDF2_SHA1),
        ["", name, rounds, salt, hash] if name.starts_with("pbkdf2-") => {
            let Some(digest) = Digest::from_name(&name["pbkdf2-".len()..]) else { return unsupported(text) };
            match rounds.contains('=') {
                true => Conversion::Hash(without_padding(name, &[rounds, salt, hash])),
                false => passlib(digest, rounds, salt, hash),
            }
        }
        _ => unsupported(text),
    }
}

/// Converts PBKDF2 of passlib, which has the rounds without a name, and `.` for `+`.
pub(super) fn passlib(digest: Digest, rounds: &str, salt: &str, hash: &str) -> Conversion {
    let bytes = decode_passlib(salt).zip(decode_passlib(hash));
    Conversion::of(bytes.and_then(|(salt, hash)| pbkdf2(digest, rounds, &salt, &hash)))
}

/// Returns a PHC string without the padding of base64.
fn without_padding(name: &str, fields: &[&str]) -> String {
    let fields = fields.iter().map(|field| format!("${}", field.trim_end_matches('=')));
    format!("${name}{}", fields.collect::<String>())
}

/// Converts scrypt. Kratos writes N itself as `ln`, others write its logarithm.
fn kratos_scrypt(parameters: &str, salt: &str, hash: &str) -> Conversion {
    let number = |name: &str| {
        parameters
            .split(',')
            .find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
            .and_then(|n| n.parse::<u64>().ok())
    };
    let (Some(ln), Some(r), Some(p)) = (number("ln"), number("r"), number("p")) else {
        return Conversion::Unsupported(DAMAGED);
    };
    if ln < 64 {
        return Conversion::Hash(without_padding("scrypt", &[parameters, salt, hash]));
    }
    let bytes = decode(salt).zip(decode(hash));
    Conversion::of(bytes.and_then(|(salt, hash)| scrypt(&ln.to_string(), &r.to_string(), &p.to_string(), &salt, &hash)))
}
