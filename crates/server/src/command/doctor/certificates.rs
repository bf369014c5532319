//! Checks whether certificates are valid, and for how long.

use std::path::Path;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::time::Timestamp;
use access_tokens_host::SystemClock;
use access_tokens_net::tls;
use chrono::TimeDelta;

use super::report::Report;
use crate::config::{Listener, Settings};

const CHECK: &str = "certificates";

/// Remaining validity below which a certificate is reported, unless its whole validity is short.
const RENEWAL_WARNING: TimeDelta = TimeDelta::days(14);
/// A certificate with a short validity is reported in its last third.
const RENEWAL_FRACTION: i32 = 3;

pub(super) fn check(settings: &Settings, report: &mut Report) {
    let now = SystemClock.now();
    for Listener { tls_section: section, tls, .. } in settings.listeners() {
        if tls.certificate.is_none() {
            continue;
        }
        let mut valid = true;
        for (name, file) in [("certificate", &tls.certificate), ("client_ca", &tls.client_ca)] {
            if let Some(file) = file {
                valid &= check_validity(&format!("{section}.{name}"), file, now, report);
            }
        }
        // Expired and unreadable files were reported above.
        if valid && let Err(error) = tls::check(tls, section) {
            let cure =
                "give a certificate with its chain and the key that belongs to it, in PEM; `serve` refuses these";
            report.problem(CHECK, format!("{error:#}"), cure);
        }
    }
    for (section, upstream) in settings.upstreams() {
        for (name, file) in [("ca", &upstream.ca), ("certificate", &upstream.certificate)] {
            if let Some(file) = file {
                check_validity(&format!("{section}.{name}"), file, now, report);
            }
        }
    }
}

/// Reports the validity of the certificates of a file. The one that expires first counts. Returns whether it is valid now.
fn check_validity(setting: &str, file: &Path, now: Timestamp, report: &mut Report) -> bool {
    const RENEW: &str = "renew it; the service reads the file again within a second, without a restart";
    let named = format!("{setting} ({})", file.display());
    let validities = match tls::validities(file) {
        Ok(validities) => validities,
        Err(error) => {
            report.problem(
                CHECK,
                format!("{named}: {error:#}"),
                "give a certificate in PEM, which the service can read",
            );
            return false;
        }
    };
    let Some((from, until)) = validities.into_iter().min_by_key(|(_, until)| *until) else { return true };
    let left = until - now;
    let date = until.format("%Y-%m-%d %H:%M UTC");
    if left <= TimeDelta::zero() {
        report.problem(CHECK, format!("{named} has expired: it was good until {date}"), RENEW);
    } else if from > now {
        let message = format!("{named} is not good yet: it will be from {}", from.format("%Y-%m-%d %H:%M UTC"));
        report.problem(CHECK, message, "wait, or look at the clock of this machine");
    } else if left < RENEWAL_WARNING && left < (until - from) / RENEWAL_FRACTION {
        report.warning(CHECK, format!("{named} expires in {} day(s), on {date}", left.num_days()), RENEW);
    } else {
        report.ok(CHECK, format!("{named} is good until {date}"));
    }
    from <= now && now < until
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// Returns the finding about a certificate on a day. The certificate expires on 1 March 2030.
    fn said(from: (i32, u8, u8), on: &str) -> String {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(2030, 3, 1);
        let key = KeyPair::generate().expect("a key");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("c.pem");
        std::fs::write(&file, params.self_signed(&key).expect("a certificate").pem()).expect("written");
        let mut report = Report::default();
        let _ = check_validity("grpc.tls.certificate", &file, on.parse().expect("a time"), &mut report);
        format!("{report:?}")
    }

    #[test]
    fn a_certificate_is_good_until_two_weeks_before_its_end_or_two_thirds_of_its_life() {
        for (from, on, expected) in [
            ((2030, 1, 1), "2030-01-02T00:00:00Z", "is good until 2030-03-01"),
            ((2030, 1, 1), "2030-02-20T00:00:00Z", "expires in 9 day(s), on 2030-03-01"),
            ((2030, 2, 19), "2030-02-20T00:00:00Z", "is good until"),
            ((2030, 2, 19), "2030-02-27T00:00:00Z", "expires in 2 day(s)"),
            ((2030, 1, 1), "2030-03-02T00:00:00Z", "has expired: it was good until 2030-03-01"),
            ((2030, 1, 1), "2029-12-31T00:00:00Z", "is not good yet: it will be from 2030-01-01"),
        ] {
            let said = said(from, on);
            assert!(said.contains(expected), "{on}: {said}");
        }
    }
}
