//! The end of a key: data that need it are moved, withdrawn or expire, and then the key is retired.

use std::time::{Duration, Instant};

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::key_ring::places_with_a_user;
use crate::processes::{BINARY, EVERY_PERMISSION, add_user, logged_in, text};

/// Runs a command that must succeed, and returns its output.
#[track_caller]
fn done(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run_with_input(arguments, "correct horse battery staple\n");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(installation: &Installation, arguments: &[&str], words: &str) {
    let output = installation.run(arguments);
    let said = text(&output);
    assert!(output.status.code() == Some(1) && said.contains(words), "{arguments:?}: expected {words}: {said}");
}

fn api_key(installation: &Installation, name: &str) -> String {
    let said = done(
        installation,
        &["api-key", "add", "--organisation", "DEMO", "--name", name, "--permissions", EVERY_PERMISSION],
    );
    said.split_whitespace().last().expect("a key").to_owned()
}

/// Returns the line of a key in `keys list`.
fn line(installation: &Installation, id: &str) -> String {
    let listed = done(installation, &["keys", "list"]);
    listed
        .lines()
        .find(|line| line.starts_with(id))
        .unwrap_or_else(|| panic!("{id} is not listed: {listed}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_retired_when_its_secrets_have_moved_or_were_withdrawn_and_its_sessions_have_ended() {
    for (directory, installation) in block_in_place(places_with_a_user) {
        let keys = || std::fs::read_to_string(directory.path().join("access-tokens.keys")).expect("keys");
        let idle = [
            "user",
            "add",
            "--organisation",
            "DEMO",
            "--username",
            "idle",
            "--password-stdin",
            "--permissions",
            "admin",
        ];
        done(&installation, &idle);
        let (used, unused) = (api_key(&installation, "used"), api_key(&installation, "unused"));
        let server = installation.start(&["serve"]);
        installation.wait_until_ready();
        let caller = logged_in(&server).await;
        for (identifier, pass_code) in [("active@example.com", "first-12345"), ("idle@example.com", "second-12345")] {
            caller.ok("CreateAccessToken", json!({"identifier": identifier, "pass_code": pass_code})).await;
        }
        let old = keys().lines().last().and_then(|line| line.split(' ').next()).expect("an id").to_owned();

        // A key that does not write yet is not offered for retirement.
        done(&installation, &["keys", "rotate", "--prepare"]);
        let listed = done(&installation, &["keys", "list"]);
        assert!(listed.contains("lets it write") && !listed.contains("keys retire"), "{listed}");
        let new = listed.lines().find(|line| line.contains("lets it write")).and_then(|line| line.split(' ').next());
        let new = new.expect("an id").to_owned();
        done(&installation, &["keys", "rotate", "--to", &new]);
        let writes = |key: &str| line(&installation, key).contains("writes");
        assert!(writes(&new) && !writes(&old));
        let before = line(&installation, &old);
        for expected in
            ["passwords: 2 (each moves at the next log-in)", "API keys: 2", "pass codes: 2", "sessions, until"]
        {
            assert!(before.contains(expected), "{expected}: {before}");
        }
        refused(&installation, &["keys", "retire", &old], "is needed, for ");
        refused(&installation, &["keys", "retire", &new], "new codes are made with key");

        // Data that are used move to the new key. Servers follow the file within seconds.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let again = logged_in(&server).await;
        server.client().with_api_key(&used).ok("ListClassifications", json!({})).await;
        let identifier = json!({"credential": {"identifier": "active@example.com", "pass_code": "first-12345"}});
        again.ok("CheckPassCode", json!({"access_token_identifier": identifier})).await;
        let started = Instant::now();
        let moved = || {
            let line = line(&installation, &old);
            ["passwords: 1 ", "API keys: 1 ", "pass codes: 1 "].iter().all(|one| line.contains(one))
        };
        while !moved() {
            assert!(started.elapsed() < Duration::from_secs(20), "{}", line(&installation, &old));
        }
        server.client().with_api_key(&used).ok("ListClassifications", json!({})).await;

        // Unused data are withdrawn, but not while they count as used, and not those of the writing key.
        refused(&installation, &["keys", "withdraw", &new, "--passwords"], "new codes are made with key");
        refused(&installation, &["keys", "withdraw", &old], "say what is to be withdrawn");
        let nothing = done(&installation, &["keys", "withdraw", &old, "--pass-codes", "--api-keys"]);
        assert!(nothing.contains("pass codes: 0, API keys: 0; still needed for"), "{nothing}");
        let all = ["keys", "withdraw", old.as_str(), "--passwords", "--pass-codes", "--api-keys", "--unused-days", "0"];
        let withdrawn = done(&installation, &all);
        let said = ["passwords: 1 (users ", "pass codes: 1", "API keys: 1", "nothing needs it any more"];
        assert!(said.iter().all(|one| withdrawn.contains(one)), "{withdrawn}");
        assert!(line(&installation, &old).contains("reads    sessions, until "), "{}", line(&installation, &old));

        // Sessions need the key for the longest time.
        refused(&installation, &["keys", "retire", &old], "sessions that key");
        caller.ok("ListClassifications", json!({})).await;
        done(&installation, &["keys", "retire", "--end-sessions", &old]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        caller.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
        again.ok("ListClassifications", json!({})).await;
        again.ok("CheckPassCode", json!({"access_token_identifier": identifier})).await;
        logged_in(&server).await;
        server.client().with_api_key(&used).ok("ListClassifications", json!({})).await;
        let dead = server.client().with_api_key(&unused).try_call("ListClassifications", json!({})).await;
        assert_eq!(dead.expect_err("revoked").reason, "INVALID_TOKEN");

        // The owners of withdrawn secrets get new ones.
        let login = async || server.client().login("DEMO", "idle", "correct horse battery staple", None).await;
        assert_eq!(login().await.expect_err("withdrawn").reason, "INVALID_LOGIN");
        done(&installation, &["user", "password", "--organisation", "DEMO", "--username", "idle", "--password-stdin"]);
        login().await.expect("a new password");
        again.ok("ResetPassCode", json!({"identifier": "idle@example.com"})).await;
        let doctor = text(&installation.run(&["doctor"]));
        assert!(!doctor.contains("keys are missing"), "{doctor}");
        assert_eq!(block_in_place(|| server.terminate()).0, Some(0), "{}", installation.log());
        assert!(installation.run(&["doctor"]).status.code() != Some(1));
        // A start with the remaining ring.
        let server = installation.start(&["serve"]);
        installation.wait_until_ready();
        drop(server);
    }
}

#[test]
fn the_same_password_again_ends_nothing_and_a_retired_key_by_force_is_noted() {
    for (directory, installation) in places_with_a_user() {
        let password = ["user", "password", "--organisation", "DEMO", "--username", "ops", "--password-stdin"];
        let same = installation.run_with_input(&password, "correct horse\n");
        assert!(same.status.success() && text(&same).contains("has this password already"), "{}", text(&same));
        let file = directory.path().join("access-tokens.keys");
        let old = std::fs::read_to_string(&file).expect("keys");
        let old = old.lines().last().and_then(|line| line.split(' ').next()).expect("an id").to_owned();
        done(&installation, &["keys", "rotate"]);
        done(&installation, &["keys", "retire", "--force", &old]);
        let noted = std::fs::read_to_string(&file).expect("keys");
        assert!(noted.contains(&format!("# Lost keys, accepted: {old}")), "the password of ops is lost: {noted}");
        let server = installation.start(&["serve"]);
        installation.wait_until_ready();
        drop(server);
        assert!(text(&installation.run(&["doctor"])).contains("they are accepted as lost"));
    }
}

#[test]
fn passwords_of_new_users_and_of_the_last_administrator_are_not_withdrawn() {
    for database in [None, Some(postgres::create_database())] {
        let directory = TempDir::new().expect("a directory");
        let url = database.as_deref().unwrap_or("sqlite://access-tokens.db");
        let installation = Installation::new(BINARY, directory.path(), url);
        done(&installation, &["keys", "init"]);
        done(&installation, &["migrate"]);
        add_user(&installation);
        let user = |command: &str, rest: &[&str]| {
            let named = ["user", command, "--organisation", "DEMO", "--password-stdin", "--username"];
            done(&installation, &[&named[..], rest].concat());
        };
        user("add", &["clerk", "--permissions", "access_tokens.read"]);
        let old = std::fs::read_to_string(directory.path().join("access-tokens.keys")).expect("keys");
        let old = old.lines().last().and_then(|line| line.split(' ').next()).expect("an id").to_owned();
        done(&installation, &["keys", "rotate"]);
        let withdraw = ["keys", "withdraw", old.as_str(), "--passwords"];
        let with = |rest: &[&'static str]| [&withdraw[..], rest].concat();

        let new = done(&installation, &withdraw);
        assert!(new.contains("passwords: 0;") && new.contains("still needed for passwords: 2"), "{new}");
        refused(&installation, &with(&["--unused-days", "0"]), "LAST_ADMIN");
        refused(&installation, &with(&["--unused-days", "0"]), "the password of ops of DEMO");
        assert!(
            line(&installation, &old).contains("passwords: 2 "),
            "nothing is withdrawn: {}",
            line(&installation, &old)
        );

        // The state of users of older versions.
        let forget = "UPDATE user_credential SET password_changed_date = NULL";
        match database.as_deref().and_then(|url| url.rsplit('/').next()) {
            Some(name) => drop(postgres::shared().psql(name, forget).expect("the superuser may")),
            None => {
                let file = rusqlite::Connection::open(directory.path().join("access-tokens.db")).expect("opens");
                assert_eq!(file.execute(forget, []).expect("forgotten"), 2);
            }
        }
        let left_out = done(&installation, &withdraw);
        assert!(left_out.contains("passwords: 0 (left out: 2 of users"), "{left_out}");
        refused(&installation, &with(&["--undated"]), "the password of ops of DEMO");
        user("password", &["ops"]);
        let withdrawn = done(&installation, &with(&["--undated"]));
        assert!(withdrawn.contains("passwords: 1 (users ") && withdrawn.contains("nothing needs it"), "{withdrawn}");
        // A user that gets a password counts as new again.
        user("password", &["clerk"]);
        let kept = done(&installation, &withdraw);
        assert!(kept.contains("passwords: 0; nothing needs it"), "{kept}");
    }
}
