//! Files with certificates, and their validity.

use std::path::Path;
use std::sync::Arc;

use access_tokens_domain::time::Timestamp;
use access_tokens_net::tls::{self, TlsSettings, UpstreamSettings};

/// A file with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// The part of the settings that names it: a listener, or a service that is called.
    pub(super) place: &'static str,
    pub(super) role: Role,
    pub(super) path: Arc<Path>,
}

/// Purpose of the certificates in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Presented to clients.
    Server,
    /// Presented to a service that is called.
    Client,
    /// Verifies certificates of others.
    Authority,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Authority => "authority",
        }
    }
}

impl CertificateFile {
    /// Returns the files of a listener.
    pub fn of_listener(place: &'static str, tls: &TlsSettings) -> Vec<Self> {
        let files = [(Role::Server, &tls.certificate), (Role::Authority, &tls.client_ca)];
        files.into_iter().filter_map(|(role, path)| Self::new(place, role, path.as_deref())).collect()
    }

    /// Returns the files for calls of another service.
    pub fn of_client(place: &'static str, client: &UpstreamSettings) -> Vec<Self> {
        let files = [(Role::Client, &client.certificate), (Role::Authority, &client.ca)];
        files.into_iter().filter_map(|(role, path)| Self::new(place, role, path.as_deref())).collect()
    }

    /// Returns the place, the role and the path of the file.
    pub fn describe(&self) -> (&'static str, &'static str, &Path) {
        (self.place, self.role.name(), &self.path)
    }

    fn new(place: &'static str, role: Role, path: Option<&Path>) -> Option<Self> {
        Some(Self { place, role, path: path?.into() })
    }

    /// Returns the start and the end of the validity of the file. None if it cannot be read.
    ///
    /// A chain is valid until its first certificate expires. Authorities are valid until the last one expires: an old
    /// one may stay in the file together with a new one.
    pub(super) fn validity(&self) -> Option<(Timestamp, Timestamp)> {
        let validities = tls::validities(&self.path).ok()?.into_iter();
        if self.role == Role::Authority {
            validities.max_by_key(|(_, until)| *until)
        } else {
            validities.min_by_key(|(_, until)| *until)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// Returns a certificate in PEM that is valid between the first of January of two years.
    pub(in crate::metrics) fn certificate(from: i32, until: i32, authority: bool) -> String {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").pem()
    }

    /// A file with one certificate, of a listener.
    pub(in crate::metrics) fn file(directory: &Path) -> CertificateFile {
        let path = directory.join("certificate.pem");
        std::fs::write(&path, certificate(2026, 2030, false)).expect("written");
        CertificateFile::new("grpc", Role::Server, Some(&path)).expect("a file")
    }

    #[test]
    fn a_chain_ends_with_its_first_and_authorities_with_their_last() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("several.pem");
        let both = certificate(2026, 2040, true) + &certificate(2025, 2030, true);
        std::fs::write(&path, both).expect("written");
        for (role, from, until) in
            [(Role::Server, 2025, 2030), (Role::Client, 2025, 2030), (Role::Authority, 2026, 2040)]
        {
            let file = CertificateFile::new("http", role, Some(&path)).expect("a file");
            let (found_from, found_until) = file.validity().expect("a validity");
            let year = |time: Timestamp| time.format("%Y").to_string();
            assert_eq!((year(found_from), year(found_until)), (from.to_string(), until.to_string()), "{role:?}");
        }
    }
}
