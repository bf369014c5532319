//! The service as processes: start, load, stop, kill.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::time::Duration;

use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::HttpClient;
use access_tokens_testkit::postgres;
use serde_json::json;
use tempfile::TempDir;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const PASSWORD: &str = "correct horse";
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Returns the whole output of a command.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns an installation with a SQLite file of its own.
pub(crate) fn sqlite(directory: &TempDir) -> Installation {
    Installation::new(BINARY, directory.path(), "sqlite://access-tokens.db")
}

/// Opens a connection to the gRPC port and sends these bytes. The server has accepted it, and answered it if they are a preface.
pub(crate) fn connect(server: &Server, words: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("connected");
    stream.write_all(words).expect("sent");
    if words.starts_with(PREFACE) {
        stream.read_exact(&mut [0; 9]).expect("answered");
    } else {
        // Connections are accepted in their order: when a later one is answered, this one was accepted.
        connect(server, PREFACE);
    }
    stream
}

/// Opens a connection to the HTTP port and sends these bytes. The server has accepted it.
fn connect_http(address: SocketAddr, words: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(words).expect("sent");
    // Connections are accepted in their order: when a later one is answered, this one was accepted.
    let mut later = TcpStream::connect(address).expect("connected");
    later.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").expect("sent");
    later.read_to_end(&mut Vec::new()).expect("answered");
    stream
}

/// Logs in by HTTP as the user of the demo, and shows the token of the documented example.
async fn show_by_http(address: SocketAddr) -> String {
    let http = HttpClient::new(address, "");
    let login = json!({"username": "demo", "password": "demo-demo-demo", "organisation": "DEMO"});
    let session = http.post_text("authentication/token", &login.to_string()).await.data()["token"].take();
    let http = http.with_session(session.as_str().expect("a token"));
    let request = json!({"access_token_identifier": {"authentication_code": "99021047380"}, "fields_set": "number"});
    assert_eq!(http.post("access_tokens/show", request.clone()).await.data(), json!({"number": "AT0000000671"}));
    assert_eq!(http.canonical().post("access_tokens/show", request).await.data(), json!({"number": "AT0000000671"}));
    session.as_str().expect("a token").to_owned()
}

/// All permissions, as `--permissions` takes them.
pub(crate) const EVERY_PERMISSION: &str =
    "access_tokens.read,access_tokens.write,access_tokens.lookup,access_tokens.secrets,directory.write,admin";

/// Adds the organisation of these tests.
pub(crate) fn add_organisation(installation: &Installation) {
    let added = installation.run(&["organisation", "add", "DEMO"]);
    assert!(added.status.success() || text(&added).contains("already"), "{}", text(&added));
}

/// Adds the user of these tests, and its organisation.
pub(crate) fn add_user(installation: &Installation) {
    add_organisation(installation);
    let arguments = [
        "user",
        "add",
        "--organisation",
        "DEMO",
        "--username",
        "ops",
        "--password-stdin",
        "--permissions",
        EVERY_PERMISSION,
    ];
    let added = installation.run_with_input(&arguments, PASSWORD);
    assert!(added.status.success(), "{}", text(&added));
}

