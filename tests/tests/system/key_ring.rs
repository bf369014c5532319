//! Keys and databases that belong together, one of which was lost.

use std::fs;
use std::path::Path;

use access_tokens_testkit::postgres;
use access_tokens_testkit::process::Workplace;
use tempfile::TempDir;

use crate::processes::{add_user, sqlite, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const DATABASE: &str = "access-tokens.db";
const KEYS: &str = "access-tokens.keys";

/// Runs a command that must be refused with these words, and change nothing.
#[track_caller]
fn refused(place: &Workplace, directory: &Path, arguments: &[&str], words: &[&str]) {
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let output = place.run_with_input(arguments, "correct horse battery staple\n");
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
    let (place, path) = (sqlite(&directory), directory.path());
    // Keys that were only made are good for a new database.
    assert!(place.run(&["keys", "init"]).status.success());
    let server = place.start(&["serve", "--demo"]);
    place.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0), "{}", place.log());
    let words = ["access-tokens.db is empty or missing", "access-tokens.keys", "--new-database"];
    let good = fs::read(path.join(DATABASE)).expect("a file");
    for lost in [None, Some("")] {
        match lost {
            None => fs::remove_file(path.join(DATABASE)).expect("removed"),
            Some(text) => fs::write(path.join(DATABASE), text).expect("emptied"),
        }
        for arguments in [&["serve"][..], &["serve", "--demo"], &["migrate"], &["import", "/dev/null"], &ADD] {
            refused(&place, path, arguments, &words);
        }
    }
    // Another file than the one that was meant.
    let elsewhere = Workplace::new(BINARY, path, "sqlite://acess-tokens.db");
    refused(&elsewhere, path, &["serve"], &["acess-tokens.db is empty or missing"]);
    let told = elsewhere.run(&["migrate", "--new-database"]);
    assert!(told.status.success(), "{}", text(&told));
    assert!(elsewhere.run(&["keys", "list"]).status.success());
    fs::write(path.join(DATABASE), good).expect("written");
    assert!(place.run(&["user", "list", "--organisation", "DEMO"]).status.success(), "the right file is back");
}

#[test]
fn keys_of_a_database_that_is_there_are_not_made_anew() {
    let directory = TempDir::new().expect("a directory");
    let (place, path) = (sqlite(&directory), directory.path());
    // A database in which nothing needs keys may have new ones.
    assert!(place.run(&["migrate"]).status.success());
    add_user(&place);
    let keys = fs::read(path.join(KEYS)).expect("keys");
    fs::remove_file(path.join(KEYS)).expect("removed");
    let words = ["access-tokens.keys does not exist", "passwords: 1 (key ", "Bring the file back"];
    for arguments in [&["serve"][..], &["keys", "init"], &["import", "/dev/null"], &ADD] {
        refused(&place, path, arguments, &words);
    }
    let doctor = text(&place.run(&["doctor"]));
    assert!(doctor.contains("passwords: 1 (key ") && !doctor.contains("keys init"), "{doctor}");
    fs::write(path.join(KEYS), keys).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path.join(KEYS), mode).expect("chmod");
    assert!(place.run(&["user", "list", "--organisation", "DEMO"]).status.success());
}

#[test]
fn keys_of_a_postgresql_database_are_not_made_anew() {
    let directory = TempDir::new().expect("a directory");
    let place = Workplace::new(BINARY, directory.path(), &postgres::create_database());
    let path = directory.path();
    assert!(place.run(&["keys", "init"]).status.success());
    assert!(place.run(&["migrate"]).status.success());
    fs::remove_file(path.join(KEYS)).expect("removed");
    assert!(place.run(&["keys", "init"]).status.success(), "nothing needs the lost ones");
    add_user(&place);
    fs::remove_file(path.join(KEYS)).expect("removed");
    let words = ["access-tokens.keys does not exist", "passwords: 1 (key ", "Bring the file back"];
    for arguments in [&["serve"][..], &["keys", "init"], &["import", "/dev/null"], &ADD] {
        refused(&place, path, arguments, &words);
    }
    let doctor = text(&place.run(&["doctor"]));
    assert!(doctor.contains("passwords: 1 (key ") && !doctor.contains("keys init"), "{doctor}");
    // A database that does not answer holds nothing as far as can be told.
    let away = Workplace::new(BINARY, path, "postgres://nobody@127.0.0.1:1/nowhere");
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
        // Where the cluster has another provider of locales; older versions know only one.
        let libc = postgres::shared().psql("postgres", &format!("{create} LOCALE_PROVIDER libc"));
        libc.or_else(|_| postgres::shared().psql("postgres", &create)).expect("the superuser may");
        let place = Workplace::new(BINARY, directory.path(), &format!("{server}/{other}"));
        if encoding == "LATIN1" {
            assert!(place.run(&["keys", "init"]).status.success());
        }
        for arguments in [&["migrate"][..], &["serve"], &["import", "/dev/null"], &["doctor"]] {
            let output = place.run(arguments);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.contains(encoding) && said.contains("--encoding=UTF8"), "{arguments:?}: {said}");
        }
        let tables = postgres::shared().psql(&other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
        assert_eq!(tables.expect("counted").trim(), "0", "nothing was made");
    }
}
