//! Dates of certificates, and checks of the certificate of a server.

use std::path::Path;

use access_tokens_domain::ports::Clock;
use access_tokens_domain::time::Timestamp;
use access_tokens_host::SystemClock;
use anyhow::{Context, bail, ensure};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};
use x509_parser::certificate::Validity;
use x509_parser::time::ASN1Time;

use super::provider::provider;
use super::{files, x509};

/// Format of dates in messages.
const DATE: &str = "%Y-%m-%d %H:%M UTC";

/// Returns the start and the end of each certificate in a PEM file. Fails if the file cannot be read or holds a
/// malformed certificate.
pub fn validities(path: &Path) -> anyhow::Result<Vec<(Timestamp, Timestamp)>> {
    let certificates = files::certificates(path)?;
    let validity = |one| validity(one).with_context(|| format!("{} holds a malformed certificate", path.display()));
    certificates.iter().map(validity).collect()
}

/// Returns the dates of a certificate, both in whole seconds. None for one that TLS cannot use, such as one of version 1, or
/// one with a date before 1970, which TLS cannot read.
fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    EndEntityCert::try_from(certificate).ok()?;
    let parsed = x509::parse(certificate)?;
    let time = |time: ASN1Time| Timestamp::from_timestamp(time.timestamp(), 0);
    let Validity { not_before, not_after } = *parsed.validity();
    let (from, until) = (time(not_before)?, time(not_after)?);
    (from >= Timestamp::UNIX_EPOCH && until >= Timestamp::UNIX_EPOCH).then_some((from, until))
}

/// Refuses a certificate that is not valid now.
pub(super) fn check_dates(path: &Path, chain: &[CertificateDer<'_>]) -> anyhow::Result<()> {
    let Some(own) = chain.first() else { return Ok(()) };
    let (from, until) = validity(own).with_context(|| format!("{} holds a malformed certificate", path.display()))?;
    let now = SystemClock.now();
    ensure!(from <= now, "the certificate of {} is not valid before {}", path.display(), from.format(DATE));
    ensure!(
        now < until,
        "the certificate of {} has expired: it was valid until {}",
        path.display(),
        until.format(DATE)
    );
    Ok(())
}

/// Refuses the certificate of a server that no client would accept: one that is not valid now, that is not for servers,
/// or that is followed by a certificate which did not sign it or is not an authority.
pub(super) fn check_server(path: &Path, chain: &[CertificateDer<'_>]) -> anyhow::Result<()> {
    check_dates(path, chain)?;
    let Some((own, others)) = chain.split_first() else { return Ok(()) };
    let file = path.display();
    if let Some(Error::RequiredEkuNotFoundContext(_)) = refusal(own, &[])? {
        bail!("the certificate of {file} is not for servers (extended key usage)");
    }
    let Some(issuer) = others.first() else { return Ok(()) };
    // An authority that is checked as the certificate of a server is refused for being an authority.
    ensure!(
        matches!(refusal(issuer, &[])?, Some(Error::CaUsedAsEndEntity)),
        "the second certificate of {file} is no authority, or is not valid now"
    );
    if let Some(error) = refusal(own, std::slice::from_ref(issuer))? {
        bail!(
            "the first certificate of {file} was not signed by the second one, or cannot be used for another reason: {error}"
        );
    }
    Ok(())
}

/// Returns the reason for which a client that trusts these authorities would refuse a certificate of a server. None:
/// the client would accept it. Names are not checked.
fn refusal(certificate: &CertificateDer<'_>, authorities: &[CertificateDer<'_>]) -> anyhow::Result<Option<Error>> {
    let certificate = EndEntityCert::try_from(certificate)?;
    let anchors = authorities.iter().map(webpki::anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>()?;
    let algorithms = provider().signature_verification_algorithms.all;
    let usage = KeyUsage::server_auth();
    let verified = certificate.verify_for_usage(algorithms, &anchors, &[], UnixTime::now(), usage, None, None);
    Ok(verified.err())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

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

    fn issuer(is_ca: IsCa, name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
    }

    /// Returns the message about a chain that begins with such a certificate.
    fn said(
        signer: &CertifiedIssuer<'static, KeyPair>,
        shown: Option<&CertifiedIssuer<'static, KeyPair>>,
        describe: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        describe(&mut params);
        let key = KeyPair::generate().expect("a key");
        let own = params.signed_by(&key, signer).expect("a certificate").der().clone();
        let chain: Vec<_> = std::iter::once(own).chain(shown.map(|issuer| issuer.der().clone())).collect();
        match check_server(Path::new("server.pem"), &chain) {
            Ok(()) => "good".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_server_shows_a_certificate_that_a_client_can_take() {
        let authority = issuer(IsCa::Ca(BasicConstraints::Unconstrained), "authority");
        let other = issuer(IsCa::Ca(BasicConstraints::Unconstrained), "other");
        let same_name = issuer(IsCa::Ca(BasicConstraints::Unconstrained), "authority");
        let no_authority = issuer(IsCa::ExplicitNoCa, "authority");
        let nothing = |_: &mut CertificateParams| {};
        assert_eq!(said(&authority, None, nothing), "good");
        assert_eq!(said(&authority, Some(&authority), nothing), "good");
        for (shown, expected) in
            [(&other, "was not signed by the second"), (&same_name, "was not signed by the second")]
        {
            let said = said(&authority, Some(shown), nothing);
            assert!(said.contains(expected), "{said}");
        }
        let foreign = said(&no_authority, Some(&no_authority), nothing);
        assert!(foreign.contains("is no authority"), "{foreign}");
        let expired = said(&authority, Some(&authority), |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        assert!(expired.contains("has expired: it was valid until 2020-01-01 00:00 UTC"), "{expired}");
        let early = said(&authority, None, |params| params.not_before = rcgen::date_time_ymd(2190, 1, 1));
        assert!(early.contains("is not valid before 2190-01-01"), "{early}");
        let before_1970 = said(&authority, None, |params| params.not_before = rcgen::date_time_ymd(1969, 12, 31));
        assert!(before_1970.contains("malformed certificate"), "{before_1970}");
        let client = said(&authority, None, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        assert!(client.contains("is not for servers"), "{client}");
    }
}
