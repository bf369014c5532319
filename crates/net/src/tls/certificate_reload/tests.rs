//! Files of a listener that change while it runs.

use std::fs;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::*;

struct Pair {
    der: CertificateDer<'static>,
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    Pair { der: certificate.der().clone(), certificate: certificate.pem(), key: key.serialize_pem() }
}

struct Place {
    directory: TempDir,
    settings: TlsSettings,
}

impl Place {
    fn new(pair: &Pair) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = |name: &str| -> Option<PathBuf> { Some(directory.path().join(name)) };
        let settings = TlsSettings { certificate: path("certificate"), key: path("key"), ..TlsSettings::default() };
        let place = Self { directory, settings };
        place.write("certificate", &pair.certificate);
        place.write("key", &pair.key);
        place
    }

    /// Writes a file and renames it into place, so that a half-written file is never read.
    fn write(&self, name: &str, text: &str) {
        let beside = self.directory.path().join("new");
        fs::write(&beside, text).expect("written");
        fs::rename(beside, self.directory.path().join(name)).expect("renamed");
    }

    fn start(&self) -> (Arc<ReloadingTls>, Reloader) {
        let TlsSettings { certificate, key, .. } = &self.settings;
        let files = FileWatcher::from_now([certificate, key].into_iter().flatten().cloned().collect());
        let config = server_config(&self.settings, b"h2").expect("a good pair");
        let current = RwLock::new(Arc::new(config));
        let identities = Identities::default();
        let tls = Arc::new(ReloadingTls { settings: self.settings.clone(), protocol: b"h2", identities, current });
        let reloader = Reloader { tls: Arc::downgrade(&tls), files, reported: None };
        (tls, reloader)
    }
}

/// Returns the certificate that a new connection receives.
async fn shown(tls: &ReloadingTls) -> CertificateDer<'static> {
    use tokio_rustls::rustls::ClientConfig;

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let url = format!("https://{address}").parse().expect("a URL");
    let link =
        super::super::UpstreamConnector::new(&url, super::super::Trust::AnyCertificate, &Default::default(), "test")
            .expect("a way");
    let config: ClientConfig = link.config().expect("a configuration");
    let connect = async {
        let stream = TcpStream::connect(address).await.expect("connected");
        let name = "localhost".try_into().expect("a name");
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
    };
    let accept = async {
        let (stream, _) = listener.accept().await.expect("accepted");
        tls.accept(stream).await.expect("a handshake")
    };
    let (client, _server) = tokio::join!(connect, accept);
    let chain = client.get_ref().1.peer_certificates().expect("a certificate");
    chain[0].clone().into_owned()
}

#[tokio::test]
async fn a_new_pair_is_used_and_a_bad_one_is_reported_once() {
    let (first, second, third) = (pair(), pair(), pair());
    let place = Place::new(&first);
    let (tls, mut reloader) = place.start();
    assert!(matches!(reloader.look(), Some(WatchEvent::Unchanged)));
    assert_eq!(shown(&tls).await, first.der);

    place.write("certificate", &second.certificate);
    assert!(matches!(reloader.look(), Some(WatchEvent::Failed(error)) if error.contains("do not fit")));
    assert!(matches!(reloader.look(), Some(WatchEvent::Unchanged)), "said once");
    assert_eq!(shown(&tls).await, first.der);
    place.write("key", &second.key);
    assert!(matches!(reloader.look(), Some(WatchEvent::Loaded(()))));
    assert_eq!(shown(&tls).await, second.der);

    for bad in ["", "-----BEGIN CERTIFICATE-----\nMIIB", &third.key] {
        place.write("certificate", bad);
        let _ = reloader.look();
    }
    fs::remove_file(place.directory.path().join("key")).expect("removed");
    let _ = reloader.look();
    assert!(matches!(reloader.look(), Some(WatchEvent::Unchanged)), "said once");
    assert_eq!(shown(&tls).await, second.der);

    place.write("key", &third.key);
    place.write("certificate", &third.certificate);
    assert!(matches!(reloader.look(), Some(WatchEvent::Loaded(()))));
    assert_eq!(shown(&tls).await, third.der);
    drop(tls);
    assert!(reloader.look().is_none(), "no listener uses it any more");
}

#[tokio::test]
async fn a_start_with_a_bad_pair_says_what_is_wrong_and_shows_no_key() {
    let (first, second) = (pair(), pair());
    let place = Place::new(&first);
    let error = |name: &str, text: &str| {
        place.write("certificate", &first.certificate);
        place.write("key", &first.key);
        place.write(name, text);
        let refused = ReloadingTls::start(&place.settings, "grpc.tls", b"h2").err().expect("refused");
        format!("{refused:#}")
    };
    let middle = first.key.lines().nth(1).expect("a line of the key");
    for (name, text, expected) in [
        ("key", second.key.as_str(), "do not fit together"),
        ("key", "", "holds no private key"),
        ("certificate", first.key.as_str(), "holds no certificate"),
        ("key", &first.key.replace("-----END", "-----END OF"), "holds no private key"),
        ("certificate", &format!("-----BEGIN {middle}\n"), "holds no certificate"),
    ] {
        let error = error(name, text);
        assert!(error.starts_with("grpc.tls: ") && error.contains(expected), "{error}");
        assert!(!error.contains(middle), "{error}");
    }
    place.write("certificate", &first.certificate);
    fs::remove_file(place.directory.path().join("key")).expect("removed");
    let refused = ReloadingTls::start(&place.settings, "grpc.tls", b"h2").err().expect("refused");
    assert!(format!("{refused:#}").contains("cannot be read"), "{refused:#}");
}
