//! The formats of exports: the members with hashes and their owners, and the conversion of the hashes.

use clap::ValueEnum;
use serde_json::Value;

use super::conversion::{Candidate, Conversion, UNKNOWN};
use super::row::{Row, at, is_nothing};
use super::{frameworks, keycloak, phc, products};

/// The system that an export comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A realm export, a file of users, or rows of the table `credential`.
    Keycloak,
    /// An export of Auth0, with `passwordHash`.
    Auth0,
    /// JSON with bcrypt, Argon2 or PHC strings in `passwordHash`, `password_hash` or `custom_password_hash.hash.value`. Also named
    /// firebase, whose scrypt is not supported.
    #[value(alias = "firebase")]
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
    /// Hashes with the scheme in braces, of Spring's `DelegatingPasswordEncoder`.
    Spring,
    /// bcrypt, Argon2 and PHC strings: one on each line after its owner, or a table of users. Also named htpasswd, shadow, laravel, rails,
    /// wordpress and drupal.
    #[value(aliases = ["htpasswd", "shadow", "laravel", "rails", "wordpress", "drupal"])]
    Phc,
}

/// Members that identify a user of Firebase, whose hashes do not name their scheme.
const FIREBASE_ID: &str = "localId";
const FIREBASE_SALT: &str = "salt";

/// Maximum size of a hash, in bytes.
const MAX_HASH_BYTES: usize = 4_096;

impl Format {
    /// Returns the members that may have the hash. The first one that exists counts. A name with dots is a path.
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
                "encrypted_password",
                "password_digest",
                "crypted_password",
                "user_pass",
                "hash",
                "password",
                "pass",
                "fields.password",
            ],
        }
    }

    /// Returns the members that may identify the owner of a hash. The first one that exists counts.
    pub(super) fn join_members(self) -> &'static [&'static str] {
        match self {
            Self::Auth0 => &["email", "username", "_id.$oid", "_id"],
            Self::Kratos => &["credentials.password.identifiers.0", "traits.username", "traits.email", "id"],
            Self::Ldap => &["uid", "sAMAccountName", "mail", "cn"],
            Self::BetterAuth => &["email", "username", "accountId", "account_id", "userId", "user_id"],
            _ => &[
                "username",
                "user_name",
                "user_login",
                "login",
                "email",
                "user_email",
                "mail",
                "user_id",
                "fields.username",
                "fields.email",
                "localId",
                "name",
                "id",
            ],
        }
    }

    /// Returns the other members that a conversion needs.
    pub(super) fn other_members(self) -> &'static [&'static str] {
        match self {
            Self::Keycloak => &["credentialData", "credential_data", "type", "salt", "hashIterations", "algorithm"],
            Self::Ndjson | Self::Auth0 => &[FIREBASE_ID, FIREBASE_SALT],
            _ => &[],
        }
    }

    /// Converts the hashes of a row, from the first of `members` that has any. Empty for a row without a password.
    pub(super) fn hashes<'m>(self, row: &Row, mut members: impl Iterator<Item = &'m str>) -> Vec<Candidate> {
        if self == Self::Keycloak {
            return keycloak::convert(row)
                .map(|conversion| Candidate { conversion, is_same: false })
                .into_iter()
                .collect();
        }
        let is_firebase = at(row, FIREBASE_ID).is_some() && at(row, FIREBASE_SALT).is_some();
        let found = members.find_map(|path| {
            let texts = texts(at(row, path)?);
            (!texts.is_empty()).then_some(texts)
        });
        let hashes = found.into_iter().flatten().filter(|text| !is_disabled(text));
        let converted = hashes.map(|text| {
            let conversion = match is_firebase && !text.starts_with('$') {
                true => Err("scrypt of Firebase"),
                false => self.convert_text(text),
            };
            Candidate { is_same: conversion.as_deref() == Ok(text), conversion }
        });
        converted.collect()
    }

    fn convert_text(self, text: &str) -> Conversion {
        if text.len() > MAX_HASH_BYTES {
            return Err(UNKNOWN);
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
            Self::Spring => products::spring(text),
        }
    }
}

/// Returns the texts of a value, without those that mean "no hash".
fn texts(value: &Value) -> Vec<&str> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    values.iter().filter_map(Value::as_str).map(str::trim).filter(|text| !is_nothing(text)).collect()
}

/// Returns whether a text stands for an account without a password. Django and `/etc/shadow` write such texts, and LDAP servers write them
/// after a scheme.
fn is_disabled(text: &str) -> bool {
    let rest = text.strip_prefix('{').and_then(|text| text.split_once('}')).map_or(text, |(_, rest)| rest);
    matches!(rest, "*" | "*NP*" | "*LK*") || rest.starts_with('!')
}
