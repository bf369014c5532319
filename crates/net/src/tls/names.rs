//! Names in the certificates of clients.

use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::asn1_rs::Tag;
use x509_parser::oid_registry::OID_X509_COMMON_NAME;
use x509_parser::x509::X509Name;

use super::x509;

/// Prefix of a common name, which distinguishes it from URIs and hosts.
const COMMON_NAME: &str = "CN=";

/// Returns the names of a certificate: its URIs, then its DNS names, then `CN=` and its common name. A certificate that cannot be
/// read has none; the handshake refuses it.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(verified) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let uris = verified.valid_uri_names().map(str::to_owned);
    let hosts = verified.valid_dns_names().map(str::to_owned);
    let parsed = x509::parse(certificate);
    let common = parsed.as_ref().and_then(|parsed| common_name(parsed.subject()));
    uris.chain(hosts).chain(common.map(|name| format!("{COMMON_NAME}{name}"))).collect()
}

/// Returns the common name of a subject: the last one, which is the most specific. Only the first attribute of each relative name
/// is read. A subject with a common name in an outdated string type has none.
fn common_name<'a>(subject: &'a X509Name<'_>) -> Option<&'a str> {
    let mut found = None;
    for attribute in subject.iter_rdn().filter_map(|relative| relative.iter().next()) {
        if *attribute.attr_type() == OID_X509_COMMON_NAME {
            let is_current = [Tag::Utf8String, Tag::PrintableString].contains(&attribute.attr_value().tag());
            found = Some(attribute.as_str().ok().filter(|_| is_current)?);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn certificate(subject: &[(DnType, DnValue)], alternatives: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").into()
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_owned())
    }

    #[test]
    fn uris_come_first_then_hosts_then_the_common_name() {
        let uri = SanType::URI("spiffe://example.com/till".try_into().expect("a URI"));
        let hosts = ["b.example.com", "a.example.com"].map(|host| SanType::DnsName(host.try_into().expect("a host")));
        let [first, second] = hosts;
        let subject = [(DnType::OrganizationName, utf8("Example")), (DnType::CommonName, utf8("till 1"))];
        let names = names(&certificate(&subject, vec![first, uri, second]));
        assert_eq!(names, ["spiffe://example.com/till", "b.example.com", "a.example.com", "CN=till 1"]);
    }

    #[test]
    fn common_names_are_found_wherever_they_stand() {
        let long = "x".repeat(200);
        let printable = DnValue::PrintableString("till".try_into().expect("printable"));
        for (subject, expected) in [
            (vec![], None),
            (vec![(DnType::CountryName, utf8("GR"))], None),
            (vec![(DnType::CommonName, printable)], Some("CN=till".to_owned())),
            (vec![(DnType::CommonName, utf8("τ")), (DnType::CountryName, utf8("GR"))], Some("CN=τ".to_owned())),
            (
                vec![(DnType::OrganizationName, utf8(&long)), (DnType::CommonName, utf8(&long))],
                Some(format!("CN={long}")),
            ),
        ] {
            assert_eq!(names(&certificate(&subject, Vec::new())), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn changed_and_truncated_certificates_do_not_panic() {
        let good = certificate(&[(DnType::CommonName, utf8("till"))], Vec::new());
        assert_eq!(names(&good), ["CN=till"]);
        for cut in 0..good.len() {
            assert_eq!(names(&CertificateDer::from(&good[..cut])), <[String; 0]>::default(), "{cut}");
        }
        for at in 0..good.len() {
            // Nothing of it panics.
            for value in (0..=u8::MAX).step_by(5) {
                let mut bad = good.to_vec();
                bad[at] = value;
                let _ = names(&CertificateDer::from(bad));
            }
        }
        assert!(names(&CertificateDer::from(vec![0; 8])).is_empty());
    }

    #[test]
    fn the_last_common_name_counts_and_outdated_strings_do_not() {
        // rcgen writes an attribute once, so a second common name is made of another attribute of the same length (2.5.4.10).
        let subject = |second: DnValue| {
            let subject = [(DnType::CommonName, utf8("till")), (DnType::OrganizationName, second)];
            let mut der = certificate(&subject, Vec::new()).to_vec();
            while let Some(at) = der.windows(3).position(|oid| oid == [0x55, 0x04, 0x0a]) {
                der[at + 2] = 0x03;
            }
            CertificateDer::from(der)
        };
        assert_eq!(names(&subject(utf8("desk"))), ["CN=desk"]);
        let outdated = DnValue::TeletexString("desk".try_into().expect("a text"));
        assert_eq!(names(&subject(outdated)), <[String; 0]>::default());
    }
}
