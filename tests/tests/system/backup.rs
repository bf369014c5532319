//! `backup` and `restore`: a backup contains everything that was acknowledged before it began, even if other calls write at the same time,
//! and a restored database is served.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use access_tokens_testapp::Client;
use access_tokens_testapp::process::Installation;
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{add_user, logged_in, sqlite, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const WRITERS: usize = 8;
/// Number of tokens after which SQLite has moved its log into the file: the file alone looks like a complete copy, which lacks only
/// the latest tokens.
const TOKENS_BEFORE_BACKUP: usize = 4_000;

/// The codes of a writer, in the order of creation.
fn code(writer: usize, number: usize) -> String {
    format!("w{writer}-{number}")
}

/// Creates tokens until it is stopped. `acknowledged` counts them.
async fn write(client: Client, writer: usize, acknowledged: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let request = json!({"authentication_code": code(writer, number), "fields_set": "number"});
        client.ok("CreateAccessToken", request).await;
        number += 1;
        acknowledged.store(number, Ordering::SeqCst);
    }
}

/// Returns the number of tokens of a writer that exist. They must be the first ones, without a gap.
async fn found(client: &Client, writer: usize, up_to: usize) -> usize {
    let mut present = Vec::with_capacity(up_to);
    for number in 0..up_to {
        let request =
            json!({"access_token_identifier": {"authentication_code": code(writer, number)}, "fields_set": "number"});
        present.push(client.try_call("ShowAccessToken", request).await.is_ok());
    }
    let count = present.iter().take_while(|present| **present).count();
    assert!(
        present[count..].iter().all(|present| !present),
        "writer {writer}: it is no state that ever was: {present:?}"
    );
    count
}

/// Returns an installation in another directory, with the keys of an existing one.
fn elsewhere(directory: &TempDir, keys_of: &TempDir) -> Installation {
    let keys = "access-tokens.keys";
    fs::copy(keys_of.path().join(keys), directory.path().join(keys)).expect("the keys");
    sqlite(directory)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_what_was_acknowledged_before_it_and_is_one_state() {
    let (directory, other) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let installation = sqlite(&directory);
    add_user(&installation);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let client = logged_in(&server).await;
    let stop = Arc::new(AtomicBool::new(false));
    let counts: [_; WRITERS] = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = counts
        .iter()
        .enumerate()
        .map(|(writer, count)| tokio::spawn(write(client.clone(), writer, Arc::clone(count), Arc::clone(&stop))))
        .collect();
    let ledger = || counts.each_ref().map(|count| count.load(Ordering::SeqCst));
    while ledger().iter().sum::<usize>() < TOKENS_BEFORE_BACKUP {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let before = ledger();
    let taken = tokio::task::block_in_place(|| installation.run(&["backup", "copy.db"]));
    let during = ledger();
    assert!(taken.status.success(), "{}", text(&taken));
    assert!(during.iter().sum::<usize>() > before.iter().sum(), "nobody has written meanwhile");
    let again = tokio::task::block_in_place(|| installation.run(&["backup", "copy.db"]));
    assert!(again.status.code() == Some(1) && text(&again).contains("it was left as it is"), "{}", text(&again));
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.expect("all of them were acknowledged");
    }
    let after = ledger();

    let copy = directory.path().join("copy.db");
    assert_eq!(mode(&copy), 0o600);
    let names = fs::read_dir(directory.path()).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().ends_with(".new")), "a draft was left");
    let restored = elsewhere(&other, &directory);
    let put = restored.run(&["restore", copy.to_str().expect("a path")]);
    assert!(put.status.success(), "{}", text(&put));
    let second = restored.start(&["serve"]);
    restored.wait_until_ready();
    let client = logged_in(&second).await;
    for writer in 0..WRITERS {
        let found = found(&client, writer, after[writer]).await;
        let (low, high) = (before[writer], during[writer] + 1);
        assert!((low..=high).contains(&found), "writer {writer}: {low} before, {high} at most, {found} restored");
    }
    // The restored server creates tokens, and does not give out numbers again that were given out before.
    client.ok("CreateAccessToken", json!({"authentication_code": "one more"})).await;
    assert_eq!(second.terminate().0, Some(0), "{}", restored.log());
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
}

