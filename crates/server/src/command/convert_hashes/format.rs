//! The formats: where an export has its hashes and what they belong to, and how they are converted.

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::conversion::Conversion;
use super::{frameworks, keycloak, phc, products, table};

/// The system that an export comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A realm export, a file of users, or rows of the table `credential`.
    Keycloak,
    /// An export of Auth0, with `passwordHash`.
    Auth0,
    /// JSON with bcrypt, Argon2 or PHC strings in `passwordHash`, `password_hash` or `custom_password_hash.hash.value`.
    Ndjson,
    /// Identities of Ory Kratos.
    Kratos,
    /// Hashes of passlib: Odoo's `res_users`, Zitadel, and others.
    Passlib,
    /// Rows of Django's `auth_user`, or what `dumpdata` writes.
    Django,
    /// Hashes of Werkzeug, as Flask applications have them.
    Werkzeug,
    /// ASP.NET Identity, version 3.
    Aspnet,
    /// LDIF, or rows with `userPassword`.
    Ldap,
    /// Rows of Magento's `customer_entity`.
    Magento,
    /// Rows of `account` of Better Auth.
    BetterAuth,
    /// One hash a line, after what it belongs to.
    Phc,
}

/// Members of an object, or columns of a table.
pub(super) type Row = Map<String, Value>;

/// Longest text that is taken as a hash, in bytes.
const MAX_HASH_BYTES: usize = 4_096;

impl Format {
    /// Where the hash may be, the first of these that is there. A name with dots is a path.
    pub(super) fn hash_members(self) -> &'static [&'static str] {
        match self {
            Self::Keycloak => &["credentials", "secretData", "secret_data", "hashedSaltedValue"],
            Self::Kratos => &["credentials.password.config.hashed_password", "hashed_password"],
            Self::Ldap => &["userPassword", "password", "hash"],
            _ => &[
                "passwordHash",
                "password_hash",
                "custom_password_hash.hash.value",
                "pass_code_hash",
                "hashed_password",
                "hash",
                "password",
                "fields.password",
            ],
        }
    }

    /// What a hash belongs to, the first of these that is there.
    pub(super) fn join_members(self) -> &'static [&'static str] {
        match self {
            Self::Auth0 => &["email", "username", "_id.$oid", "_id"],
            Self::Kratos => &["credentials.password.identifiers.0", "traits.username", "traits.email", "id"],
            Self::Ldap => &["uid", "mail", "cn"],
            Self::BetterAuth => &["email", "username", "accountId", "account_id", "userId", "user_id"],
            _ => {
                &["username", "user_name", "login", "email", "mail", "user_id", "fields.username", "fields.email", "id"]
            }
        }
    }

    /// Members besides those that a conversion needs.
    pub(super) fn other_members(self) -> &'static [&'static str] {
        match self {
            Self::Keycloak => &["credentialData", "credential_data", "type", "salt", "hashIterations", "algorithm"],
            _ => &[],
        }
    }

    /// Converts the hash of a row. `None`: it has none.
    pub(super) fn convert(self, row: &Row) -> Option<Conversion> {
        if self == Self::Keycloak {
            return keycloak::convert(row);
        }
        let text = self.original(row)?;
        // Django and others write this where a user cannot log in.
        let is_none = text == "*" || text.starts_with('!');
        (!is_none).then(|| self.convert_text(text))
    }

    /// The text of the hash of a row, as the export has it. `None`: nothing is there, or what stands for nothing.
    pub(super) fn original(self, row: &Row) -> Option<&str> {
        let mut members = [table::HASH].into_iter().chain(self.hash_members().iter().copied());
        members.find_map(|path| at(row, path)?.as_str().map(str::trim).filter(|text| !is_nothing(text)))
    }

    fn convert_text(self, text: &str) -> Conversion {
        if text.len() > MAX_HASH_BYTES {
            return Conversion::Unsupported(super::conversion::UNKNOWN);
        }
        match self {
            Self::Keycloak | Self::Auth0 | Self::Ndjson | Self::Kratos | Self::Passlib | Self::Phc => {
                phc::convert(text)
            }
            Self::Django => frameworks::django(text),
            Self::Werkzeug => frameworks::werkzeug(text),
            Self::BetterAuth => frameworks::better_auth(text),
            Self::Aspnet => products::aspnet(text),
            Self::Ldap => products::ldap(text),
            Self::Magento => products::magento(text),
        }
    }
}

/// Whether a text stands for no hash: databases write NULL or `\N` into a text file, and some put quotes around nothing.
pub(super) fn is_nothing(text: &str) -> bool {
    ["", "\"\"", "''", "\\N"].contains(&text) || text.eq_ignore_ascii_case("null")
}

/// The member at a path with dots, or of that very name, without regard to upper and lower case of ASCII letters.
pub(super) fn at<'r>(row: &'r Row, path: &str) -> Option<&'r Value> {
    let named = |object: &'r Row, name: &str| {
        object
            .get(name)
            .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    };
    let present = |value: &&Value| !value.is_null();
    if let Some(value) = named(row, path) {
        return Some(value).filter(present);
    }
    let (first, rest) = path.split_once('.')?;
    let mut value = named(row, first)?;
    for name in rest.split('.') {
        value = match value {
            Value::Object(object) => named(object, name)?,
            Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value).filter(present)
}
