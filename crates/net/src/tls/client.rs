//! TLS client connections: of the gateway to the service, and of commands that check a server of this machine.

use std::io;
use std::sync::Arc;

use anyhow::{Context, ensure};
use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::provider::provider;
use super::{HTTP2, files, validity};
use crate::log_throttle::LogThrottle;
use crate::tls::UpstreamSettings;

/// Certificates of a service that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Certificates of an authority that state the name of the service.
    Authorities,
    /// All certificates. For checks of this machine only, whose result has no value for anyone else.
    AnyCertificate,
}

/// Connects to a service with TLS. The files are read for each connection, so that they can be replaced.
#[derive(Clone)]
pub struct UpstreamConnector {
    host: String,
    port: u16,
    name: ServerName<'static>,
    trust: Trust,
    settings: Arc<UpstreamSettings>,
    /// The section of the settings.
    section: &'static str,
    throttle: Arc<LogThrottle>,
}

impl UpstreamConnector {
    /// Makes a connector for an `https` URL. Fails if the URL is not one of https, or if the files cannot be used now.
    pub fn new(url: &Uri, trust: Trust, settings: &UpstreamSettings, section: &'static str) -> anyhow::Result<Self> {
        ensure!(url.scheme() == Some(&Scheme::HTTPS), "{url} is not an https URL");
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).with_context(|| format!("{host} is not a host name"))?;
        let port = url.port_u16().unwrap_or(443);
        let link =
            Self { host, port, name, trust, settings: Arc::new(settings.clone()), section, throttle: Arc::default() };
        link.config().context(section)?;
        Ok(link)
    }

    /// Opens a connection and closes it. Returns the reason if it fails.
    pub async fn probe(&self) -> Result<(), String> {
        self.connect().await.map(drop).map_err(|error| error.to_string())
    }

    /// Makes a channel that connects when it is first used.
    pub fn channel(self, url: &Uri, shaped: impl FnOnce(Endpoint) -> Endpoint) -> anyhow::Result<Channel> {
        // The channel sees a plain connection: this connector does the encryption.
        let plain = Uri::builder().scheme(Scheme::HTTP).authority(format!("{}:{}", bracketed(&self.host), self.port));
        let endpoint = shaped(Endpoint::from(plain.path_and_query("/").build()?).origin(url.clone()));
        let connect = service_fn(move |_: Uri| {
            let link = self.clone();
            async move { link.connect().await.map(TokioIo::new) }
        });
        Ok(endpoint.connect_with_connector_lazy(connect))
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config().map_err(|error| {
            let error = format!("{error:#}");
            if self.throttle.permits() {
                tracing::warn!(error, section = self.section, "the service cannot be reached");
            }
            io::Error::other(error)
        })?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(io::Error::other("the service does not speak HTTP/2"));
        }
        Ok(stream)
    }

    pub(super) fn config(&self) -> anyhow::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = match (self.trust, &self.settings.ca) {
            (Trust::AnyCertificate, _) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
            }
            (Trust::Authorities, Some(path)) => builder.with_root_certificates(files::authorities(path)?),
            (Trust::Authorities, None) => {
                let public = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
                builder.with_root_certificates(public.collect::<RootCertStore>())
            }
        };
        let mut config = match (&self.settings.certificate, &self.settings.key) {
            (Some(certificate), Some(key)) => {
                let chain = files::certificates(certificate)?;
                validity::check_dates(certificate, &chain)?;
                builder
                    .with_client_auth_cert(chain, files::key(key)?)
                    .with_context(|| format!("{} and {} do not fit together", certificate.display(), key.display()))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(config)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Accepts any certificate, if the server has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