#[test]
fn a_database_that_is_served_is_not_replaced_and_none_is_lost() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    let served = installation.run(&["restore", "--replace", "copy.db"]);
    assert!(
        served.status.code() == Some(1)
            && text(&served).contains("a server or another command holds ")
            && text(&served).contains("stop it first"),
        "{}",
        text(&served)
    );
    // A crash leaves a log behind, which must not be applied to the restored database.
    server.kill();
    assert!(directory.path().join("access-tokens.db-wal").exists());
    let there = installation.run(&["restore", "copy.db"]);
    assert!(there.status.code() == Some(1) && text(&there).contains("--replace"), "{}", text(&there));
    let replaced = installation.run(&["restore", "--replace", "copy.db"]);
    assert!(replaced.status.success(), "{}", text(&replaced));
    let names: Vec<_> = fs::read_dir(directory.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let aside = names.iter().find(|name| name.contains(".replaced-")).expect("the one of before");
    assert!(!names.iter().any(|name| name == "access-tokens.db-wal"), "{names:?}");
    for file in [aside.as_str(), "access-tokens.db"] {
        assert_eq!(mode(&directory.path().join(file)), 0o600);
        // The replaced database is complete, including its log.
        let verified = installation.run(&["restore", "--verify", "--accept-unsigned", file]);
        assert!(verified.status.success() && text(&verified).contains("access tokens: 20"), "{}", text(&verified));
    }
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn what_cannot_be_served_is_not_restored() {
    let (directory, other) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    let copy = fs::read(directory.path().join("copy.db")).expect("a copy");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let refuses = |installation: &Installation, arguments: &[&str], expected: &str| {
        let refused = installation.run(&[&["restore"], arguments].concat());
        assert!(
            refused.status.code() == Some(1) && text(&refused).contains(expected),
            "{expected}: {}",
            text(&refused)
        );
    };
    refuses(&installation, &["--verify", "nowhere.db"], "nowhere.db");
    // The file of a database in use, without its log.
    fs::copy(path("access-tokens.db"), path("torn.db")).expect("copied");
    refuses(&installation, &["--verify", "access-tokens.db"], "it is no finished copy");
    refuses(&installation, &["--verify", "torn.db"], "torn.db");
    let mut damaged = copy.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8_192].fill(0x5a);
    fs::write(path("damaged.db"), damaged).expect("written");
    refuses(&installation, &["--verify", "damaged.db"], "the copy is damaged");
    fs::write(path("cut.db"), &copy[..copy.len() / 2]).expect("written");
    refuses(&installation, &["--verify", "cut.db"], "cut.db");
    fs::write(path("empty.db"), "").expect("written");
    refuses(&installation, &["--verify", "empty.db"], "it is no database of access-tokens");
    // A copy of a later version: the name of its last migration is replaced by one of the same length.
    let newer = String::from_utf8_lossy(&copy).matches("m0003_accounts").count();
    assert!(newer > 0, "the steps are stored by name");
    let mut later = copy.clone();
    let (old, new) = (b"m0003_accounts", b"m9999_accounts");
    while let Some(at) = later.windows(old.len()).position(|window| window == old) {
        later[at..at + old.len()].copy_from_slice(new);
    }
    fs::write(path("later.db"), later).expect("written");
    refuses(&installation, &["--verify", "later.db"], "a newer version of access-tokens made it (m9999_accounts)");

    // Without its keys, and with other keys.
    let strange = Installation::new(BINARY, other.path(), "sqlite://access-tokens.db");
    refuses(&strange, &[&path("copy.db")], "a database is useless without its keys");
    assert!(strange.run(&["keys", "init"]).status.success());
    refuses(&strange, &[&path("copy.db")], "keys are missing: ");
    assert!(!other.path().join("access-tokens.db").exists(), "something was restored");
    refuses(&strange, &["--accept-missing-keys", &path("copy.db")], "which is not in the ring");
    let accepted = strange.run(&["restore", "--accept-missing-keys", "--accept-unsigned", &path("copy.db")]);
    assert!(accepted.status.success() && text(&accepted).contains("warning: keys are missing"), "{}", text(&accepted));
    assert_eq!(server.terminate().0, Some(0));
}

