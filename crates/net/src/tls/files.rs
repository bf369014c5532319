//! Reads certificates and keys from PEM files.

use std::path::Path;
use std::sync::Arc;

use access_tokens_host::files::{self, Access};
use anyhow::{Context, anyhow};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{Error, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads a certificate and the certificates that lead from it to an authority.
pub(super) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let wrong = |error| explained(error, path, "certificate");
    let text = files::read_bytes(path, Access::Any).map_err(|error| wrong(Error::Io(error)))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() { Err(wrong(Error::NoItemsFound)) } else { Ok(found) }
}

/// Reads a private key.
pub(super) fn key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let wrong = |error| explained(error, path, "private key");
    let text = files::read_bytes(path, Access::Any).map_err(|error| wrong(Error::Io(error)))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(wrong)
}

/// Reads authorities, all of which are trusted.
pub(super) fn authorities(path: &Path) -> anyhow::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).with_context(|| format!("{} holds a malformed certificate", path.display()))?;
    }
    Ok(Arc::new(store))
}

/// Explains an error without the content of the file, which may be a key.
fn explained(error: Error, path: &Path, what: &str) -> anyhow::Error {
    match error {
        Error::Io(error) => anyhow::Error::new(error).context(format!("{} cannot be read", path.display())),
        _ => anyhow!("{} holds no {what} in PEM", path.display()),
    }
}
