//! The settings of encryption: of the listeners, and of the way to a service elsewhere.

use std::collections::HashSet;
use std::path::PathBuf;

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_host::value::unless_empty;
use config::{Config, File, FileFormat};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// What a listener encrypts with; in plain text when there is no certificate.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate and what leads from it to an authority, in PEM.
    #[serde(deserialize_with = "unless_empty")]
    pub certificate: Option<PathBuf>,
    /// Its key, in PEM.
    #[serde(deserialize_with = "unless_empty")]
    pub key: Option<PathBuf>,
    /// The authorities of clients' certificates, in PEM; none when clients are not asked for one.
    #[serde(deserialize_with = "unless_empty")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients must show one.
    pub client_auth: ClientAuth,
    /// Whom certificates stand for. Only gRPC has it.
    #[serde(default, deserialize_with = "identities")]
    pub identities: Vec<IdentitySettings>,
}

/// Whether clients must show a certificate, once they are asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// One that is shown must be good.
    #[default]
    Optional,
    /// Nobody gets in without.
    Required,
}

/// Whom a certificate stands for.
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
    /// The user of the entry.
    pub fn certificate_user(&self) -> CertificateUser {
        CertificateUser { organisation: self.organisation.clone(), username: self.user.clone() }
    }
}

/// How a service elsewhere is reached: by the stand-alone gateway, and by telemetry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// The authorities of the service's certificate, in PEM; the public ones when there are none.
    #[serde(deserialize_with = "unless_empty")]
    pub ca: Option<PathBuf>,
    /// Our own certificate, in PEM; none when the service does not ask for one.
    #[serde(deserialize_with = "unless_empty")]
    pub certificate: Option<PathBuf>,
    /// Its key, in PEM.
    #[serde(deserialize_with = "unless_empty")]
    pub key: Option<PathBuf>,
    /// May calls go to another machine in plain text?
    pub allow_plain_text: bool,
}

impl TlsSettings {
    /// What does not fit together, as (key, what it must be).
    pub fn problems(&self, section: &str) -> Vec<(String, String)> {
        let mut found = pair(section, self.certificate.is_some(), self.key.is_some());
        let mut add = |name: &str, what: &str| found.push((format!("{section}.{name}"), what.to_owned()));
        if self.client_ca.is_some() && self.certificate.is_none() {
            add("client_ca", &format!("needs {section}.certificate: clients show theirs within TLS only"));
        }
        if self.client_auth == ClientAuth::Required && self.client_ca.is_none() {
            add("client_auth", &format!("needs {section}.client_ca: without it clients are not asked"));
        }
        if !self.identities.is_empty() && self.client_ca.is_none() {
            add("identities", &format!("needs {section}.client_ca: without it nobody shows a certificate"));
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
    /// What does not fit together, as (key, what it must be).
    pub fn problems(&self, section: &str) -> Vec<(String, String)> {
        pair(section, self.certificate.is_some(), self.key.is_some())
    }
}

/// A certificate and its key come together.
fn pair(section: &str, certificate: bool, key: bool) -> Vec<(String, String)> {
    let (there, missing) = match (certificate, key) {
        (true, false) => ("certificate", "key"),
        (false, true) => ("key", "certificate"),
        _ => return Vec::new(),
    };
    vec![(format!("{section}.{there}"), format!("needs {section}.{missing}"))]
}

/// A list, or the text of one as it would stand in a file: variables and flags are texts.
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
    let source = File::from_str(&format!("list = {text}"), FileFormat::Toml);
    let config = Config::builder().add_source(source).build().map_err(D::Error::custom)?;
    config.get("list").map_err(D::Error::custom)
}
