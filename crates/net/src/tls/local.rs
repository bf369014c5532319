//! Connections to the HTTP ports of this machine, for commands that check its processes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{HTTP1, Trust, UpstreamConnector};
use crate::tls::{ClientAuth, TlsSettings, UpstreamSettings};

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Returns the client certificate with which a process of this machine connects to its own listener: the certificate of
/// the listener itself, if the listener requires client certificates. The listener accepts it if the same authority
/// issues the certificates of servers and of clients.
pub fn own_certificate(tls: &TlsSettings) -> UpstreamSettings {
    let mut shown = UpstreamSettings::default();
    if tls.client_auth == ClientAuth::Required {
        (shown.certificate, shown.key) = (tls.certificate.clone(), tls.key.clone());
    }
    shown
}

/// Connects to the HTTP port at `address`, with TLS if its listener has a certificate. Any server certificate is
/// accepted, because the server is on this machine.
pub async fn connect(address: SocketAddr, tls: &TlsSettings, section: &'static str) -> anyhow::Result<Box<dyn Stream>> {
    if tls.certificate.is_none() {
        return Ok(Box::new(TcpStream::connect(address).await?));
    }
    let url: Uri = format!("https://{address}").parse()?;
    let mut config = UpstreamConnector::new(&url, Trust::AnyCertificate, &own_certificate(tls), section)?
        .config()
        .context(section)?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(io::Error::other)?;
    Ok(Box::new(stream))
}
