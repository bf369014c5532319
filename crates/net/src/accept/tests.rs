//! Clients that complete their handshake and clients that do not, over real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::super::handshake::{HANDSHAKE_TIMEOUT, PREFACE};
use super::*;
use crate::tls::{HTTP2, ReloadingTls, TlsSettings};

async fn port() -> (Port, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (Port::plain(listener), address)
}

/// Permits for this number of connections, all of which may come from one address.
fn limits(connections: usize) -> ConnectionLimits {
    ConnectionLimits {
        max_connections: connections,
        anonymous_per_address: connections,
        trusted_proxies: Arc::default(),
    }
}

/// A port with a certificate, and a connector to it.
async fn encrypted(directory: &std::path::Path) -> (Port, SocketAddr, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let [certificate, key] = ["certificate", "key"].map(|name| directory.join(name));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let settings = TlsSettings { certificate: Some(certificate), key: Some(key), ..TlsSettings::default() };
    let tls = ReloadingTls::start(&settings, "grpc.tls", HTTP2).expect("a good pair");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert)).expect("an authority");
    let ring = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    let (port, address) = port().await;
    (Port { tls, ..port }, address, TlsConnector::from(Arc::new(config)))
}

/// Accepts every client that completes its handshake, and keeps it.
fn serve(mut incoming: Acceptor) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(incoming.next().await);
        }
    })
}

async fn connect(address: SocketAddr, first_bytes: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(first_bytes).await.expect("sent");
    client
}

/// Returns whether the server closes the connection within a time.
async fn closed(client: &mut TcpStream, within: Duration) -> bool {
    timeout(within, client.read_to_end(&mut Vec::new())).await.is_ok()
}

#[test]
fn repeated_failures_are_logged_once() {
    let (mut failures, start) = (FailureLog::default(), Instant::now());
    assert!(failures.should_log(start));
    for i in 1..100 {
        assert!(!failures.should_log(start + MIN_QUIET_TIME / 2 * i), "{i}");
    }
    assert!(failures.should_log(start + MIN_QUIET_TIME * 52));
}

#[tokio::test]
async fn the_oldest_of_too_many_unfinished_handshakes_is_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (encrypted, behind_tls, _) = encrypted(directory.path()).await;
    let (plain, in_the_open) = port().await;
    for (port, address) in [(encrypted, behind_tls), (plain, in_the_open)] {
        let handshakes = Handshakes::new(Handshake::Http2, 2, 2, Arc::clone(&port.dropped));
        let serving = serve(Acceptor { handshakes, ..Acceptor::new(port, limits(1), Handshake::Http2) });
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(connect(address, b"").await);
        }
        for old in &mut clients[..2] {
            assert!(closed(old, Duration::from_secs(3)).await, "it is the oldest");
        }
        for young in &mut clients[2..] {
            assert!(!closed(young, Duration::from_millis(100)).await, "it has time");
        }
        serving.abort();
        for young in &mut clients[2..] {
            assert!(closed(young, Duration::from_secs(3)).await, "they go with the port");
        }
    }
}

#[tokio::test]
async fn silence_and_slow_talk_end_in_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let (port, address, connector) = encrypted(directory.path()).await;
    let (plain, in_the_open) = self::port().await;
    let (http1, request) = self::port().await;
    let serving = [
        serve(Acceptor::new(port, limits(1), Handshake::Http2)),
        serve(Acceptor::new(plain, limits(1), Handshake::Http2)),
        serve(Acceptor::new(http1, limits(1), Handshake::Http1)),
    ];
    let mut clients = [
        connect(address, b"").await,
        connect(in_the_open, b"").await,
        connect(in_the_open, &PREFACE[..PREFACE.len() - 1]).await,
        connect(request, b"").await,
    ];
    let stream = connect(address, b"").await;
    let mut half = connector.connect("localhost".try_into().expect("a name"), stream).await.expect("a handshake");
    half.write_all(&PREFACE[..1]).await.expect("sent");
    for client in &mut clients {
        assert!(!closed(client, Duration::from_millis(50)).await, "it has time");
    }
    tokio::time::pause();
    let started = Instant::now();
    for client in &mut clients {
        assert!(closed(client, HANDSHAKE_TIMEOUT + Duration::from_secs(1)).await);
    }
    let _ = half.read_to_end(&mut Vec::new()).await;
    assert!(started.elapsed() <= HANDSHAKE_TIMEOUT + Duration::from_secs(1), "{:?}", started.elapsed());
    serving.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn other_words_end_at_once() {
    let (port, address) = port().await;
    let serving = serve(Acceptor::new(port, limits(1), Handshake::Http2));
    for first_bytes in [&b"G"[..], b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/1", b"\x16\x03\x01"] {
        assert!(closed(&mut connect(address, first_bytes).await, Duration::from_secs(1)).await, "{first_bytes:?}");
    }
    serving.abort();
}

