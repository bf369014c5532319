//! Parsing of certificates, for the values that rustls and webpki do not provide: the subject and the dates.

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::nom::Parser;

/// Parses a certificate. None if it is malformed. Its extensions are not read: webpki reads those that are needed.
pub(super) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    parser.parse(certificate.as_ref()).ok().map(|(_, parsed)| parsed)
}
