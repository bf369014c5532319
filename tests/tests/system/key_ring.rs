//! Keys and databases that belong together, one of which was lost.

use std::fs;
use std::path::Path;

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres;
use tempfile::TempDir;

use crate::processes::{add_user, sqlite, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const DATABASE: &str = "access-tokens.db";
const KEYS: &str = "access-tokens.keys";

/// Runs a command that must be refused with these words, and change nothing.
#[track_caller]
fn refused(installation: &Installation, directory: &Path, arguments: &[&str], words: &[&str]) {
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let output = installation.run_with_input(arguments, "correct horse battery staple\n");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: expected {word}: {said}");
    }
    assert_eq!(before, names(), "{arguments:?}");
}

const ADD: [&str; 9] =
    ["user", "add", "--organisation", "DEMO", "--username", "u", "--password-stdin", "--permissions", "admin"];

#[test]
fn an_empty_database_beside_keys_that_were_used_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let (installation, path) = (sqlite(&directory), directory.path());
    // Unused keys are valid for a new database.
    assert!(installation.run(&["keys", "init"]).status.success());
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
    let words = ["access-tokens.db is empty or missing", "access-tokens.keys", "--new-database"];
    let good = fs::read(path.join(DATABASE)).expect("a file");
    for lost in [None, Some("")] {
        match lost {
            None => fs::remove_file(path.join(DATABASE)).expect("removed"),
            Some(text) => fs::write(path.join(DATABASE), text).expect("emptied"),
        }
        for arguments in [&["serve"][..], &["serve", "--demo"], &["migrate"], &["import", "/dev/null"], &ADD] {
            refused(&installation, path, arguments, &words);
        }
    }
    // The URL names a file other than the intended one.
    let elsewhere = Installation::new(BINARY, path, "sqlite://acess-tokens.db");
    refused(&elsewhere, path, &["serve"], &["acess-tokens.db is empty or missing"]);
    let told = elsewhere.run(&["migrate", "--new-database"]);
    assert!(told.status.success(), "{}", text(&told));
    assert!(elsewhere.run(&["keys", "list"]).status.success());
    fs::write(path.join(DATABASE), good).expect("written");
    assert!(installation.run(&["user", "list", "--organisation", "DEMO"]).status.success(), "the right file is back");
}

#[test]
fn keys_of_a_database_that_is_there_are_not_made_anew() {
    let directory = TempDir::new().expect("a directory");
    let (installation, path) = (sqlite(&directory), directory.path());
    // A database without data that need keys may get new ones.
    assert!(installation.run(&["migrate"]).status.success());
    add_user(&installation);
    let keys = fs::read(path.join(KEYS)).expect("keys");
    fs::remove_file(path.join(KEYS)).expect("removed");
    let words = ["access-tokens.keys does not exist", "passwords: 1 (key ", "Bring the file back"];
    for arguments in [&["serve"][..], &["keys", "init"], &["import", "/dev/null"], &ADD] {
        refused(&installation, path, arguments, &words);
    }
    let doctor = text(&installation.run(&["doctor"]));
    assert!(doctor.contains("passwords: 1 (key ") && !doctor.contains("keys init"), "{doctor}");
    fs::write(path.join(KEYS), keys).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path.join(KEYS), mode).expect("chmod");
    assert!(installation.run(&["user", "list", "--organisation", "DEMO"]).status.success());
}

#[test]
fn keys_of_a_postgresql_database_are_not_made_anew() {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), &postgres::create_database());
    let path = directory.path();
    assert!(installation.run(&["keys", "init"]).status.success());
    assert!(installation.run(&["migrate"]).status.success());
    fs::remove_file(path.join(KEYS)).expect("removed");
    assert!(installation.run(&["keys", "init"]).status.success(), "nothing needs the lost ones");
    add_user(&installation);
    fs::remove_file(path.join(KEYS)).expect("removed");
    let words = ["access-tokens.keys does not exist", "passwords: 1 (key ", "Bring the file back"];
    for arguments in [&["serve"][..], &["keys", "init"], &["import", "/dev/null"], &ADD] {
        refused(&installation, path, arguments, &words);
    }
    let doctor = text(&installation.run(&["doctor"]));
    assert!(doctor.contains("passwords: 1 (key ") && !doctor.contains("keys init"), "{doctor}");
    // A database that does not answer counts as one without data.
    let away = Installation::new(BINARY, path, "postgres://nobody@127.0.0.1:1/nowhere");
    assert!(away.run(&["keys", "init"]).status.success());
}

