//! Credentials of Keycloak: in users of a realm export, or rows of the table `credential`.

use serde_json::{Map, Value};

use super::conversion::{
    Conversion, DAMAGED, PBKDF2_SHA1, PBKDF2_SHA256, PBKDF2_SHA512, UNKNOWN, decode, encode, pbkdf2,
};
use super::phc;
use super::row::is_nothing;

/// Returns the hash of a user or of a row of `credential`. None without a password.
pub(super) fn convert(record: &Map<String, Value>) -> Option<Conversion> {
    match record.get("credentials") {
        Some(Value::Array(credentials)) => {
            credentials.iter().filter_map(Value::as_object).filter(|one| is_password(one)).find_map(credential)
        }
        _ if is_password(record) => credential(record),
        _ => None,
    }
}

fn is_password(credential: &Map<String, Value>) -> bool {
    text(credential, "type").is_none_or(|kind| kind == "password")
}

fn credential(credential: &Map<String, Value>) -> Option<Conversion> {
    let part = |names: [&str; 2]| names.into_iter().find_map(|name| document(credential.get(name)?));
    let (secret, data) = match (part(["secretData", "secret_data"]), part(["credentialData", "credential_data"])) {
        (Some(secret), Some(data)) => (secret, data),
        // Before Keycloak 8, these members were in the credential itself.
        _ if credential.contains_key("hashedSaltedValue") => (credential.clone(), credential.clone()),
        (None, None) => return None,
        // The row has parameters of a hash, and no hash.
        (None, Some(_)) if ["secretData", "secret_data"].iter().all(|name| lacks(credential, name)) => return None,
        _ => return Some(Err(DAMAGED)),
    };
    let value = text(&secret, "value").or_else(|| text(&secret, "hashedSaltedValue"));
    let value = value.filter(|text| !is_nothing(text))?;
    Some(if value.starts_with("$2") { phc::convert(value) } else { convert_hash(value, &secret, &data) })
}

/// Converts a hash in base64, with its salt and its parameters.
fn convert_hash(hash: &str, secret: &Map<String, Value>, data: &Map<String, Value>) -> Conversion {
    let (salt, hash) = (decode(text(secret, "salt").unwrap_or_default())?, decode(hash)?);
    let rounds = data.get("hashIterations").and_then(Value::as_u64).unwrap_or_default().to_string();
    match text(data, "algorithm") {
        Some(name @ (PBKDF2_SHA256 | PBKDF2_SHA512)) => pbkdf2(name, &rounds, &salt, &hash),
        Some("pbkdf2") => Err(PBKDF2_SHA1),
        Some("argon2") => argon2(data, &rounds, &salt, &hash).ok_or(DAMAGED),
        _ => Err(UNKNOWN),
    }
}

fn text<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    object.get(name).and_then(Value::as_str)
}

/// Returns whether a member is missing, or has a value that means "no hash".
fn lacks(credential: &Map<String, Value>, name: &str) -> bool {
    match credential.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => is_nothing(text.trim()),
        Some(_) => false,
    }
}

/// Converts Argon2. Its parameters are lists of one text.
fn argon2(data: &Map<String, Value>, rounds: &str, salt: &[u8], hash: &[u8]) -> Option<String> {
    let parameters = data.get("additionalParameters").and_then(Value::as_object)?;
    let text = |name: &str| match parameters.get(name)? {
        Value::Array(list) => list.first().and_then(Value::as_str),
        other => other.as_str(),
    };
    let number = |name: &str| text(name).and_then(|text| text.parse::<u32>().ok());
    let name = match text("type").unwrap_or("id") {
        "id" => "argon2id",
        "i" => "argon2i",
        "d" => "argon2d",
        _ => return None,
    };
    let version = match text("version").unwrap_or("1.3") {
        "1.3" => 19,
        "1.0" => 16,
        _ => return None,
    };
    let (memory, lanes) = (number("memory")?, number("parallelism")?);
    Some(format!("${name}$v={version}$m={memory},t={rounds},p={lanes}${}${}", encode(salt), encode(hash)))
}

/// Returns a document, which is a text with JSON in exports, and may be an object in rows.
fn document(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}
