//! TLS, with rustls and ring: what listeners encrypt with, whom the certificates of clients stand for, and the way to a
//! service that asks for it.
//!
//! Files are read again when they change ([`LiveTls`]), so that certificates may live for hours.

mod client;
mod files;
mod identity;
mod live;
pub mod local;
mod name;
mod settings;
mod validity;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use client::{Link, Trust};
pub use identity::Peer;
pub use live::{LiveTls, TlsConnection, check, reload_failures};
pub use settings::{ClientAuth, IdentitySettings, TlsSettings, UpstreamSettings};
pub use validity::validities;

/// What gRPC is called in a handshake.
pub const HTTP2: &[u8] = b"h2";
/// What the gateway is called there.
pub const HTTP1: &[u8] = b"http/1.1";

/// The algorithms. Said here and not left to a default of the process, which whoever comes first may set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_suites_with_ephemeral_keys_and_authenticated_encryption_are_offered() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
        assert!(!suites.is_empty());
        for suite in suites {
            let ephemeral = suite.starts_with("TLS13_") || suite.starts_with("TLS_ECDHE_");
            let authenticated = suite.contains("_GCM_") || suite.contains("_CHACHA20_POLY1305_");
            assert!(ephemeral && authenticated, "{suite}");
        }
    }
}