#[test]
fn a_database_of_another_encoding_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let url = postgres::create_database();
    let (server, name) = url.rsplit_once('/').expect("a URL");
    for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252"] {
        let other = format!("{name}_{}", encoding.to_lowercase());
        let create =
            format!("CREATE DATABASE {other} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        // A cluster with another provider of locales; older versions of PostgreSQL know only one.
        let libc = postgres::shared().psql("postgres", &format!("{create} LOCALE_PROVIDER libc"));
        libc.or_else(|_| postgres::shared().psql("postgres", &create)).expect("the superuser may");
        let installation = Installation::new(BINARY, directory.path(), &format!("{server}/{other}"));
        if encoding == "LATIN1" {
            assert!(installation.run(&["keys", "init"]).status.success());
        }
        for arguments in [&["migrate"][..], &["serve"], &["import", "/dev/null"], &["doctor"]] {
            let output = installation.run(arguments);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.contains(encoding) && said.contains("--encoding=UTF8"), "{arguments:?}: {said}");
        }
        let tables = postgres::shared().psql(&other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
        assert_eq!(tables.expect("counted").trim(), "0", "nothing was made");
    }
}

/// Returns an installation on each kind of database, with keys, and with a user whose password needs them.
pub(crate) fn places_with_a_user() -> [(TempDir, Installation); 2] {
    [None, Some(postgres::create_database())].map(|url| {
        let directory = TempDir::new().expect("a directory");
        let url = url.unwrap_or_else(|| "sqlite://access-tokens.db".to_owned());
        let installation = Installation::new(BINARY, directory.path(), &url);
        assert!(installation.run(&["keys", "init"]).status.success());
        assert!(installation.run(&["migrate"]).status.success());
        add_user(&installation);
        (directory, installation)
    })
}

/// Writes a key file that only its owner can read.
fn put_keys(directory: &Path, text: &str) {
    fs::write(directory.join(KEYS), text).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(directory.join(KEYS), mode).expect("chmod");
}

/// Starts a server, waits until it is ready, and stops it.
fn serves(installation: &Installation, arguments: &[&str]) {
    let server = installation.start(arguments);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
}

const OTHER_RING: &str = "other AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

#[test]
fn a_ring_that_is_not_that_of_the_database_is_not_served() {
    for (directory, installation) in places_with_a_user() {
        let path = directory.path();
        let own = fs::read_to_string(path.join(KEYS)).expect("keys");
        serves(&installation, &["serve"]);
        put_keys(path, OTHER_RING);
        let words = ["are not those of the database", "passwords: 1 (key ", "Bring the newest copy"];
        for arguments in
            [&["serve"][..], &["serve", "--demo"], &["import", "/dev/null", "--organisation", "DEMO"], &ADD]
        {
            refused(&installation, path, arguments, &words);
        }
        // A ring in a setting is compared as well.
        let ring = installation.with("ACCESS_TOKENS__KEYS__RING", OTHER_RING.trim());
        refused(&ring, path, &["serve"], &["the setting keys.ring", words[0]]);
        let doctor = text(&installation.run(&["doctor"]));
        assert!(
            doctor.contains("passwords: 1 (key ") && doctor.contains("cure: put the keys that the database"),
            "{doctor}"
        );
        // The cure of doctor.
        put_keys(path, &format!("{OTHER_RING}{own}"));
        assert!(!text(&installation.run(&["doctor"])).contains("keys are missing"));
        serves(&installation, &["serve"]);
    }
}

