//! Encrypted connections over real sockets: accepted and refused clients.

pub(crate) mod authority;
mod gateway;
mod mutual;
mod postgres;
mod reload;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::Installation;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::processes::{add_user, sqlite, text};
use authority::{Authority, Pair, put};

const PASSWORD: &str = "correct horse";
const LOOPBACK: &[&str] = &["127.0.0.1"];

/// Returns an installation whose servers encrypt all ports with `server.pem`.
fn encrypted(directory: &TempDir, pair: &Pair) -> Installation {
    pair.put(directory.path(), "server");
    ["GRPC", "HTTP", "OPS"].iter().fold(sqlite(directory), |installation, port| {
        installation
            .with(&format!("ACCESS_TOKENS__{port}__TLS__CERTIFICATE"), "server.pem")
            .with(&format!("ACCESS_TOKENS__{port}__TLS__KEY"), "server.key")
    })
}

/// Returns the TLS settings of a client: the trusted authority, and its certificate.
fn trust(authority: &str, shown: Option<&Pair>) -> ClientTlsConfig {
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    match shown {
        Some(pair) => config.identity(Identity::from_pem(&pair.certificate, &pair.key)),
        None => config,
    }
}

/// Connects as clients do, or returns all causes of the error.
async fn connect(address: SocketAddr, config: ClientTlsConfig) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("a URL");
    let endpoint = endpoint.tls_config(config).expect("a configuration");
    endpoint.connect().await.map_err(|error| {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    })
}

async fn client(address: SocketAddr, config: ClientTlsConfig) -> Client {
    Client::over(connect(address, config).await.expect("connected"))
}

/// Returns the client with a session of the user of [`add_user`].
async fn logged_in(client: &Client) -> Client {
    let session = client.login("DEMO", "ops", PASSWORD, None).await.expect("logged in");
    client.with_session(&session)
}

