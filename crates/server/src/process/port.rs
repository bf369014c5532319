//! The ports of gRPC, of HTTP and for operators: where they are, and what they are encrypted with.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::ensure;
use tokio::net::TcpListener;

use super::dropped::Dropped;
use super::listen;
use crate::config::{GrpcSettings, HttpSettings, OpsSettings, TlsSettings};
use crate::tls::{HTTP1, HTTP2, LiveTls};

/// A port that somebody listens on.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) listener: Arc<TcpListener>,
    pub(super) tls: Option<Arc<LiveTls>>,
    pub(super) dropped: Arc<Dropped>,
}

impl Port {
    /// That of gRPC.
    pub(super) async fn grpc(settings: &GrpcSettings) -> anyhow::Result<Self> {
        let names = Names { listener: "grpc", listen: "grpc.listen", tls: "grpc.tls", protocol: HTTP2 };
        names.bind(settings.listen, &settings.tls, settings.allow_plain_text).await
    }

    /// That of HTTP, at its address.
    pub(super) async fn http(address: SocketAddr, settings: &HttpSettings) -> anyhow::Result<Self> {
        let names = Names { listener: "http", listen: "http.listen", tls: "http.tls", protocol: HTTP1 };
        names.bind(address, &settings.tls, settings.allow_plain_text).await
    }

    /// That for operators, at its address.
    pub(super) async fn ops(address: SocketAddr, settings: &OpsSettings) -> anyhow::Result<Self> {
        let names = Names { listener: "ops", listen: "ops.listen", tls: "ops.tls", protocol: HTTP1 };
        names.bind(address, &settings.tls, settings.allow_plain_text).await
    }

    #[cfg(test)]
    pub(super) fn plain(listener: TcpListener) -> Self {
        Self { listener: Arc::new(listener), tls: None, dropped: Arc::new(Dropped::new("grpc")) }
    }
}

/// What a port is called, in settings and in handshakes.
struct Names {
    listener: &'static str,
    listen: &'static str,
    tls: &'static str,
    protocol: &'static [u8],
}

impl Names {
    async fn bind(self, address: SocketAddr, tls: &TlsSettings, plain: bool) -> anyhow::Result<Port> {
        let tls = LiveTls::start(tls, self.tls, self.protocol)?;
        if tls.is_none() && !is_loopback(address) {
            let Self { listener, listen, .. } = self;
            ensure!(
                plain,
                "{address} ({listen}) is open to other machines, and would speak plain text: set {listener}.tls.certificate \
                 and {listener}.tls.key; or {listener}.allow_plain_text = true, where something else encrypts"
            );
            tracing::warn!(%address, "{listen} speaks plain text to other machines");
        }
        let dropped = Arc::new(Dropped::new(self.listener));
        Ok(Port { listener: listen(address, self.listen).await?, tls, dropped })
    }
}

/// Is it reached from this machine alone?
fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bind(address: &str, plain: bool) -> Result<(), String> {
        let names = Names { listener: "grpc", listen: "grpc.listen", tls: "grpc.tls", protocol: HTTP2 };
        let address = address.parse().expect("an address");
        names.bind(address, &TlsSettings::default(), plain).await.map(drop).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn plain_text_stays_on_the_loopback_unless_it_is_allowed() {
        bind("127.0.0.1:0", false).await.expect("a loopback");
        bind("127.1.2.3:0", false).await.expect("a loopback");
        for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let refused = bind(open, false).await.expect_err(open);
            assert!(
                refused.contains("set grpc.tls.certificate") && refused.contains("grpc.allow_plain_text"),
                "{refused}"
            );
        }
        bind("0.0.0.0:0", true).await.expect("allowed");
    }

    #[tokio::test]
    async fn the_port_for_operators_keeps_the_same_rule() {
        let settings = |allow_plain_text| OpsSettings { listen: None, allow_plain_text, tls: TlsSettings::default() };
        let open = "0.0.0.0:0".parse().expect("an address");
        let Err(refused) = Port::ops(open, &settings(false)).await else { panic!("it is open") };
        let refused = refused.to_string();
        assert!(refused.contains("ops.listen") && refused.contains("set ops.tls.certificate"), "{refused}");
        Port::ops(open, &settings(true)).await.expect("allowed");
    }
}
