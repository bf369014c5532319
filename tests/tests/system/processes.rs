//! The service as processes: started, fed, asked to stop, killed.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;

use access_tokens_testkit::app::Client;
use access_tokens_testkit::postgres;
use access_tokens_testkit::process::{Server, Workplace};
use serde_json::json;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const PASSWORD: &str = "correct horse";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Everything that a command has said.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A place with a SQLite file of its own.
pub(crate) fn sqlite(directory: &TempDir) -> Workplace {
    Workplace::new(BINARY, directory.path(), "sqlite://access-tokens.db")
}

fn connect(server: &Server, words: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("connected");
    stream.write_all(words).expect("sent");
    // Its answer shows that the server has seen the connection.
    stream.read_exact(&mut [0; 9]).expect("answered");
    stream
}

/// Adds the user of these tests.
pub(crate) fn add_user(place: &Workplace) {
    let arguments = ["user", "add", "--organisation", "DEMO", "--username", "ops", "--password-stdin"];
    let added = place.run_with_input(&arguments, PASSWORD);
    assert!(added.status.success(), "{}", text(&added));
}

/// That user, logged in.
pub(crate) async fn logged_in(server: &Server) -> Client {
    let client = server.client();
    let token = client.login("DEMO", "ops", PASSWORD, None).await.expect("logged in");
    client.with_session(&token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_serves_what_it_prints() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    for round in 0..2 {
        let server = place.start(&["serve", "--demo"]);
        place.wait_until_ready();
        let client = server.client();
        let token = client.login("DEMO", "demo", "demo", None).await.expect("the printed login works");
        let request = json!({"access_token_identifier": {"authentication_code": "99021047380"}});
        let shown = client.with_session(&token).ok("ShowAccessToken", request).await;
        assert_eq!(shown["number"], "AT0000000671");
        let (code, took) = server.terminate();
        assert_eq!(code, Some(0), "round {round}: {}", place.log());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    let keys = std::fs::metadata(directory.path().join("access-tokens.keys")).expect("a key file");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&keys.permissions()) & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_on_one_postgres_start_at_once() {
    let directory = TempDir::new().expect("a directory");
    let url = tokio::task::block_in_place(postgres::create_database);
    let place = Workplace::new(BINARY, directory.path(), &url);
    let refused = place.run(&["serve"]);
    assert!(!refused.status.success() && text(&refused).contains("access-tokens.keys"), "{}", text(&refused));
    // SQLite makes a key file; it serves as the one that all replicas share.
    let keys = sqlite(&directory).run(&["migrate"]);
    assert!(keys.status.success(), "{}", text(&keys));
    add_user(&sqlite(&directory));

    let places = [place.clone(), place.replica(), place.replica()];
    let servers = places.each_ref().map(|place| place.start(&["serve"]));
    places.iter().for_each(Workplace::wait_until_ready);
    add_user(&place);
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
    for server in servers {
        assert_eq!(server.terminate().0, Some(0));
    }
}

#[test]
fn nobody_who_is_connected_keeps_it_from_stopping() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let _silent = connect(&server, b"");
    let _half = connect(&server, &PREFACE[..10]);
    let _stuck = connect(&server, PREFACE);
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", place.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(place.run(&["healthcheck"]).status.code(), Some(1));
}

#[test]
fn a_second_signal_insists() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let _stuck = connect(&server, PREFACE);
    server.signal("INT");
    // Refused connections show that the first signal was taken.
    while TcpStream::connect(server.address()).is_ok() {
        std::thread::yield_now();
    }
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let second = place.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains(&format!("error: cannot listen on {}", server.address())), "{}", text(&second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let server = place.start(&["serve"]);
        place.wait_until_ready();
        add_user(&place);
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
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let client = logged_in(&server).await;
    for id in &acknowledged {
        client.ok("ShowAccessToken", json!({"access_token_identifier": {"id": id}, "fields_set": "id"})).await;
    }
}
