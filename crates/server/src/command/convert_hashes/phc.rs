//! Converts hashes that begin with `$` and a scheme: PHC strings, those of Kratos and passlib, and bcrypt. Exports of Auth0, Odoo, Zitadel
//! and others have such hashes.

use super::conversion::{
    Conversion, DAMAGED, PBKDF2_SHA1, PBKDF2_SHA256, PBKDF2_SHA512, decode, decode_passlib, pbkdf2, scrypt, unsupported,
};

/// Converts a hash that begins with `$`. Any other text is not supported.
pub(super) fn convert(text: &str) -> Conversion {
    let fields: Vec<&str> = text.split('$').collect();
    match fields.as_slice() {
        ["", "2a" | "2b" | "2y", ..] => Ok(text.to_owned()),
        ["", name, rest @ ..] if name.starts_with("argon2") => Ok(without_padding(name, rest)),
        ["", "scrypt", parameters, salt, hash] => kratos_scrypt(parameters, salt, hash),
        ["", "pbkdf2", ..] => Err(PBKDF2_SHA1),
        ["", name @ (PBKDF2_SHA256 | PBKDF2_SHA512), rounds, salt, hash] => match rounds.contains('=') {
            true => Ok(without_padding(name, &[rounds, salt, hash])),
            false => passlib(name, rounds, salt, hash),
        },
        _ => unsupported(text),
    }
}

/// Converts PBKDF2 of passlib, which has the rounds without a name, and `.` for `+`.
pub(super) fn passlib(name: &str, rounds: &str, salt: &str, hash: &str) -> Conversion {
    pbkdf2(name, rounds, &decode_passlib(salt)?, &decode_passlib(hash)?)
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
            .ok_or(DAMAGED)
    };
    let (ln, r, p) = (number("ln")?, number("r")?, number("p")?);
    if ln < 64 {
        return Ok(without_padding("scrypt", &[parameters, salt, hash]));
    }
    scrypt(&ln.to_string(), &r.to_string(), &p.to_string(), &decode(salt)?, &decode(hash)?)
}
