//! The ports for gRPC, for HTTP and for operators: addresses and encryption.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::net::TcpListener;

use super::drop_counters::DropCounters;
use crate::tls::{HTTP1, HTTP2, ReloadingTls, TlsSettings};

/// A port: its listener, its encryption and its counters.
#[derive(Clone)]
pub struct Port {
    pub(super) listener: Arc<TcpListener>,
    pub(super) tls: Option<Arc<ReloadingTls>>,
    /// Counts of the connections that the port has closed.
    pub dropped: Arc<DropCounters>,
}

impl Port {
    /// Binds a port. `plain` allows plain text to other machines. Fails if the address cannot be bound, if the
    /// certificate cannot be used, or if the port would speak plain text to other machines without `plain`.
    pub async fn bind(names: &PortNames, address: SocketAddr, tls: &TlsSettings, plain: bool) -> anyhow::Result<Self> {
        let tls = ReloadingTls::start(tls, names.tls, names.protocol)?;
        if tls.is_none() && !is_loopback(address) {
            let PortNames { listener, listen, .. } = names;
            ensure!(
                plain,
                "{address} ({listen}) is open to other machines, and would speak plain text: set {listener}.tls.certificate \
                 and {listener}.tls.key; or {listener}.allow_plain_text = true, where something else encrypts"
            );
            tracing::warn!(%address, "{listen} speaks plain text to other machines");
        }
        let dropped = Arc::new(DropCounters::new(names.listener));
        Ok(Self { listener: listen(address, names.listen).await?, tls, dropped })
    }

    /// Makes a port without encryption.
    pub fn plain(listener: TcpListener) -> Self {
        Self { listener: Arc::new(listener), tls: None, dropped: Arc::new(DropCounters::new("grpc")) }
    }
}

/// Names of a port in the settings, and its protocol in TLS handshakes.
pub struct PortNames {
    /// The section of its settings.
    listener: &'static str,
    /// The setting with its address.
    listen: &'static str,
    /// The section of its encryption.
    tls: &'static str,
    protocol: &'static [u8],
}

impl PortNames {
    /// Names of the gRPC port.
    pub const GRPC: Self = Self { listener: "grpc", listen: "grpc.listen", tls: "grpc.tls", protocol: HTTP2 };
    /// Names of the HTTP port of the gateway.
    pub const HTTP: Self = Self { listener: "http", listen: "http.listen", tls: "http.tls", protocol: HTTP1 };
    /// Names of the port for operators.
    pub const OPS: Self = Self { listener: "ops", listen: "ops.listen", tls: "ops.tls", protocol: HTTP1 };
}

/// Listens on an address. `setting` is named in errors and in the log.
async fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<Arc<TcpListener>> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({setting})"))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), setting, "listening");
    Ok(Arc::new(listener))
}

/// Returns whether an address is reachable from this machine only.
fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bind(names: &PortNames, address: &str, plain: bool) -> Result<(), String> {
        let address = address.parse().expect("an address");
        let bound = Port::bind(names, address, &TlsSettings::default(), plain).await;
        bound.map(drop).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn plain_text_stays_on_the_loopback_unless_it_is_allowed() {
        for (names, listener) in [(&PortNames::GRPC, "grpc"), (&PortNames::HTTP, "http"), (&PortNames::OPS, "ops")] {
            bind(names, "127.0.0.1:0", false).await.expect("a loopback");
            bind(names, "127.1.2.3:0", false).await.expect("a loopback");
            for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
                let refused = bind(names, open, false).await.expect_err(open);
                for part in ["listen", "tls.certificate", "allow_plain_text"] {
                    assert!(refused.contains(&format!("{listener}.{part}")), "{refused}");
                }
            }
            bind(names, "0.0.0.0:0", true).await.expect("allowed");
        }
    }
}
