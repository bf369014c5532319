//! Metrics of the validity of certificates and of the age of the current key.

use std::sync::Arc;

use access_tokens_domain::time::Timestamp;
use opentelemetry::KeyValue;

use super::Metrics;
use super::certificate_file::CertificateFile;

impl Metrics {
    /// Reads the validity of these certificates at each reading of the metrics.
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
        let described = "End of the validity of the certificates in a file, in seconds since 1970";
        gauge("access_tokens.certificate.expiry.timestamp", described, |(_, until)| until);
        let described = "Start of the validity of the certificates in a file, in seconds since 1970";
        gauge("access_tokens.certificate.start.timestamp", described, |(from, _)| from);
    }

    /// Reads the time at which the current key was made at each reading of the metrics.
    pub fn watch_key(&self, made: impl Fn() -> Option<Timestamp> + Send + Sync + 'static) {
        let gauge = self.meter.i64_observable_gauge("access_tokens.key.created.timestamp").with_unit("s");
        let gauge = gauge.with_description("Time at which the current key was made, in seconds since 1970");
        gauge.with_callback(move |seen| made().iter().for_each(|made| seen.observe(made.timestamp(), &[]))).build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::certificate_file::tests::{certificate, file};

    fn shown(files: Vec<CertificateFile>) -> Vec<String> {
        let metrics = Metrics::new();
        metrics.watch_certificates(files);
        let text = metrics.text();
        text.lines().filter(|line| line.starts_with("access_tokens_certificate_")).map(str::to_owned).collect()
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
