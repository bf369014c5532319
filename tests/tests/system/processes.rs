//! The service as processes: started, fed, asked to stop, killed.

use std::collections::HashSet;
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

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn sqlite(directory: &TempDir) -> Workplace {
    Workplace::new(BINARY, directory.path(), "sqlite://access-tokens.db")
}

fn add_user(place: &Workplace) {
    let arguments = ["user", "add", "--organisation", "DEMO", "--username", "ops", "--password-stdin"];
    let added = place.run_with_input(&arguments, PASSWORD);
    assert!(added.status.success(), "{}", text(&added));
}

async fn logged_in(server: &Server) -> Client {
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
            calls.push(tokio::spawn(async move { client.ok("CreateAccessToken", json!({"fields_set": "number"})).await }));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_does_not_keep_it_from_stopping() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let silent = TcpStream::connect(server.address()).expect("connected");
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", place.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(silent);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_imported_and_bad_lines_are_named() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let lines: Vec<_> = (0..2_000)
        .map(|i| json!({"access_token": {"id": format!("T{i:04}"), "number": format!("AT{i:010}"), "authentication_code": format!("c{i}")}}).to_string())
        .collect();
    let mut lines_with_faults = lines.clone();
    lines_with_faults[10] = r#"{"access_token": {"id": "T0010", "number": "AT0000000010", "life_cycle_state": "GONE"}}"#.to_owned();
    lines_with_faults[1_500] = "{ broken".to_owned();
    let faulty = directory.path().join("faulty.ndjson");
    std::fs::write(&faulty, lines_with_faults.join("\n")).expect("written");
    let answer = concat!(env!("CARGO_MANIFEST_DIR"), "/data/examples/02-list.response.json");

    let checked = place.run(&["import", "--check", answer]);
    assert!(checked.status.success(), "{}", text(&checked));
    let imported = place.run(&["import", "faulty.ndjson", answer]);
    let said = text(&imported);
    assert_eq!(imported.status.code(), Some(1), "{said}");
    assert!(said.contains("faulty.ndjson:11") && said.contains("life_cycle_state"), "{said}");
    assert!(said.contains("faulty.ndjson:1501"), "{said}");
    std::fs::write(&faulty, lines.join("\n")).expect("written");
    let again = place.run(&["import", "faulty.ndjson", answer]);
    assert!(again.status.success(), "{}", text(&again));
    let from_stdin = place.run_with_input(&["import", "-"], r#"{"unit": {"id": "U", "name": "Unit"}}"#);
    assert!(from_stdin.status.success(), "{}", text(&from_stdin));

    add_user(&place);
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let client = logged_in(&server).await;
    for code in ["c0", "c10", "c1500", "c1999", "pk_test4"] {
        client.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": code}})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_is_printed_once_as_the_last_word() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let arguments = ["api-key", "add", "--organisation", "DEMO", "--name", "till", "--permissions", "access_tokens.read"];
    let added = place.run(&arguments);
    assert!(added.status.success(), "{}", text(&added));
    let said = String::from_utf8_lossy(&added.stdout).into_owned();
    let key = said.split_whitespace().last().expect("a key");
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let till = server.client().with_api_key(key);
    till.ok("ListClassifications", json!({})).await;
    till.refused("CreateAccessToken", json!({}), "PERMISSION_DENIED").await;
    for entry in std::fs::read_dir(directory.path()).expect("a directory") {
        let content = std::fs::read(entry.expect("an entry").path()).expect("a file");
        let secret = key.rsplit_once('_').map_or(key, |(_, secret)| secret).as_bytes();
        assert!(!content.windows(secret.len()).any(|window| window == secret), "the key is stored in clear");
    }
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let unknown = place.command(&["check-config"]).env("ACCESS_TOKENS__GRPC__LISTNE", "x").output().expect("runs");
    assert!(!unknown.status.success() && text(&unknown).to_lowercase().contains("listne"), "{}", text(&unknown));
    let secret = "postgres://user:hunter2@127.0.0.1:1/database";
    let shown = place.command(&["check-config"]).env("ACCESS_TOKENS__DATABASE__URL", secret).output().expect("runs");
    assert!(!text(&shown).contains("hunter2"), "{}", text(&shown));
    let nobody = place.run(&["healthcheck"]);
    assert_eq!(nobody.status.code(), Some(1));
    std::fs::write(directory.path().join("access-tokens.keys"), "not a key ring").expect("written");
    let refused = place.run(&["serve"]);
    assert!(!refused.status.success() && !text(&refused).contains("not a key ring"), "{}", text(&refused));
}
