//! The cryptographic algorithms of TLS.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// Returns the algorithms. They are stated here, because the default of the process is set by the first library that
/// uses it.
pub(super) fn provider() -> Arc<CryptoProvider> {
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
