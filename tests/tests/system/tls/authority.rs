//! Certificate authorities for one test, and the certificates that they sign.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

/// Number of authorities so far.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // The name must be unique, because clients find an authority by its name.
        let name = format!("Authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate with these parameters.
    pub(crate) fn sign(&self, describe: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::default();
        describe(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Signs a certificate for a server with these names, which may be addresses. It is valid for a client, too.
    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        self.sign(|params| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            params.subject_alt_names = CertificateParams::new(names).expect("names").subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// Signs a certificate for a server that expired long ago.
    pub(crate) fn expired_server(&self, names: &[&str]) -> Pair {
        self.sign(|params| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            params.subject_alt_names = CertificateParams::new(names).expect("names").subject_alt_names;
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        })
    }

    /// Signs a certificate for a client with this URI and this common name.
    pub(crate) fn client(&self, uri: &str, common: &str) -> Pair {
        self.sign(|params| {
            params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
            params.distinguished_name.push(DnType::CommonName, common);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }
}

/// Writes a file in one step: a concurrent reader sees the former content.
pub(crate) fn put(directory: &Path, name: &str, text: &str) -> PathBuf {
    let (beside, path) = (directory.join(format!("{name}.new")), directory.join(name));
    fs::write(&beside, text).expect("written");
    fs::rename(beside, &path).expect("renamed");
    path
}

impl Pair {
    /// Writes the certificate and the key as `<name>.pem` and `<name>.key`.
    pub(crate) fn put(&self, directory: &Path, name: &str) {
        put(directory, &format!("{name}.key"), &self.key);
        put(directory, &format!("{name}.pem"), &self.certificate);
    }
}
