//! The commands besides serving: import, users, API keys, configuration.

use access_tokens_domain::store::AccountStore;
use access_tokens_storage::{DatabaseOptions, connect};
use access_tokens_testkit::process::Workplace;
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{add_user, logged_in, sqlite, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_changed_by_adding_the_user_again() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let add = ["user", "add", "--organisation", "SHOP", "--username", "anna", "--password-stdin"];
    let added = place.run_with_input(&add, "correct horse\n");
    assert!(added.status.success() && text(&added).contains("added"), "{}", text(&added));
    let again = place.run_with_input(&add, "battery staple\n");
    assert!(text(&again).contains("changed") && !text(&again).contains("staple"), "{}", text(&again));
    let taken = place.run(&["api-key", "add", "--organisation", "SHOP", "--name", "anna"]);
    assert!(taken.status.code() == Some(1) && text(&taken).contains("a name of its own"), "{}", text(&taken));
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    server.client().login("SHOP", "anna", "battery staple", None).await.expect("logged in");
    server.client().login("SHOP", "anna", "correct horse", None).await.expect_err("the password of before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_complains_in_order_and_counts() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    file("lines.ndjson", "{\"unit\": {\"id\": \"1\", \"name\": 7}}\nnonsense\n{\"unit\": {\"id\": \"2\"}}\n");
    file(
        "answer.json",
        "{\n  \"status\": {\"code\": \"OK\"},\n  \"data\": [\n    {\"id\": \"A\", \"number\": \"AT1\"}\n  ]\n}\n",
    );
    let said = |place: &Workplace, arguments: &[&str], code: i32| {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (checked, _) = said(&place, &["import", "--check", "lines.ndjson"], 1);
    assert_eq!(checked, "checked, nothing written: 1 created, 0 updated, 0 unchanged, 2 failed\n");
    let options = DatabaseOptions::new(format!("sqlite://{}/access-tokens.db", directory.path().display()));
    let database = connect(&options).await.expect("the file is there");
    assert_eq!(database.organisation_by_name("DEMO").await.expect("read"), None, "the check has written something");
    drop(database);
    let (imported, complaints) = said(&place, &["import", "lines.ndjson", "answer.json"], 1);
    assert_eq!(imported, "2 created, 0 updated, 0 unchanged, 2 failed\n");
    let complaints: Vec<&str> = complaints.lines().collect();
    assert!(complaints[0].starts_with("lines.ndjson:1: INVALID_FIELD_VALUE unit.name: "), "{complaints:?}");
    assert!(complaints[1].starts_with("lines.ndjson:2: INVALID_FIELD_VALUE is not valid JSON"), "{complaints:?}");
    let (_, missing) = said(&place, &["import", "nowhere.ndjson"], 1);
    assert!(missing.contains("nowhere.ndjson"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_imported_and_bad_lines_are_named() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    let lines: Vec<_> = (0..2_000)
        .map(|i| json!({"access_token": {"id": format!("T{i:04}"), "number": format!("AT{i:010}"), "authentication_code": format!("c{i}")}}).to_string())
        .collect();
    let mut lines_with_faults = lines.clone();
    lines_with_faults[10] =
        r#"{"access_token": {"id": "T0010", "number": "AT0000000010", "life_cycle_state": "GONE"}}"#.to_owned();
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
    let arguments =
        ["api-key", "add", "--organisation", "DEMO", "--name", "till", "--permissions", "access_tokens.read"];
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
        // After the prefix and the id. It may have such a letter itself.
        let secret = key.splitn(3, '_').last().expect("a secret").as_bytes();
        assert_eq!(secret.len(), 43);
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
    // On PostgreSQL nobody makes keys: each replica would have its own.
    for arguments in [&["serve"][..], &["import", "/dev/null"]] {
        let refused = place.command(arguments).env("ACCESS_TOKENS__DATABASE__URL", secret).output().expect("runs");
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused);
        assert!(said.contains("access-tokens.keys does not exist") && !said.contains("hunter2"), "{said}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0, "nothing was made");
    assert_eq!(place.run(&["serve", "--nonsense"]).status.code(), Some(2));
    std::fs::write(directory.path().join("access-tokens.keys"), "not a key ring").expect("written");
    let refused = place.run(&["serve"]);
    assert!(!refused.status.success() && !text(&refused).contains("not a key ring"), "{}", text(&refused));
}