#[tokio::test]
async fn completed_handshakes_are_accepted_beside_unfinished_ones_and_keep_their_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let (port, address, connector) = encrypted(directory.path()).await;
    let (plain, in_the_open) = self::port().await;
    let mut behind_tls = Acceptor::new(port, limits(1), Handshake::Http2);
    let mut incoming = Acceptor::new(plain, limits(1), Handshake::Http2);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push((connect(address, b"").await, connect(in_the_open, b"").await));
    }
    let first_bytes = [&PREFACE[..], b"and more"].concat();
    let mut client = connect(in_the_open, &first_bytes[..5]).await;
    let (sent, (client, _)) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.write_all(&first_bytes[5..]).await
        },
        incoming.next()
    );
    sent.expect("sent");
    let stream = connect(address, b"").await;
    let (encrypted, (greeted_behind_tls, _)) = tokio::join!(
        async {
            let name = "localhost".try_into().expect("a name");
            let mut stream = connector.connect(name, stream).await.expect("a handshake");
            stream.write_all(&first_bytes).await.expect("sent");
            stream
        },
        behind_tls.next()
    );
    for mut stream in [client.stream, greeted_behind_tls.stream] {
        let mut heard = vec![0; first_bytes.len()];
        // The bytes are read in parts, as by a reader with a small buffer.
        let (first, rest) = heard.split_at_mut(3);
        stream.read_exact(first).await.expect("the first words");
        stream.read_exact(rest).await.expect("the others");
        assert_eq!(heard, first_bytes);
    }
    drop((silent, encrypted));
}

#[tokio::test]
async fn no_more_than_allowed_at_once() {
    let (port, address) = port().await;
    let mut incoming = Acceptor::new(port, limits(1), Handshake::Http2);
    let _clients = [connect(address, PREFACE).await, connect(address, PREFACE).await];
    let first = incoming.next().await;
    assert!(timeout(Duration::from_millis(100), incoming.next()).await.is_err(), "there is no place");
    drop(first);
    let _second = timeout(Duration::from_secs(1), incoming.next()).await.expect("a permit is free");
}

/// A client at this address of the machine.
async fn connect_from(from: [u8; 4], address: SocketAddr, first_bytes: &[u8]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of this machine");
    let mut client = socket.connect(address).await.expect("connected");
    client.write_all(first_bytes).await.expect("sent");
    client
}

#[tokio::test]
async fn silent_connections_of_one_address_cost_others_nothing() {
    let (port, address) = port().await;
    let dropped = Arc::clone(&port.dropped);
    let handshakes = Handshakes::new(Handshake::Http2, 8, 4, Arc::clone(&dropped));
    let mut incoming = Acceptor { handshakes, ..Acceptor::new(port, limits(10), Handshake::Http2) };
    let accepting = tokio::spawn(async move {
        let (client, _slot) = incoming.next().await;
        client.address.ip()
    });
    let mut slow = connect_from([127, 0, 0, 7], address, &PREFACE[..5]).await;
    let mut silent = Vec::new();
    for n in 0..100_u8 {
        silent.push(connect_from([127, 0, 1, n % 3], address, b"").await);
        if n % 10 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    sleep(Duration::from_millis(50)).await;
    slow.write_all(&PREFACE[5..]).await.expect("it was not closed");
    let client = timeout(Duration::from_secs(1), accepting).await.expect("it is let in").expect("no panic");
    assert_eq!(client, IpAddr::from([127, 0, 0, 7]));
    let [handshakes, ..] = dropped.counts();
    assert!(handshakes >= 90, "{handshakes}");
}

#[tokio::test]
async fn without_a_free_permit_an_anonymous_connection_is_displaced() {
    let (port, address) = port().await;
    let limits = ConnectionLimits { max_connections: 3, anonymous_per_address: 2, trusted_proxies: Arc::default() };
    let mut incoming = Acceptor::new(port, limits, Handshake::Http2);
    let mut clients = Vec::new();
    let mut permits = Vec::new();
    for from in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 2]] {
        clients.push(connect_from(from, address, PREFACE).await);
        permits.push(incoming.next().await.1);
    }
    let evicted = |permit: &mut ConnectionPermit| {
        permit.poll_evicted(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    };
    // The first of them makes an authenticated call.
    drop(permits[0].take_anonymous());
    clients.push(connect_from([127, 0, 0, 3], address, PREFACE).await);
    assert!(timeout(Duration::from_millis(50), incoming.next()).await.is_err(), "it has not gone yet");
    let displaced: Vec<_> = permits.iter_mut().map(evicted).collect();
    assert_eq!(displaced, [false, true, false], "the oldest of the address that has most");
    permits.remove(1);
    timeout(Duration::from_secs(1), incoming.next()).await.expect("a permit is free");
}

#[tokio::test]
async fn one_address_has_its_part_of_the_connections_unless_it_is_a_trusted_proxy() {
    for (proxies, expected) in [(&[][..], [true, false, false]), (&["127.0.0.9"], [false; 3])] {
        let (port, address) = port().await;
        let trusted_proxies = proxies.iter().map(|network| network.parse().expect("a network")).collect();
        let mut incoming = Acceptor::new(
            port,
            ConnectionLimits { max_connections: 10, anonymous_per_address: 2, trusted_proxies },
            Handshake::Http2,
        );
        let (mut clients, mut permits) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            clients.push(connect_from([127, 0, 0, 9], address, PREFACE).await);
            permits.push(incoming.next().await.1);
        }
        let evicted = |permit: &mut ConnectionPermit| {
            permit.poll_evicted(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
        };
        assert_eq!(permits.iter_mut().map(evicted).collect::<Vec<_>>(), expected);
    }
}
