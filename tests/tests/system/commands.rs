//! The commands other than `serve`: import, users, API keys, configuration.

use access_tokens_domain::store::AccountStore;
use access_tokens_storage::{DatabaseOptions, connect};
use access_tokens_testapp::process::Installation;
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{EVERY_PERMISSION, add_organisation, add_user, logged_in, sqlite, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_changed_by_adding_the_user_again() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    assert!(installation.run(&["organisation", "add", "SHOP"]).status.success());
    let add = ["user", "add", "--organisation", "SHOP", "--username", "anna", "--password-stdin"];
    let add = [&add[..], &["--permissions", EVERY_PERMISSION]].concat();
    let added = installation.run_with_input(&add, "correct horse\n");
    assert!(added.status.success() && text(&added).contains("added"), "{}", text(&added));
    let again = installation.run_with_input(&add, "battery staple\n");
    assert!(text(&again).contains("changed") && !text(&again).contains("staple"), "{}", text(&again));
    let taken =
        installation.run(&["api-key", "add", "--organisation", "SHOP", "--name", "anna", "--permissions", "admin"]);
    assert!(taken.status.code() == Some(1) && text(&taken).contains("a name of its own"), "{}", text(&taken));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    server.client().login("SHOP", "anna", "battery staple", None).await.expect("logged in");
    server.client().login("SHOP", "anna", "correct horse", None).await.expect_err("the password of before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_complains_in_order_and_counts() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    file("lines.ndjson", "{\"unit\": {\"id\": \"1\", \"name\": 7}}\nnonsense\n{\"unit\": {\"id\": \"2\"}}\n");
    file(
        "answer.json",
        "{\n  \"status\": {\"code\": \"OK\"},\n  \"data\": [\n    {\"id\": \"A\", \"number\": \"AT1\", \"authentication_code\": \"1\", \"life_cycle_state\": null}\n  ]\n}\n",
    );
    let said = |installation: &Installation, arguments: &[&str], code: i32| {
        let output = installation.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (checked, _) = said(&installation, &["import", "--create-organisation", "--check", "lines.ndjson"], 1);
    assert_eq!(checked, "checked, nothing written: 1 created, 0 updated, 0 unchanged, 2 failed\n");
    let options = DatabaseOptions::new(format!("sqlite://{}/access-tokens.db", directory.path().display()));
    let database = connect(&options).await.expect("the file is there");
    assert_eq!(database.organisation_by_name("DEMO").await.expect("read"), None, "the check has written something");
    drop(database);
    let (imported, complaints) =
        said(&installation, &["import", "--create-organisation", "lines.ndjson", "answer.json"], 1);
    assert_eq!(imported, "2 created, 0 updated, 0 unchanged, 2 failed\n");
    let complaints: Vec<&str> = complaints.lines().collect();
    assert!(complaints[0].starts_with("lines.ndjson:1: INVALID_FIELD_VALUE unit.name: "), "{complaints:?}");
    assert!(complaints[1].starts_with("lines.ndjson:2: INVALID_FIELD_VALUE is not valid JSON"), "{complaints:?}");
    // No record is imported twice, and answers that are no tokens are refused.
    let (again, _) = said(&installation, &["import", "lines.ndjson", "answer.json"], 1);
    assert_eq!(again, "0 created, 0 updated, 1 unchanged, 1 kept, 2 failed\n");
    let (again, _) = said(&installation, &["import", "--existing=overwrite", "answer.json"], 0);
    assert_eq!(again, "0 created, 0 updated, 1 unchanged, 0 failed\n");
    let participant =
        r#"{"status":{"code":"OK"},"data":{"id":"A3FE","number":"RP0000000916","life_cycle_state":"EFFECTIVE"}}"#;
    file("participant.json", participant);
    let (said_of_it, why) = said(&installation, &["import", "participant.json"], 2);
    assert_eq!(said_of_it, "0 created, 0 updated, 0 unchanged, 1 failed\n");
    assert!(why.contains("authentication_code") && why.contains("--allow-incomplete"), "{why}");
    file(
        "expired.json",
        r#"{"status":{"code":"COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION","message":"expired"},"data":null}"#,
    );
    let (_, why) = said(&installation, &["import", "expired.json"], 2);
    assert!(why.contains("INVALIDTOKENEXCEPTION: expired") && !why.contains("there is no record"), "{why}");
    file("empty.json", "\n");
    let (_, why) = said(&installation, &["import", "expired.json", "empty.json"], 2);
    assert_eq!(why.lines().filter(|line| line.contains("there is no record")).count(), 1, "{why}");
    said(&installation, &["import", "--allow-incomplete", "participant.json"], 0);
    let (_, missing) = said(&installation, &["import", "nowhere.ndjson"], 1);
    assert!(missing.contains("nowhere.ndjson"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_imported_and_bad_lines_are_named() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
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

    add_organisation(&installation);
    let checked = installation.run(&["import", "--check", answer]);
    assert!(checked.status.success(), "{}", text(&checked));
    let imported = installation.run(&["import", "faulty.ndjson", answer]);
    let said = text(&imported);
    assert_eq!(imported.status.code(), Some(1), "{said}");
    assert!(said.contains("faulty.ndjson:11") && said.contains("life_cycle_state"), "{said}");
    assert!(said.contains("faulty.ndjson:1501"), "{said}");
    std::fs::write(&faulty, lines.join("\n")).expect("written");
    let again = installation.run(&["import", "faulty.ndjson", answer]);
    assert!(again.status.success(), "{}", text(&again));
    let from_stdin = installation.run_with_input(&["import", "-"], r#"{"unit": {"id": "U", "name": "Unit"}}"#);
    assert!(from_stdin.status.success(), "{}", text(&from_stdin));

    add_user(&installation);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let client = logged_in(&server).await;
    for code in ["c0", "c10", "c1500", "c1999", "pk_test4"] {
        client.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": code}})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_is_printed_once_as_the_last_word() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_organisation(&installation);
    let arguments =
        ["api-key", "add", "--organisation", "DEMO", "--name", "till", "--permissions", "access_tokens.read"];
    let added = installation.run(&arguments);
    assert!(added.status.success(), "{}", text(&added));
    let said = String::from_utf8_lossy(&added.stdout).into_owned();
    let key = said.split_whitespace().last().expect("a key");
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let till = server.client().with_api_key(key);
    till.ok("ListClassifications", json!({})).await;
    till.refused("CreateAccessToken", json!({}), "PERMISSION_DENIED").await;
    for entry in std::fs::read_dir(directory.path()).expect("a directory") {
        let content = std::fs::read(entry.expect("an entry").path()).expect("a file");
        // The secret follows the prefix and the id, and may contain the separator itself.
        let secret = key.splitn(3, '_').last().expect("a secret").as_bytes();
        assert_eq!(secret.len(), 43);
        assert!(!content.windows(secret.len()).any(|window| window == secret), "the key is stored in clear");
    }
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let unknown =
        installation.command(&["check-config"]).env("ACCESS_TOKENS__GRPC__LISTNE", "x").output().expect("runs");
    assert!(!unknown.status.success() && text(&unknown).to_lowercase().contains("listne"), "{}", text(&unknown));
    let secret = "postgres://user:hunter2@127.0.0.1:1/database";
    let shown =
        installation.command(&["check-config"]).env("ACCESS_TOKENS__DATABASE__URL", secret).output().expect("runs");
    assert!(!text(&shown).contains("hunter2"), "{}", text(&shown));
    // On PostgreSQL no process creates keys by itself, because each replica would have its own.
    for arguments in [&["serve"][..], &["import", "/dev/null"]] {
        let refused =
            installation.command(arguments).env("ACCESS_TOKENS__DATABASE__URL", secret).output().expect("runs");
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused);
        assert!(said.contains("access-tokens.keys does not exist") && !said.contains("hunter2"), "{said}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0, "nothing was made");
    assert_eq!(installation.run(&["serve", "--nonsense"]).status.code(), Some(2));
    std::fs::write(directory.path().join("access-tokens.keys"), "not a key ring").expect("written");
    let refused = installation.run(&["serve"]);
    assert!(!refused.status.success() && !text(&refused).contains("not a key ring"), "{}", text(&refused));
}

/// Runs a command that must fail, and returns its output.
fn refusal(installation: &Installation, arguments: &[&str], input: &str) -> String {
    let output = installation.run_with_input(arguments, input);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output));
    text(&output)
}

async fn organisations_of(url: &str) -> Vec<String> {
    let database = connect(&DatabaseOptions::new(url)).await.expect("a database");
    database.organisations().await.expect("read").into_iter().map(|organisation| organisation.name).collect()
}

async fn organisations_come_from_their_commands_only(installation: &Installation, url: &str) {
    assert!(installation.run(&["organisation", "add", "ACME"]).status.success());
    let record = r#"{"unit": {"id": "1", "name": "Main"}}"#;
    let user = [
        "user",
        "add",
        "--username",
        "anna",
        "--password-stdin",
        "--permissions",
        "access_tokens.read",
        "--organisation",
    ];
    let key = ["api-key", "add", "--name", "till", "--permissions", "admin", "--organisation"];
    for typo in ["ACNE", "acme", "ACME ", "ACM"] {
        for (command, input) in [
            (&user[..], "correct horse"),
            (&key, ""),
            (&["import", "-", "--organisation"], record),
            (&["import", "-", "--check", "--organisation"], record),
            (&["organisation", "rename"], ""),
        ] {
            let rename = command[0] == "organisation";
            let more = if rename { vec![typo, "NEW"] } else { vec![typo] };
            let said = refusal(installation, &[command, &more].concat(), input);
            assert!(said.contains(&format!("there is no organisation {typo:?}; similar: ACME")), "{said}");
        }
    }
    let said = refusal(installation, &["import", "-"], record);
    assert!(said.contains(r#"no organisation "DEMO"; `access-tokens organisation add NAME`"#), "{said}");
    assert_eq!(organisations_of(url).await, ["ACME"]);

    let said = refusal(installation, &["organisation", "add", "ACME"], "");
    assert!(said.contains("already"), "{said}");
    refusal(installation, &["organisation", "add", ""], "");
    refusal(installation, &["organisation", "add", &"x".repeat(257)], "");
    let checked = installation.run_with_input(&["import", "--create-organisation", "--check", "-"], record);
    assert!(checked.status.success(), "{}", text(&checked));
    assert_eq!(organisations_of(url).await, ["ACME"], "a check creates nothing");
    let imported = installation.run_with_input(&["import", "--create-organisation", "-"], record);
    assert!(imported.status.success(), "{}", text(&imported));
    assert_eq!(organisations_of(url).await, ["ACME", "DEMO"]);

    // A record cannot rename an organisation, with any permissions.
    for record in [r#"{"organisation": {"name": "Free"}}"#, r#"{"organisation": {"id": "X", "name": "DEMO"}}"#] {
        let said = refusal(installation, &["import", "-"], record);
        assert!(said.contains("INVALID_FIELD_VALUE organisation."), "{said}");
    }
    assert!(refusal(installation, &["organisation", "rename", "ACME", "DEMO"], "").contains("already"));
    refusal(installation, &["organisation", "rename", "ACME", "a\nb"], "");
    let added = installation.run_with_input(&[&user[..], &["ACME"]].concat(), "correct horse");
    assert!(added.status.success(), "{}", text(&added));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let session = server.client().login("ACME", "anna", "correct horse", None).await.expect("logged in");
    let renamed = installation.run(&["organisation", "rename", "ACME", "ACME Cyprus"]);
    assert!(renamed.status.success(), "{}", text(&renamed));
    assert_eq!(organisations_of(url).await, ["ACME Cyprus", "DEMO"]);
    // Sessions stay valid; log-ins use the new name.
    server.client().with_session(&session).ok("ListGuessBudgets", json!({})).await;
    server.client().login("ACME", "anna", "correct horse", None).await.expect_err("the name of before");
    server.client().login("ACME Cyprus", "anna", "correct horse", None).await.expect("logged in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_come_from_their_commands_only_on_sqlite() {
    let directory = TempDir::new().expect("a directory");
    let url = format!("sqlite://{}/access-tokens.db", directory.path().display());
    organisations_come_from_their_commands_only(&sqlite(&directory), &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_come_from_their_commands_only_on_postgres() {
    let directory = TempDir::new().expect("a directory");
    let url = tokio::task::block_in_place(access_tokens_testkit::postgres::create_database);
    let installation = Installation::new(crate::processes::BINARY, directory.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success());
    organisations_come_from_their_commands_only(&installation, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_that_are_set_here_are_long_and_rare_and_imported_ones_may_be_short() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_organisation(&installation);
    let add = ["user", "add", "--organisation", "DEMO", "--username", "anna.papadopoulou", "--password-stdin"];
    let add = [&add[..], &["--permissions", "admin"]].concat();
    for (password, expected) in [
        ("x", "at least 12 characters"),
        ("elevenchars", "at least 12 characters"),
        ("Anna.Papadopoulou", "must not be the user name"),
        ("1q2w3e4r5t6y", "many people use"),
        ("000000000000", "many people use"),
        (&"y7".repeat(129), "longer than 256 characters"),
    ] {
        let said = refusal(&installation, &add, password);
        assert!(said.contains(expected) && !said.contains(password), "{said}");
    }
    let record = r#"{"user": {"username": "old", "password": "short"}}"#;
    assert!(installation.run_with_input(&["import", "-"], record).status.success());
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    server.client().login("DEMO", "old", "short", None).await.expect("logged in");
    server.client().login("DEMO", "anna.papadopoulou", "elevenchars", None).await.expect_err("was not added");
}
