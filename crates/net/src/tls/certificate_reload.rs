//! Reload of certificates: reads the files of a listener again when they change. Open connections keep what they have.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use access_tokens_host::watch::{Mark, POLL, mark};
use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
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

/// The certificate of a listener, its key, and the authorities of clients: as the files have them, or last had them.
pub struct ReloadingTls {
    settings: TlsSettings,
    protocol: &'static [u8],
    identities: Identities,
    current: RwLock<Arc<ServerConfig>>,
}

impl ReloadingTls {
    /// Reads the files, and follows them for as long as anybody holds it. None without a certificate. `section` is that of
    /// the settings.
    pub(crate) fn start(
        settings: &TlsSettings,
        section: &'static str,
        protocol: &'static [u8],
    ) -> anyhow::Result<Option<Arc<Self>>> {
        if settings.certificate.is_none() {
            return Ok(None);
        }
        // Before they are read: what changes in between is read again.
        let seen = marks(settings);
        let config = server_config(settings, protocol).with_context(|| section.to_owned())?;
        let identities = Identities::new(&settings.identities);
        let current = RwLock::new(Arc::new(config));
        let tls = Arc::new(Self { settings: settings.clone(), protocol, identities, current });
        let follower = Follower { tls: Arc::downgrade(&tls), seen, failing: None };
        tokio::spawn(follow(follower, section));
        Ok(Some(tls))
    }

    /// Shakes hands, with what counts in this moment. It lasts as long as the client likes.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsConnection, Peer)> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let user = certificate.and_then(|certificate| self.identities.of(certificate));
        Ok((stream, Peer { user }))
    }
}

/// Refuses what a listener could not be started with. `section` is that of the settings.
pub fn check(settings: &TlsSettings, section: &'static str) -> anyhow::Result<()> {
    server_config(settings, super::HTTP2).map(drop).with_context(|| section.to_owned())
}

/// TLS 1.2 and 1.3, and nothing older.
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
        // A session that is taken up again shows no certificate: one that has expired since would count.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// The state of the files; none for one that is not there.
fn marks(settings: &TlsSettings) -> [Option<Mark>; 3] {
    [&settings.certificate, &settings.key, &settings.client_ca].map(|path| {
        let metadata = std::fs::metadata(path.as_deref()?).ok()?;
        Some(mark(&metadata))
    })
}

/// Looks at the files once a second, until nobody listens any more.
async fn follow(mut follower: Follower, section: &'static str) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match follower.look() {
            None => return,
            Some(Noticed::Nothing) => {}
            Some(Noticed::Changed) => tracing::info!(section, "the certificate was read again: it counts now"),
            Some(Noticed::Broken(error)) => {
                let error = format!("{error:#}");
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

struct Follower {
    tls: Weak<ReloadingTls>,
    /// The marks of the files when they were read last, be it in vain.
    seen: [Option<Mark>; 3],
    /// Why they could not be used then, as it was said.
    failing: Option<String>,
}

/// What is worth a line in the log.
enum Noticed {
    Nothing,
    Changed,
    Broken(anyhow::Error),
}

impl Follower {
    /// None when nobody holds the certificate any more.
    fn look(&mut self) -> Option<Noticed> {
        let tls = self.tls.upgrade()?;
        let now = marks(&tls.settings);
        // What failed may be mended without another mark, such as a directory that could not be entered.
        if now == self.seen && self.failing.is_none() {
            return Some(Noticed::Nothing);
        }
        self.seen = now;
        Some(match server_config(&tls.settings, tls.protocol) {
            Ok(config) => {
                self.failing = None;
                *tls.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                Noticed::Changed
            }
            Err(error) => {
                let said = format!("{error:#}");
                // Said once, and again when it is another trouble, as while several files are exchanged.
                if self.failing.replace(said.clone()) == Some(said) { Noticed::Nothing } else { Noticed::Broken(error) }
            }
        })
    }
}

#[cfg(test)]
mod tests;