/// Changes a database file as another program would.
fn change(file: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(file).expect("opens");
    connection.execute_batch(sql).expect(sql);
    connection.close().expect("closes");
}

#[test]
fn a_schema_that_is_not_ours_is_refused_by_a_restore_a_start_and_the_doctor() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    assert_eq!(server.terminate().0, Some(0));
    let path = |name: &str| directory.path().join(name);
    let good = fs::read(path("access-tokens.db")).expect("a file");
    for (sql, expected) in [
        (
            "CREATE TRIGGER all_rights AFTER UPDATE ON user_credential BEGIN UPDATE user_credential SET permissions = 'admin'; END",
            "trigger all_rights is not of this service",
        ),
        ("ALTER TABLE unit RENAME TO u; CREATE VIEW unit AS SELECT * FROM u", "table unit is missing"),
        ("ALTER TABLE access_token DROP COLUMN udf_string_8", "table access_token is not as it is made"),
        ("DROP INDEX access_token_free_idx", "index access_token_free_idx is missing"),
        ("CREATE TABLE foreign_data (x)", "table foreign_data is not of this service"),
    ] {
        fs::copy(path("copy.db"), path("changed.db")).expect("copied");
        change(&path("changed.db"), sql);
        let restored = installation.run(&["restore", "--replace", "--accept-unsigned", "changed.db"]);
        assert!(restored.status.code() == Some(1) && text(&restored).contains(expected), "{sql}: {}", text(&restored));
        assert!(fs::read(path("access-tokens.db")).expect("a file") == good, "something was restored");
        change(&path("access-tokens.db"), sql);
        let before = fs::read(path("access-tokens.db")).expect("a file");
        for arguments in [&["serve"][..], &["migrate"], &["import", "/dev/null"], &["doctor"], &["backup", "no.db"]] {
            let refused = installation.run(arguments);
            let said = text(&refused);
            assert!(refused.status.code() == Some(1) && said.contains(expected), "{arguments:?}: {said}");
        }
        // Except for the generation in its header.
        let after = fs::read(path("access-tokens.db")).expect("a file");
        assert!(before[4_096..] == after[4_096..] && !path("no.db").exists(), "{sql}");
        fs::write(path("access-tokens.db"), &good).expect("written");
    }
    assert!(installation.run(&["migrate"]).status.success());
}

#[test]
fn a_copy_that_was_changed_after_it_was_made_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0));
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    assert_eq!(mode(&directory.path().join("copy.db.mac")), 0o600);
    let verified = installation.run(&["restore", "--verify", "copy.db"]);
    assert!(verified.status.success(), "{}", text(&verified));
    let refuses = |expected: &str| {
        let refused = installation.run(&["restore", "--replace", "copy.db"]);
        let said = text(&refused);
        assert!(
            refused.status.code() == Some(1) && said.contains(expected) && said.contains("--accept-unsigned"),
            "{said}"
        );
    };
    change(&directory.path().join("copy.db"), "UPDATE user_credential SET permissions = 'admin'");
    refuses("was changed after it was made");
    fs::remove_file(directory.path().join("copy.db.mac")).expect("removed");
    refuses("there is no copy.db.mac");
    let accepted = installation.run(&["restore", "--replace", "--accept-unsigned", "copy.db"]);
    assert!(accepted.status.success() && text(&accepted).contains("warning: there is no"), "{}", text(&accepted));
    // A program that makes copies does not need the keys.
    fs::rename(directory.path().join("access-tokens.keys"), directory.path().join("elsewhere")).expect("moved");
    let unsigned = installation.run(&["backup", "unsigned.db"]);
    assert!(unsigned.status.success() && text(&unsigned).contains("is not signed"), "{}", text(&unsigned));
    assert!(!directory.path().join("unsigned.db.mac").exists());
}

#[test]
fn postgresql_is_left_to_its_own_tools() {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), "postgres://u:hunter2@127.0.0.1:1/d");
    for (arguments, expected) in [(["backup", "x"], "pg_dump"), (["restore", "x"], "pg_restore")] {
        let told = installation.run(&arguments);
        assert_eq!(told.status.code(), Some(4), "{}", text(&told));
        assert!(text(&told).contains(expected) && !text(&told).contains("hunter2"), "{}", text(&told));
    }
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}
