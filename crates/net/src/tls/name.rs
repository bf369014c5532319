//! The names in a certificate.

use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Marks a common name among names, so that nobody takes it for a URI or a host.
const COMMON_NAME: &str = "CN=";

/// What the subject of a certificate is made of, in DER.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// 2.5.4.3
const OF_COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The names of a certificate: its URIs, its DNS names, and at last `CN=` with its common name. None of one that cannot be
/// read, which the handshake would have refused.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let uris = certificate.valid_uri_names().map(str::to_owned);
    let hosts = certificate.valid_dns_names().map(str::to_owned);
    let common = common_name(certificate.subject()).map(|name| format!("{COMMON_NAME}{name}"));
    uris.chain(hosts).chain(common).collect()
}

/// The common name of a subject: a list of sets of pairs of an identifier and a text. The last one counts, being the most
/// specific; other kinds of text than today's are not read.
fn common_name(mut subject: &[u8]) -> Option<&str> {
    let mut found = None;
    while !subject.is_empty() {
        let (set, rest) = element(subject, SET)?;
        let (pair, _) = element(set, SEQUENCE)?;
        let (identifier, text) = element(pair, OBJECT_IDENTIFIER)?;
        if identifier == OF_COMMON_NAME {
            let (text, _) = element(text, UTF8_STRING).or_else(|| element(text, PRINTABLE_STRING))?;
            found = Some(std::str::from_utf8(text).ok()?);
        }
        subject = rest;
    }
    found
}

/// The content of the first element, which has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk::<2>().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?,
        _ => return None,
    };
    if first == tag { rest.split_at_checked(length) } else { None }
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
    fn what_is_no_subject_has_no_name() {
        let good = [0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x02, b'h', b'i'];
        assert_eq!(common_name(&good), Some("hi"));
        for cut in 1..good.len() {
            assert_eq!(common_name(&good[..cut]), None, "{cut}");
        }
        for at in 0..good.len() {
            // Whatever it says then, it says without a panic.
            for value in 0..=u8::MAX {
                let mut bad = good;
                bad[at] = value;
                let _ = common_name(&bad);
            }
        }
        assert!(names(&CertificateDer::from(vec![0; 8])).is_empty());
    }
}