/// Returns the answer of a port to a request of HTTP/1, over TLS of these versions and with these protocols, or the error.
async fn exchange(
    address: SocketAddr,
    authority: &str,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> std::io::Result<String> {
    exchange_path(address, authority, versions, protocol, "/openapi.json").await
}

/// Returns the same as [`exchange`], for another path.
async fn exchange_path(
    address: SocketAddr,
    authority: &str,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
    path: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await?;
    let name = address.ip().into();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_trust_the_authority_call_over_tls_and_no_others() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let installation = encrypted(&directory, &authority.server(LOOPBACK));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    add_user(&installation);

    let caller = logged_in(&client(server.address(), trust(&authority.pem(), None)).await).await;
    caller.ok("CreateAccessToken", json!({"fields_set": "id"})).await;

    let plain = server.client().login("DEMO", "ops", PASSWORD, None).await;
    assert_eq!(plain.expect_err("plain text").reason, "");
    let wrong = connect(server.address(), trust(&Authority::new().pem(), None)).await.expect_err("another authority");
    assert!(wrong.contains("UnknownIssuer"), "{wrong}");
    let name = trust(&authority.pem(), None).domain_name("localhost");
    let wrong = connect(server.address(), name).await.expect_err("another name");
    assert!(wrong.contains("not valid for name"), "{wrong}");

    caller.ok("ListClassifications", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_no_client_could_take_is_refused_at_the_start_and_not_taken_live() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let good = authority.server(LOOPBACK);
    let installation = encrypted(&directory, &good);
    let early = authority.sign(|params| params.not_before = rcgen::date_time_ymd(2190, 1, 1));
    let key_of_another = Pair { key: authority.server(LOOPBACK).key, ..good.clone() };
    let chain = format!("{}{}", good.certificate, Authority::new().pem());
    let chain_of_another = Pair { certificate: chain, ..good.clone() };
    let client = authority.client("spiffe://example.com/till", "till");
    let bad = [
        (authority.expired_server(LOOPBACK), "has expired: it was valid until 2020-01-01"),
        (early, "is not valid before 2190-01-01"),
        (key_of_another, "do not fit together"),
        (chain_of_another, "was not signed by the second one"),
        (client, "is not for servers"),
    ];
    for (pair, expected) in &bad {
        pair.put(directory.path(), "server");
        let refused = installation.run(&["serve"]);
        let said = text(&refused);
        assert!(refused.status.code() == Some(1) && said.contains("grpc.tls") && said.contains(expected), "{said}");
    }
    good.put(directory.path(), "server");
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let read_again = || installation.log().matches("the certificate was read again").count();
    for (pair, expected) in &bad {
        pair.put(directory.path(), "server");
        let started = Instant::now();
        // Three listeners have this certificate.
        while installation.log().matches(expected).count() < 3 {
            assert!(started.elapsed() < Duration::from_secs(10), "{expected}: {}", installation.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        connect(server.address(), trust(&authority.pem(), None)).await.expect("the old certificate is shown");
        // A valid certificate in between, so that each fault is reported as a new one.
        let before = read_again();
        good.put(directory.path(), "server");
        while read_again() < before + 3 {
            assert!(started.elapsed() < Duration::from_secs(20), "{}", installation.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let metrics = exchange_path(server.ops_address(), &authority.pem(), &[&TLS13], b"http/1.1", "/metrics").await;
    let metrics = metrics.expect("answered");
    let line =
        metrics.lines().find(|line| line.starts_with("access_tokens_tls_reload_failures_total{listener=\"grpc\""));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    assert!(count.is_some_and(|count| count >= 5.0), "{line:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_ports_speak_their_protocol_over_tls_1_2_and_1_3_and_over_nothing_older() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let installation = encrypted(&directory, &authority.server(LOOPBACK));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let (grpc, http, authority) = (server.address(), server.http_address(), authority.pem());
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let answer = exchange(http, &authority, versions, b"http/1.1").await.expect("answered");
        assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("openapi"), "{answer}");
        let answer = exchange(server.ops_address(), &authority, versions, b"http/1.1").await.expect("answered");
        assert!(!answer.contains("strict-transport-security"), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        // The server speaks HTTP/2, so a client of HTTP/1 receives an answer that it does not understand.
        let answer = exchange(grpc, &authority, versions, b"h2").await;
        assert!(!answer.unwrap_or_default().contains("HTTP/1.1"));
    }
    exchange(http, &authority, &[&TLS13], b"h2").await.expect_err("not HTTP/2");
    exchange(grpc, &authority, &[&TLS13], b"http/1.1").await.expect_err("not HTTP/1");

    for (address, words) in [(grpc, old_hello()), (http, old_hello()), (http, b"GET / HTTP/1.1\r\n\r\n".to_vec())] {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.write_all(&words).expect("sent");
        let mut answer = Vec::new();
        // The connection may also be reset.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
        if words[0] == 0x16 {
            assert!([[2, 40], [2, 70]].contains(&[answer[5], answer[6]]), "fatal: {answer:?}");
            assert_eq!(answer.len(), 7, "and nothing else");
        } else {
            assert!(!answer.starts_with(b"HTTP"), "nothing is said in plain text");
        }
    }
}

/// Returns the first bytes of a client of TLS 1.1.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 49, 1, 0, 0, 45, 3, 2];
    hello.extend([7; 32]);
    // No session to resume, three cipher suites of that time, no compression.
    hello.extend([0, 0, 6, 0xc0, 0x13, 0, 0x2f, 0, 0x35, 1, 0]);
    hello
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_handshake_is_closed_and_delays_no_other_client() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let installation = encrypted(&directory, &authority.server(LOOPBACK));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    add_user(&installation);
    let started = Instant::now();
    let stalled: Vec<_> = [server.address(), server.http_address()]
        .iter()
        .flat_map(|address| [(*address, 0), (*address, 1), (*address, 20)].repeat(10))
        .map(|(address, length)| {
            let mut stream = TcpStream::connect(address).expect("connected");
            stream.write_all(&old_hello()[..length]).expect("sent");
            std::thread::spawn(move || {
                let _ = stream.read_to_end(&mut Vec::new());
                started.elapsed()
            })
        })
        .collect();
    let caller = logged_in(&client(server.address(), trust(&authority.pem(), None)).await).await;
    let mut calls = 0;
    while started.elapsed() < Duration::from_secs(4) {
        let before = Instant::now();
        let fresh = client(server.address(), trust(&authority.pem(), None)).await.with_session(caller.session());
        fresh.ok("ListClassifications", json!({})).await;
        exchange(server.http_address(), &authority.pem(), &[&TLS13], b"http/1.1").await.expect("answered");
        assert!(before.elapsed() < Duration::from_secs(2), "nobody waits for a stalled handshake");
        calls += 1;
    }
    assert!(calls > 3, "{calls} calls");
    for stream in stalled {
        let lasted = stream.join().expect("no panic");
        assert!((4.5..8.0).contains(&lasted.as_secs_f64()), "{lasted:?}");
    }
}

#[test]
fn plain_text_is_not_spoken_to_other_machines_unless_it_is_allowed() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let open = |name: &str| format!("{name}.listen=0.0.0.0:{}", installation.replica().address().port());
    for name in ["grpc", "http"] {
        let refused = installation.run(&["serve", "--set", &open(name)]);
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused);
        assert!(said.contains(&format!("set {name}.tls.certificate and {name}.tls.key")), "{said}");
        assert!(said.contains(&format!("{name}.allow_plain_text = true")), "{said}");
    }
    let refused = installation.run(&["gateway", "--upstream", "http://127.0.0.1:1", "--set", &open("http")]);
    assert!(text(&refused).contains("http.tls.certificate"), "{}", text(&refused));
    let refused = installation.run(&["gateway", "--upstream", "http://192.0.2.1:1"]);
    assert!(text(&refused).contains("gateway.upstream.allow_plain_text"), "{}", text(&refused));
    let refused =
        installation.with("ACCESS_TOKENS__DATABASE__URL", "postgres://u@192.0.2.1/d?sslmode=prefer").run(&["migrate"]);
    assert!(text(&refused).contains("database.allow_plain_text"), "{}", text(&refused));

    let allowed = installation.with("ACCESS_TOKENS__GRPC__ALLOW_PLAIN_TEXT", "true");
    let server = allowed.start(&["serve", "--set", &format!("grpc.listen=0.0.0.0:{}", allowed.address().port())]);
    allowed.wait_until_ready();
    assert!(allowed.log().contains("grpc.listen speaks plain text to other machines"), "{}", allowed.log());
    drop(server);

    let pair = Authority::new().server(LOOPBACK);
    let covered = encrypted(&directory, &pair).replica();
    let server = covered.start(&["serve", "--set", &format!("grpc.listen=0.0.0.0:{}", covered.address().port())]);
    covered.wait_until_ready();
    drop(server);
    put(directory.path(), "server.key", "nonsense");
    let refused = covered.run(&["serve"]);
    assert!(text(&refused).contains("grpc.tls: server.key holds no private key"), "{}", text(&refused));
}