/// Returns a client with a session of that user.
pub(crate) async fn logged_in(server: &Server) -> Client {
    let client = server.client();
    let token = client.login("DEMO", "ops", PASSWORD, None).await.expect("logged in");
    client.with_session(&token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_serves_what_it_prints() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    for round in 0..2 {
        let server = installation.start(&["serve", "--demo"]);
        installation.wait_until_ready();
        let client = server.client();
        let token = client.login("DEMO", "demo", "demo-demo-demo", None).await.expect("the printed login works");
        let request = json!({"access_token_identifier": {"authentication_code": "99021047380"}});
        let shown = client.with_session(&token).ok("ShowAccessToken", request).await;
        assert_eq!(shown["number"], "AT0000000671");
        let (code, took) = server.terminate();
        assert_eq!(code, Some(0), "round {round}: {}", installation.log());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    let keys = std::fs::metadata(directory.path().join("access-tokens.keys")).expect("a key file");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&keys.permissions()) & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_on_one_postgres_start_at_once() {
    let directory = TempDir::new().expect("a directory");
    let url = tokio::task::block_in_place(postgres::create_database);
    let installation = Installation::new(BINARY, directory.path(), &url);
    let refused = installation.run(&["serve"]);
    assert!(!refused.status.success() && text(&refused).contains("access-tokens.keys"), "{}", text(&refused));
    let made = installation.run(&["keys", "init"]);
    assert!(made.status.success(), "{}", text(&made));
    assert_eq!(installation.run(&["keys", "init"]).status.code(), Some(1), "a key file is never overwritten");

    let installations = [installation.clone(), installation.replica(), installation.replica()];
    let servers = installations.each_ref().map(|installation| installation.start(&["serve"]));
    installations.iter().for_each(Installation::wait_until_ready);
    add_user(&installation);
    let mut calls = Vec::new();
    for server in &servers {
        let client = logged_in(server).await;
        for _ in 0..40 {
            let client = client.clone();
            calls.push(tokio::spawn(
                async move { client.ok("CreateAccessToken", json!({"fields_set": "number"})).await },
            ));
        }
    }
    let mut numbers = HashSet::new();
    for call in calls {
        let created = call.await.expect("created");
        assert!(numbers.insert(created["number"].to_string()), "{} twice", created["number"]);
    }
    // A session that one replica releases is refused by the others within a second.
    let session = logged_in(&servers[0]).await.session().to_owned();
    let elsewhere = servers[1].client().with_session(&session);
    elsewhere.ok("ListClassifications", json!({})).await;
    servers[0].client().with_session(&session).release().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    elsewhere.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    for server in servers {
        assert_eq!(server.terminate().0, Some(0));
    }
}

#[test]
fn open_connections_do_not_prevent_a_stop() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let _silent = connect(&server, b"");
    let _half = connect(&server, &PREFACE[..10]);
    let _stuck = connect(&server, PREFACE);
    let _silent_http = connect_http(server.http_address(), b"");
    let _half_http = connect_http(server.http_address(), b"POST /crmapi/rest/v2/access_to");
    let _stuck_http = connect_http(
        server.http_address(),
        b"POST /v1/access_tokens/show HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{",
    );
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", installation.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(installation.run(&["healthcheck"]).status.code(), Some(1));
}

#[test]
fn a_second_signal_insists() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let _stuck = connect(&server, PREFACE);
    server.signal("INT");
    // Refused connections show that the first signal was received.
    while TcpStream::connect(server.address()).is_ok() {
        std::thread::yield_now();
    }
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn silence_keeps_no_process_for_a_second() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve"]);
    let gateway = installation.replica();
    let separate = gateway.start(&["gateway", "--upstream", &format!("http://{}", server.address())]);
    installation.wait_until_ready();
    gateway.wait_until_listening();
    for (server, installation, serves_grpc) in [(separate, &gateway, false), (server, &installation, true)] {
        let _silent = connect_http(server.http_address(), b"");
        let _half = connect_http(server.http_address(), b"GET /openapi.j");
        let _silent_grpc = serves_grpc.then(|| [connect(&server, b""), connect(&server, &PREFACE[..10])]);
        let (code, took) = server.terminate();
        assert_eq!(code, Some(0), "{}", installation.log());
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_serves_within_the_process_and_apart() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let upstream = format!("http://{}", installation.address());
    // The command needs no database, no keys, and no running service.
    let elsewhere = TempDir::new().expect("a directory");
    let gateway = Installation::new(BINARY, elsewhere.path(), "postgres://nobody@127.0.0.1:1/nowhere");
    let separate = gateway.start(&["gateway", "--upstream", &upstream]);
    gateway.wait_until_listening();
    let http = HttpClient::new(separate.http_address(), "x");
    let away = http.canonical().post("access_tokens/show", json!({})).await;
    away.refused("DATABASE_UNAVAILABLE");
    assert_eq!((away.status, away.header("retry-after")), (503, "1"));
    let away = http.post("access_tokens/show", json!({})).await;
    assert_eq!(
        (away.status, away.code().as_str()),
        (200, "COM.CRM.EXCEPTION.ACCESSTOKENS.DATABASEUNAVAILABLEEXCEPTION")
    );

    for round in 0..2 {
        let server = installation.start(&["serve", "--demo"]);
        installation.wait_until_ready();
        let session = show_by_http(server.http_address()).await;
        show_by_http(separate.http_address()).await;
        for address in [server.http_address(), separate.http_address()] {
            let http = HttpClient::new(address, "no session");
            let request = json!({"access_token_identifier": {"id": "hunter2"}});
            let legacy = http.post("access_tokens/show", request.clone()).await;
            assert_eq!((legacy.status, legacy.code().as_str()), (200, "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION"));
            assert_eq!(http.canonical().post("access_tokens/show", request).await.status, 401);
            let headers = [("x-request-id", "mine-7")];
            let nowhere = http.send("GET", &format!("/nowhere/card-of-somebody?token={session}"), &headers, "").await;
            assert_eq!((nowhere.status, nowhere.header("x-request-id")), (404, "mine-7"));
        }
        // First with a crash: the installation finds the next server by itself.
        if round == 0 {
            server.kill()
        } else {
            assert_eq!(server.terminate().0, Some(0))
        }
        for installation in [&installation, &gateway] {
            let log = installation.log();
            let line = log.lines().find(|line| line.contains("mine-7")).expect("a line");
            assert!(line.contains("404") && line.contains("GET"), "{line}");
            assert!(
                log.lines().any(|l| l.contains("/crmapi/rest/v2/access_tokens/show") && l.contains("200")),
                "{log}"
            );
            for secret in [session.as_str(), "card-of-somebody", "hunter2"] {
                assert!(!log.contains(secret), "{log}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_http_says_so() {
    let directory = TempDir::new().expect("a directory");
    // SQLite creates the key file.
    add_user(&sqlite(&directory));
    let installation = Installation::new(BINARY, directory.path(), "postgres://nobody@127.0.0.1:1/nowhere");
    let server = installation.start(&["serve"]);
    installation.wait_until_listening();
    let http = HttpClient::new(server.http_address(), "x");
    let refused = http.canonical().post("access_tokens/show", json!({})).await;
    refused.refused("DATABASE_UNAVAILABLE");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert_eq!(http.send("GET", "/openapi.json", &[], "").await.status, 200, "what needs no database is there");
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", installation.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn http_can_be_switched_off() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--set", "http.listen="]);
    installation.wait_until_ready();
    assert!(TcpStream::connect(server.http_address()).is_err());
    assert_eq!(server.terminate().0, Some(0));
    let nothing = installation.run(&["gateway", "--upstream", "http://127.0.0.1:1", "--set", "http.listen="]);
    assert!(nothing.status.code() == Some(1) && text(&nothing).contains("http.listen is empty"), "{}", text(&nothing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_and_documentation_can_be_switched_off() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    // An empty message, because only the existence of the method matters.
    let reflected = async |address: SocketAddr| {
        use tonic::Code;
        let channel = Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy();
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.expect("connected");
        let path = PathAndQuery::from_static("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
        let messages = tonic::Request::new(tokio_stream::empty::<()>());
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        client.streaming(messages, path, codec).await.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    for (switches, on) in [(&[][..], true), (&["--set", "grpc.reflection=false", "--set", "http.docs=false"], false)] {
        let server = installation.start(&[&["serve"], switches].concat());
        installation.wait_until_ready();
        let code = reflected(server.address()).await;
        assert_eq!(code, if on { tonic::Code::Ok } else { tonic::Code::Unimplemented });
        let http = HttpClient::new(server.http_address(), "");
        for path in ["/openapi.json", "/docs"] {
            let answer = http.send("GET", path, &[], "").await;
            assert_eq!(answer.status, if on { 200 } else { 404 }, "{path}");
            assert_eq!(answer.header("strict-transport-security"), "", "the port speaks plain text");
        }
        http.post("access_tokens/show", json!({})).await.refused("INVALID_TOKEN");
        assert_eq!(server.terminate().0, Some(0));
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let second = installation.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    let named = format!("error: cannot listen on {} (grpc.listen)", server.address());
    assert!(text(&second).contains(&named), "{}", text(&second));
    let http = format!("http.listen={}", server.http_address());
    let named = format!("error: cannot listen on {} (http.listen)", server.http_address());
    for arguments in [&["serve", "--set", &http][..], &["gateway", "--upstream", "http://127.0.0.1:1", "--set", &http]]
    {
        let second = installation.replica().run(arguments);
        assert_eq!(second.status.code(), Some(1));
        assert!(text(&second).contains(&named), "{}", text(&second));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let server = installation.start(&["serve"]);
        installation.wait_until_ready();
        add_user(&installation);
        let client = logged_in(&server).await;
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    while let Ok(created) = client.try_call("CreateAccessToken", json!({"fields_set": "id"})).await {
                        acknowledged.push(created["id"].as_str().expect("an id").to_owned());
                    }
                    acknowledged
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.kill();
        for writer in writers {
            acknowledged.extend(writer.await.expect("no panic"));
        }
    }
    assert!(acknowledged.len() > 10, "the kills came before anything was written");
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let client = logged_in(&server).await;
    for id in &acknowledged {
        client.ok("ShowAccessToken", json!({"access_token_identifier": {"id": id}, "fields_set": "id"})).await;
    }
}
