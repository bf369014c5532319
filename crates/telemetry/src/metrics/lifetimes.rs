//! How long certificates are good, and how old the key is that writes.

use std::path::Path;
use std::sync::Arc;

use access_tokens_domain::time::Timestamp;
use access_tokens_net::tls::{self, TlsSettings, UpstreamSettings};
use opentelemetry::KeyValue;

use super::Metrics;

/// A file with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// The part of the settings that names it: a listener, or a service that is called.
    place: &'static str,
    role: Role,
    path: Arc<Path>,
}

/// What the certificates of a file are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Shown to clients.
    Server,
    /// Shown to a service that is called.
    Client,
    /// Proves certificates of others.
    Authority,
}

impl Role {
    fn name(self) -> &'static str {
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

    /// Returns from when until when the file is of use. None while it cannot be read.
    ///
    /// A chain ends with its first certificate that ends. Authorities serve until the last one has ended: an old one may stay in
    /// the file beside a new one.
    fn validity(&self) -> Option<(Timestamp, Timestamp)> {
        let validities = tls::validities(&self.path).ok()?.into_iter();
        if self.role == Role::Authority {
            validities.max_by_key(|(_, until)| *until)
        } else {
            validities.min_by_key(|(_, until)| *until)
        }
    }
}

impl Metrics {
    /// Reads from when until when these certificates are good, at each reading of the metrics.
    pub fn watch_certificates(&self, files: Vec<CertificateFile>) {
        let files: Arc<[CertificateFile]> = files.into();
        let gauge = |name, described, of: fn((Timestamp, Timestamp)) -> Timestamp| {
            let files = Arc::clone(&files);
            let gauge = self.meter.i64_observable_gauge(name).with_unit("s").with_description(described);
            let gauge = gauge.with_callback(move |seen| {
                for file in files.iter() {
                    let Some(validity) = file.validity() else { continue };
                    let labels = [KeyValue::new("listener", file.place), KeyValue::new("role", file.role.name())];
                    seen.observe(of(validity).timestamp(), &labels);
                }
            });
            gauge.build();
        };
        let described = "End of the certificates in a file, in seconds since 1970";
        gauge("access_tokens.certificate.expiry.timestamp", described, |(_, until)| until);
        let described = "Begin of the certificates in a file, in seconds since 1970";
        gauge("access_tokens.certificate.start.timestamp", described, |(from, _)| from);
    }

    /// Looks up when the key that writes was made, at each reading of the metrics.
    pub fn watch_key(&self, made: impl Fn() -> Option<Timestamp> + Send + Sync + 'static) {
        let gauge = self.meter.i64_observable_gauge("access_tokens.key.created.timestamp").with_unit("s");
        let gauge = gauge.with_description("When the key that writes was made, in seconds since 1970");
        gauge.with_callback(move |seen| made().iter().for_each(|made| seen.observe(made.timestamp(), &[]))).build();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A certificate in PEM that is good between the first of January of two years.
    fn certificate(from: i32, until: i32, authority: bool) -> String {
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

    fn shown(files: Vec<CertificateFile>) -> Vec<String> {
        let metrics = Metrics::new();
        metrics.watch_certificates(files);
        let text = metrics.text();
        text.lines().filter(|line| line.starts_with("access_tokens_certificate_")).map(str::to_owned).collect()
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

    #[test]
    fn a_file_is_read_again_and_one_that_is_broken_is_left_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = file(directory.path());
        let labels = "{listener=\"grpc\",role=\"server\"}";
        let expiry = |seconds: i64| format!("access_tokens_certificate_expiry_timestamp_seconds{labels} {seconds}");
        let start = format!("access_tokens_certificate_start_timestamp_seconds{labels} 1767225600");
        assert_eq!(shown(vec![file.clone()]), [expiry(1_893_456_000), start.clone()]);
        std::fs::write(&file.path, certificate(2026, 2031, false)).expect("written");
        assert_eq!(shown(vec![file.clone()]), [expiry(1_924_992_000), start]);
        for broken in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file.path, broken).expect("written");
            assert_eq!(shown(vec![file.clone()]), <[String; 0]>::default(), "{broken}");
        }
        std::fs::remove_file(&file.path).expect("removed");
        assert_eq!(shown(vec![file]), <[String; 0]>::default());
    }

    #[test]
    fn the_age_of_the_key_is_shown_where_it_is_known() {
        for (made, expected) in [(Timestamp::from_timestamp(1_800_000_000, 0), 1), (None, 0)] {
            let metrics = Metrics::new();
            metrics.watch_key(move || made);
            let text = metrics.text();
            let line = "access_tokens_key_created_timestamp_seconds 1800000000";
            assert_eq!(text.lines().filter(|found| *found == line).count(), expected, "{text}");
        }
    }
}
