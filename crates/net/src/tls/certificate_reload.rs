//! Reloads the files of a listener when they change: its certificate, its key and the authorities of clients. Open
//! connections keep their certificate.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use access_tokens_host::file_watcher::{FileWatcher, WatchEvent, poll_ticks};
use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::server::TlsStream;

use super::identity::{Identities, Peer};
use super::provider::provider;
use super::{files, validity};
use crate::tls::{ClientAuth, TlsSettings};

/// A connection after its handshake.
pub type TlsConnection = TlsStream<TcpStream>;

/// The TLS configuration of a listener, as its files were when they could last be used.
pub struct ReloadingTls {
    settings: TlsSettings,
    protocol: &'static [u8],
    identities: Identities,
    current: RwLock<Arc<ServerConfig>>,
}

impl ReloadingTls {
    /// Reads the files, and follows them until the value is dropped. None without a certificate. `section` is the
    /// section of the settings. Must run within a runtime.
    pub(crate) fn start(
        settings: &TlsSettings,
        section: &'static str,
        protocol: &'static [u8],
    ) -> anyhow::Result<Option<Arc<Self>>> {
        if settings.certificate.is_none() {
            return Ok(None);
        }
        let files = [&settings.certificate, &settings.key, &settings.client_ca];
        let files = FileWatcher::from_now(files.into_iter().flatten().cloned().collect());
        let config = server_config(settings, protocol).with_context(|| section.to_owned())?;
        let identities = Identities::new(&settings.identities);
        let current = RwLock::new(Arc::new(config));
        let tls = Arc::new(Self { settings: settings.clone(), protocol, identities, current });
        tokio::spawn(follow(Reloader { tls: Arc::downgrade(&tls), files, reported: None }, section));
        Ok(Some(tls))
    }

    /// Performs the server side of a handshake with the current configuration. There is no timeout here.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsConnection, Peer)> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let user = certificate.and_then(|certificate| self.identities.of(certificate));
        Ok((stream, Peer { user }))
    }
}

/// Checks that a listener can be started with these settings. `section` is the section of the settings.
pub fn check(settings: &TlsSettings, section: &'static str) -> anyhow::Result<()> {
    server_config(settings, super::HTTP2).map(drop).with_context(|| section.to_owned())
}

/// Reads the files and makes a configuration for TLS 1.2 and 1.3.
fn server_config(settings: &TlsSettings, protocol: &[u8]) -> anyhow::Result<ServerConfig> {
    let [certificate, key] =
        [&settings.certificate, &settings.key].map(|path| path.as_deref().unwrap_or(Path::new("")));
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(files::authorities(path)?, provider());
            let verifier = match settings.client_auth {
                ClientAuth::Optional => verifier.allow_unauthenticated(),
                ClientAuth::Required => verifier,
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let (chain, private) = (files::certificates(certificate)?, files::key(key)?);
    let shown = chain.clone();
    let mut config = builder
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not fit together", certificate.display(), key.display()))?;
    validity::check_server(certificate, &shown)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    if settings.client_ca.is_some() {
        // No session is resumed: a resumed session presents no certificate, so one that has expired since would still
        // be accepted.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// Looks at the files once a second, until no listener uses the certificate any more.
async fn follow(mut reloader: Reloader, section: &'static str) {
    let mut ticks = poll_ticks();
    loop {
        ticks.tick().await;
        match reloader.look() {
            None => return,
            Some(WatchEvent::Unchanged) => {}
            Some(WatchEvent::Loaded(())) => tracing::info!(section, "the certificate was read again: it counts now"),
            Some(WatchEvent::Failed(error)) => {
                count_failure(section);
                tracing::warn!(section, error, "the certificate changed, but cannot be used: it stays as it was");
            }
        }
    }
}

/// Number of times that files of a listener changed and could not be used, by the section of its settings.
static FAILURES: [(&str, AtomicU64); 3] =
    [("grpc.tls", AtomicU64::new(0)), ("http.tls", AtomicU64::new(0)), ("ops.tls", AtomicU64::new(0))];

fn count_failure(section: &str) {
    for (_, count) in FAILURES.iter().filter(|(of, _)| *of == section) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Number of times that the certificate of a listener changed in this process and could not be used: listener and count.
pub fn reload_failures() -> impl Iterator<Item = (&'static str, u64)> {
    FAILURES.iter().map(|(section, count)| (section.trim_end_matches(".tls"), count.load(Ordering::Relaxed)))
}

/// Loads the files of a listener again when they change.
struct Reloader {
    tls: Weak<ReloadingTls>,
    files: FileWatcher,
    /// The error that was reported last, if the files could not be used at the last look.
    reported: Option<String>,
}

impl Reloader {
    /// Loads the files if they have changed. None when no listener uses the certificate any more.
    ///
    /// An error is reported once, and again when it is another one, as while several files are exchanged.
    fn look(&mut self) -> Option<WatchEvent<(), String>> {
        let tls = self.tls.upgrade()?;
        Some(match self.files.look(|| server_config(&tls.settings, tls.protocol)) {
            WatchEvent::Unchanged => WatchEvent::Unchanged,
            WatchEvent::Loaded(config) => {
                self.reported = None;
                *tls.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                WatchEvent::Loaded(())
            }
            WatchEvent::Failed(error) => {
                let error = format!("{error:#}");
                let is_known = self.reported.as_ref() == Some(&error);
                self.reported = Some(error.clone());
                if is_known { WatchEvent::Unchanged } else { WatchEvent::Failed(error) }
            }
        })
    }
}

#[cfg(test)]
mod tests;
