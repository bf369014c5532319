//! Settings of encryption, for listeners and for connections to other services.

use std::collections::HashSet;
use std::path::PathBuf;

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_host::value::unless_empty;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// TLS of a listener. Without a certificate it speaks plain text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate and the certificates that lead from it to an authority, in PEM.
    #[serde(deserialize_with = "unless_empty")]
    pub certificate: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[serde(deserialize_with = "unless_empty")]
    pub key: Option<PathBuf>,
    /// The authorities of client certificates, in PEM. None: clients are not asked for a certificate.
    #[serde(deserialize_with = "unless_empty")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients must present a certificate.
    pub client_auth: ClientAuth,
    /// Users that client certificates identify. Only gRPC has them.
    #[serde(default, deserialize_with = "identities")]
    pub identities: Vec<IdentitySettings>,
}

/// Whether clients must present a certificate when they are asked for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A client may connect without a certificate. A certificate that it presents must be valid.
    #[default]
    Optional,
    /// A client without a valid certificate is refused.
    Required,
}

/// The user that a certificate identifies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentitySettings {
    /// A URI or DNS name of the certificate, or `CN=` and its common name.
    pub subject: String,
    /// The name of the organisation.
    pub organisation: String,
    /// The name of the user.
    pub user: String,
}

impl IdentitySettings {
    /// Returns the user of the entry.
    pub fn certificate_user(&self) -> CertificateUser {
        CertificateUser { organisation: self.organisation.clone(), username: self.user.clone() }
    }
}

/// TLS of connections to another service, for the stand-alone gateway and for telemetry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// The authorities of the service's certificate, in PEM. None: the public authorities.
    #[serde(deserialize_with = "unless_empty")]
    pub ca: Option<PathBuf>,
    /// The certificate of this process, in PEM. None if the service does not ask for one.
    #[serde(deserialize_with = "unless_empty")]
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[serde(deserialize_with = "unless_empty")]
    pub key: Option<PathBuf>,
    /// Whether calls may go to another machine in plain text.
    pub allow_plain_text: bool,
}

impl TlsSettings {
    /// Returns settings that contradict each other, as (key, requirement).
    pub fn problems(&self, section: &str) -> Vec<(String, String)> {
        let mut found = pair(section, self.certificate.is_some(), self.key.is_some());
        let mut add = |name: &str, what: &str| found.push((format!("{section}.{name}"), what.to_owned()));
        if self.client_ca.is_some() && self.certificate.is_none() {
            add("client_ca", &format!("needs {section}.certificate: clients present theirs only within TLS"));
        }
        if self.client_auth == ClientAuth::Required && self.client_ca.is_none() {
            add("client_auth", &format!("needs {section}.client_ca: without it clients are not asked"));
        }
        if !self.identities.is_empty() && self.client_ca.is_none() {
            add("identities", &format!("needs {section}.client_ca: without it no client presents a certificate"));
        }
        let empty = |one: &IdentitySettings| {
            let subject = one.subject.strip_prefix("CN=").unwrap_or(&one.subject);
            [subject, &one.organisation, &one.user].iter().any(|text| text.is_empty())
        };
        if self.identities.iter().any(empty) {
            add("identities", "must have a subject, an organisation and a user in each entry");
        }
        let mut seen = HashSet::new();
        if !self.identities.iter().all(|one| seen.insert(one.subject.to_ascii_lowercase())) {
            add("identities", "must name each subject once");
        }
        found
    }
}

impl UpstreamSettings {
    /// Returns settings that contradict each other, as (key, requirement).
    pub fn problems(&self, section: &str) -> Vec<(String, String)> {
        pair(section, self.certificate.is_some(), self.key.is_some())
    }
}

/// Checks that a certificate and its key are both set or both missing.
fn pair(section: &str, certificate: bool, key: bool) -> Vec<(String, String)> {
    let (there, missing) = match (certificate, key) {
        (true, false) => ("certificate", "key"),
        (false, true) => ("key", "certificate"),
        _ => return Vec::new(),
    };
    vec![(format!("{section}.{there}"), format!("needs {section}.{missing}"))]
}

/// Reads a list, or a text with the list as it would stand in a file: values of variables and flags are texts.
fn identities<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IdentitySettings>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Text(String),
        Identities(Vec<IdentitySettings>),
    }
    let text = match List::deserialize(from)? {
        List::Identities(list) => return Ok(list),
        List::Text(text) if text.trim().is_empty() => return Ok(Vec::new()),
        List::Text(text) => text,
    };
    #[derive(Deserialize)]
    struct Setting {
        list: Vec<IdentitySettings>,
    }
    toml::from_str(&format!("list = {text}")).map(|setting: Setting| setting.list).map_err(D::Error::custom)
}