#[test]
fn a_rotated_ring_is_served_and_an_older_copy_of_it_is_not() {
    for (directory, installation) in places_with_a_user() {
        let path = directory.path();
        let old = fs::read_to_string(path.join(KEYS)).expect("keys");
        let rotated = installation.run(&["keys", "rotate"]);
        assert!(rotated.status.success(), "{}", text(&rotated));
        serves(&installation, &["serve"]);
        // While no data need the new key, the old copy opens everything.
        let new = fs::read_to_string(path.join(KEYS)).expect("keys");
        put_keys(path, &old);
        serves(&installation, &["serve"]);
        put_keys(path, &new);
        let second = [
            "user",
            "add",
            "--organisation",
            "DEMO",
            "--username",
            "second",
            "--password-stdin",
            "--permissions",
            "admin",
        ];
        assert!(installation.run_with_input(&second, "correct horse battery staple\n").status.success());
        put_keys(path, &old);
        refused(&installation, path, &["serve"], &["are not those of the database", "passwords: 1 (key "]);
        // A running server reports the error and continues.
        put_keys(path, &new);
        let server = installation.start(&["serve"]);
        installation.wait_until_ready();
        put_keys(path, &old);
        let told = || installation.log().contains("the keys are not those of the database");
        let started = std::time::Instant::now();
        while !told() {
            assert!(started.elapsed() < std::time::Duration::from_secs(20), "{}", installation.log());
            assert!(installation.run(&["healthcheck"]).status.success(), "it is ready all the same");
        }
        assert_eq!(server.terminate().0, Some(0));
    }
}

#[test]
fn keys_that_are_lost_for_ever_are_accepted_once() {
    for (directory, installation) in places_with_a_user() {
        let path = directory.path();
        put_keys(path, OTHER_RING);
        refused(&installation, path, &["serve"], &["--accept-missing-keys"]);
        serves(&installation, &["serve", "--accept-missing-keys"]);
        assert!(fs::read_to_string(path.join(KEYS)).expect("keys").contains("# Lost keys, accepted: "));
        serves(&installation, &["serve"]);
        let doctor = installation.run(&["doctor"]);
        assert!(
            text(&doctor).contains("they are accepted as lost") && doctor.status.code() == Some(3),
            "{}",
            text(&doctor)
        );
        // The cure of doctor: the user gets a new password, under the existing key.
        let password = ["user", "password", "--organisation", "DEMO", "--username", "ops", "--password-stdin"];
        let given = installation.run_with_input(&password, "another correct horse\n");
        assert!(given.status.success(), "{}", text(&given));
        assert!(!text(&installation.run(&["doctor"])).contains("accepted as lost"));
        // New keys for a database whose keys are lost.
        fs::remove_file(path.join(KEYS)).expect("removed");
        refused(&installation, path, &["keys", "init"], &["passwords: 1 (key other)"]);
        assert!(installation.run(&["keys", "init", "--accept-missing-keys"]).status.success());
        serves(&installation, &["serve"]);
    }
}

#[test]
fn a_lost_key_file_is_not_replaced_by_what_backup_and_restore_say() {
    let directory = TempDir::new().expect("a directory");
    let (installation, path) = (sqlite(&directory), directory.path());
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
    let keys = fs::read_to_string(path.join(KEYS)).expect("keys");
    fs::remove_file(path.join(KEYS)).expect("removed");
    let backup = installation.run(&["backup", "copy.db"]);
    let said = text(&backup);
    assert!(backup.status.success() && said.contains("bring the file back") && !said.contains("keys init"), "{said}");
    for arguments in
        [&["restore", "copy.db"][..], &["restore", "--verify", "copy.db"], &["keys", "list"], &["keys", "rotate"]]
    {
        let output = installation.run(arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("access-tokens.keys does not exist") && !said.contains("keys init"),
            "{arguments:?}: {said}"
        );
    }
    put_keys(path, &keys);
    assert!(installation.run(&["keys", "list"]).status.success());
}
