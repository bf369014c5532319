//! Users that are identified by the certificates of clients.

use std::collections::HashMap;
use std::sync::Arc;

use access_tokens_domain::certificate_user::CertificateUser;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::names::names;
use crate::tls::IdentitySettings;

/// The identity of a client. Each call that comes over its connection carries it.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The user that the certificate identifies.
    pub user: Option<Arc<CertificateUser>>,
}

/// Users by the names in certificates.
#[derive(Debug, Default)]
pub(super) struct Identities(HashMap<String, Arc<CertificateUser>>);

impl Identities {
    pub(super) fn new(settings: &[IdentitySettings]) -> Self {
        let user = |one: &IdentitySettings| (comparable(&one.subject), Arc::new(one.certificate_user()));
        Self(settings.iter().map(user).collect())
    }

    /// Returns the user of a certificate that the handshake has verified: the user of the first name that has one.
    pub(super) fn of(&self, certificate: &CertificateDer<'_>) -> Option<Arc<CertificateUser>> {
        if self.0.is_empty() {
            return None;
        }
        names(certificate).iter().find_map(|name| self.0.get(&comparable(name)).cloned())
    }
}

/// Returns a name in the form in which names are compared. Hosts are case-insensitive; URIs and common names are not.
fn comparable(name: &str) -> String {
    if name.contains([':', '=']) { name.to_owned() } else { name.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(uri: &str, host: &str, common: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names =
            vec![SanType::DnsName(host.try_into().expect("a host")), SanType::URI(uri.try_into().expect("a URI"))];
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").into()
    }

    fn user(subjects: &[&str], certificate: &CertificateDer<'_>) -> Option<String> {
        let of = |subject: &&str| IdentitySettings {
            subject: (*subject).to_owned(),
            organisation: "DEMO".to_owned(),
            user: (*subject).to_owned(),
        };
        let identities = Identities::new(&subjects.iter().map(of).collect::<Vec<_>>());
        identities.of(certificate).map(|user| user.username.clone())
    }

    #[test]
    fn the_first_name_that_is_known_counts() {
        let certificate = certificate("spiffe://example.com/Till", "Till.example.com", "till");
        for (subjects, expected) in [
            (&["CN=till", "till.example.com", "spiffe://example.com/Till"][..], Some("spiffe://example.com/Till")),
            (&["CN=till", "TILL.example.com"], Some("TILL.example.com")),
            (&["CN=till"], Some("CN=till")),
            // A common name is not a host, and a part of a name does not match.
            (&["till", "CN=Till", "spiffe://example.com/till", "spiffe://example.com/", "example.com"], None),
            (&[], None),
        ] {
            assert_eq!(user(subjects, &certificate).as_deref(), expected, "{subjects:?}");
        }
    }
}
