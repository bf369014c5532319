//! From when, and until when, certificates are good.

use std::path::Path;
use std::time::Duration;

use access_tokens_domain::time::Timestamp;
use anyhow::Context;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::files;

/// Later than any certificate ends.
const NEVER: Duration = Duration::from_secs(1 << 40);

/// Both moments for each certificate of a file in PEM.
pub(crate) fn validities(path: &Path) -> anyhow::Result<Vec<(Timestamp, Timestamp)>> {
    let certificates = files::certificates(path)?;
    let validity = |one| validity(one).with_context(|| format!("{} holds a certificate that is none", path.display()));
    certificates.iter().map(validity).collect()
}

/// The library tells them to whoever comes too early or too late, before it looks at anything else.
fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let refusal = |at: Duration| {
        let time = UnixTime::since_unix_epoch(at);
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
    };
    let from = match refusal(Duration::ZERO) {
        Some(Error::CertNotValidYet { not_before, .. }) => not_before,
        // As old as time itself.
        _ => UnixTime::since_unix_epoch(Duration::ZERO),
    };
    let Some(Error::CertExpired { not_after, .. }) = refusal(NEVER) else { return None };
    let moment = |time: UnixTime| Timestamp::from_timestamp(i64::try_from(time.as_secs()).ok()?, 0);
    Some((moment(from)?, moment(not_after)?))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    #[test]
    fn servers_and_authorities_say_how_long_they_are_good() {
        for authority in [false, true] {
            let mut params = CertificateParams::default();
            if authority {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }
            params.not_before = rcgen::date_time_ymd(2026, 2, 3);
            params.not_after = rcgen::date_time_ymd(2150, 4, 5);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            let (from, until) = validity(certificate.der()).expect("a certificate");
            assert_eq!(from.to_rfc3339(), "2026-02-03T00:00:00+00:00");
            assert_eq!(until.to_rfc3339(), "2150-04-05T00:00:00+00:00");
        }
        assert!(validity(&CertificateDer::from(vec![0; 8])).is_none());
    }
}
