//! `doctor`: each problem that it knows is produced, found, and cured by the cure that it prints. It changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{add_user, sqlite, text};
use crate::tls::authority::Authority;

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");

/// Returns the findings other than `ok`, as `level check: message`, and the exit code.
fn examined(output: &Output) -> (Vec<String>, Option<i32>) {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", text(output)));
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("findings").iter();
    let found: Vec<_> = findings
        // The current speed of the machine is not a subject of these tests.
        .filter(|finding| finding["level"] != "ok" && finding["check"] != "hashing")
        .map(|finding| {
            assert!(!word(finding, "cure").is_empty(), "{finding} says no cure");
            format!("{} {}: {}", word(finding, "level"), word(finding, "check"), word(finding, "message"))
        })
        .collect();
    (found, output.status.code())
}

/// Examines an installation that must have exactly one problem, which is of this kind.
#[track_caller]
fn suffers(installation: &Installation, arguments: &[&str], expected: &str) {
    let (found, code) = examined(&installation.run(&[&["doctor", "--json"], arguments].concat()));
    assert!(found.len() == 1 && found[0].contains(expected), "expected {expected}: {found:#?}");
    let problem = found[0].starts_with("problem");
    // There is no other problem. A machine that is slow may give a warning.
    assert_eq!(code, Some(if problem { 1 } else { 3 }), "{found:#?}");
}

#[track_caller]
fn is_well(installation: &Installation, arguments: &[&str]) {
    let (found, code) = examined(&installation.run(&[&["doctor", "--json"], arguments].concat()));
    assert!(found.is_empty() && matches!(code, Some(0 | 3)), "{code:?} {found:#?}");
}

/// Returns every file of a directory with its content. Shared memory of SQLite is left out.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named
        .filter(|(name, _)| !name.ends_with(".log"))
        .map(|(name, path)| {
            let shared = name.ends_with("-shm");
            (name, if shared { Vec::new() } else { fs::read(path).expect("a file") })
        })
        .collect()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

/// Returns an installation that was served once, and is stopped.
fn served(directory: &TempDir) -> Installation {
    let installation = sqlite(directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
    installation
}

#[test]
fn it_leaves_no_trace_whatever_state_the_file_is_in() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let unchanged = |when: &str| {
        let before = contents(directory.path());
        is_well(&installation, &["--deep"]);
        assert_eq!(before.keys().collect::<Vec<_>>(), contents(directory.path()).keys().collect::<Vec<_>>(), "{when}");
        assert!(before == contents(directory.path()), "{when}: a file has changed");
    };
    unchanged("before the first start");
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    unchanged("while it is served");
    server.kill();
    unchanged("after a crash");
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0));
    unchanged("at rest");
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    assert!(installation.run(&["restore", "--replace", "copy.db"]).status.success());
    unchanged("restored, and not yet served");
}

#[test]
fn files_that_others_can_reach_are_found() {
    let directory = TempDir::new().expect("a directory");
    let (installation, keys) = (served(&directory), directory.path().join("access-tokens.keys"));
    let database = directory.path().join("access-tokens.db");
    for (path, bad, good, expected) in [
        (&database, 0o640, 0o600, "problem files: others can reach the database access-tokens.db (mode 0640)"),
        (&keys, 0o644, 0o600, "problem keys: the key file access-tokens.keys has mode 0644"),
    ] {
        chmod(path, bad);
        suffers(&installation, &[], expected);
        chmod(path, good);
    }
    chmod(directory.path(), 0o777);
    let (found, code) = examined(&installation.run(&["doctor", "--json"]));
    assert!(found.len() == 2 && found.iter().all(|one| one.contains("other users can replace")), "{found:#?}");
    assert_eq!(code, Some(1));
    chmod(directory.path(), 0o700);
    let config = directory.path().join("config.toml");
    fs::write(&config, "[notifications]\nsecret = \"0123456789012345678901234567890123456789\"\n").expect("written");
    chmod(&config, 0o644);
    suffers(&installation, &["--config", "config.toml"], "others can read config.toml, which holds a secret");
    chmod(&config, 0o600);
    is_well(&installation, &["--config", "config.toml"]);
}

#[test]
fn keys_that_are_not_those_of_the_database_are_found() {
    let directory = TempDir::new().expect("a directory");
    let (installation, keys) = (served(&directory), directory.path().join("access-tokens.keys"));
    let good = fs::read_to_string(&keys).expect("keys");
    fs::remove_file(&keys).expect("removed");
    suffers(&installation, &[], "problem keys: the key file access-tokens.keys does not exist");
    // Another key with another id: the finding names the data that need the first one.
    assert!(installation.run(&["keys", "init", "--accept-missing-keys"]).status.success());
    suffers(&installation, &[], "keys are missing: ");
    let other = fs::read_to_string(&keys).expect("keys");
    // Another key with the same id: only a code that cannot be opened reveals it.
    let last = |ring: &str| ring.lines().last().expect("a key").to_owned();
    let (id, _) = last(&good).split_once(' ').map(|(id, key)| (id.to_owned(), key.to_owned())).expect("an id");
    let (_, key) = last(&other).split_once(' ').map(|(id, key)| (id.to_owned(), key.to_owned())).expect("a key");
    fs::write(&keys, format!("{id} {key}\n")).expect("written");
    suffers(&installation, &[], "cannot be opened: a key of the ring is not the one of its id");
    let said = text(&installation.run(&["doctor"]));
    assert!(
        !said.contains(&key) && said.contains("cure: put the keys that the database was written with back"),
        "{said}"
    );
    fs::write(&keys, good).expect("written");
    is_well(&installation, &[]);
}

#[test]
fn certificates_are_found_before_they_end_and_after() {
    let directory = TempDir::new().expect("a directory");
    let (installation, authority) = (served(&directory), Authority::new());
    let tls = ["--set", "grpc.tls.certificate=server.pem", "--set", "grpc.tls.key=server.key"];
    let files = |pair: &crate::tls::authority::Pair| {
        pair.put(directory.path(), "server");
        chmod(&directory.path().join("server.key"), 0o600);
    };
    files(&authority.expired_server(&["127.0.0.1"]));
    suffers(&installation, &tls, "grpc.tls.certificate (server.pem) has expired: it was good until 2020-01-01");
    files(&authority.server(&["127.0.0.1"]));
    is_well(&installation, &tls);
    chmod(&directory.path().join("server.key"), 0o644);
    suffers(&installation, &tls, "others can reach the private key server.key (mode 0644)");
    let other = authority.server(&["127.0.0.1"]);
    fs::write(directory.path().join("server.key"), &other.key).expect("written");
    chmod(&directory.path().join("server.key"), 0o600);
    suffers(&installation, &tls, "do not fit together");
}

#[test]
fn settings_that_let_others_in_are_found() {
    let directory = TempDir::new().expect("a directory");
    let installation = served(&directory);
    suffers(
        &installation,
        &["--set", "http.listen=0.0.0.0:0"],
        "problem configuration: http.listen = 0.0.0.0:0 speaks plain text",
    );
    let allowed = ["--set", "http.listen=0.0.0.0:0", "--set", "http.allow_plain_text=true"];
    suffers(&installation, &allowed, "warning configuration: http.listen");
    suffers(
        &installation,
        &["--set", "policy.max_guess_chance=0.5"],
        "warning configuration: policy.max_guess_chance is 0.5",
    );
    // Stricter than the stored policies: each of them is reported.
    let (found, code) = examined(&installation.run(&["doctor", "--json", "--set", "policy.max_guess_chance=0.000001"]));
    assert!(
        !found.is_empty() && found.iter().all(|one| one.starts_with("problem guesses: the policy of DEMO")),
        "{found:#?}"
    );
    assert_eq!(code, Some(1));
    suffers(&installation, &["--set", "nonsense=1"], "problem configuration: nonsense");
}

#[test]
fn a_damaged_file_and_a_clock_that_was_put_back_are_found() {
    let directory = TempDir::new().expect("a directory");
    let installation = served(&directory);
    let file = directory.path().join("access-tokens.db");
    let later = fs::metadata(&file).and_then(|file| file.modified()).expect("a time") + Duration::from_secs(7_200);
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(later)).expect("a time");
    suffers(&installation, &[], "problem clock: the database was written to ");
    // A copy has no log, in which damaged pages would still be complete.
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    assert!(installation.run(&["restore", "--replace", "copy.db"]).status.success());
    is_well(&installation, &["--deep"]);
    let mut bytes = fs::read(&file).expect("a file");
    // An index, behind the first pages.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0x5a);
    fs::write(&file, bytes).expect("written");
    let (found, code) = examined(&installation.run(&["doctor", "--json", "--deep"]));
    assert!(code == Some(1) && found.iter().any(|one| one.contains("it is damaged")), "{found:#?}");
}

#[test]
fn colours_are_for_terminals() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let plain = installation.run(&["doctor"]);
    assert!(!text(&plain).contains('\u{1b}') && text(&plain).contains("thing(s) looked at"), "{}", text(&plain));
    let coloured = installation.command(&["doctor"]).env("CLICOLOR_FORCE", "1").output().expect("runs");
    assert!(text(&coloured).contains("\u{1b}[32mok"), "{}", text(&coloured));
    let unwanted = installation.command(&["doctor"]).env("NO_COLOR", "1").output().expect("runs");
    assert!(!text(&unwanted).contains('\u{1b}'), "{}", text(&unwanted));
}

#[test]
fn what_is_unsafe_in_postgresql_is_found() {
    let directory = TempDir::new().expect("a directory");
    let url = postgres::create_database();
    let installation = Installation::new(BINARY, directory.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success());
    let name = url.rsplit('/').next().expect("a name").to_owned();
    let set = |setting: &str| {
        let changed = postgres::shared().psql("postgres", &format!("ALTER DATABASE {name} SET {setting}"));
        changed.expect("the superuser may");
    };
    // The default, which the documentation of database.url recommends to change.
    let (found, code) = examined(&installation.run(&["doctor", "--json"]));
    assert!(
        found.iter().any(|one| one.contains("log_error_verbosity = default: with anything else, codes")),
        "{found:#?}"
    );
    assert_eq!(code, Some(3), "no problem: {found:#?}");
    set("log_error_verbosity = terse");
    set("log_parameter_max_length = 0");
    suffers(&installation, &[], "warning schema: still to be applied: m0001_initial");
    let by_hand = ["--set", "database.migrate_at_start=false"];
    suffers(&installation, &by_hand, "problem schema: servers are not ready: still to be applied: m0001_initial");
    assert!(installation.run(&["migrate"]).status.success());
    add_user(&installation);
    is_well(&installation, &[]);
    set("synchronous_commit = off");
    suffers(
        &installation,
        &[],
        "problem database: synchronous_commit = off: without it, a crash takes acknowledged commits",
    );
    set("synchronous_commit = on");
    is_well(&installation, &[]);
    let away = Installation::new(BINARY, directory.path(), "postgres://nobody:hunter2@127.0.0.1:1/nowhere");
    let said = away.run(&["doctor"]);
    assert!(said.status.code() == Some(1) && !text(&said).contains("hunter2"), "{}", text(&said));
    suffers(&away, &[], "problem database: connection refused by 127.0.0.1:1");
}

#[test]
fn roles_of_postgresql_that_could_act_as_the_service_are_found() {
    let directory = TempDir::new().expect("a directory");
    let (url, cluster) = (postgres::create_database(), postgres::shared());
    let installation = Installation::new(BINARY, directory.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success());
    let name = url.rsplit('/').next().expect("a name").to_owned();
    let run = |sql: &str| cluster.psql(&name, sql).unwrap_or_else(|error| panic!("{sql}: {error:#}"));
    run(&format!("ALTER DATABASE {name} SET log_error_verbosity = terse"));
    run(&format!("ALTER DATABASE {name} SET log_parameter_max_length = 0"));
    assert!(installation.run(&["migrate"]).status.success());
    is_well(&installation, &[]);

    run("GRANT CREATE ON SCHEMA public TO PUBLIC");
    suffers(&installation, &[], "warning roles: other roles may create objects in the schema public");
    assert!(installation.run(&["migrate"]).status.success(), "an existing installation goes on");
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    run(&format!("GRANT CONNECT ON DATABASE {name} TO PUBLIC"));
    suffers(&installation, &[], "warning roles: other roles may connect to the database");
    run(&format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"));

    let visitor = format!("visitor_{name}");
    run(&format!("CREATE ROLE {visitor}; GRANT CREATE ON SCHEMA public TO {visitor}"));
    run(&format!("SET ROLE {visitor}; CREATE FUNCTION trap(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'"));
    run(&format!("REVOKE CREATE ON SCHEMA public FROM {visitor}"));
    suffers(&installation, &[], "problem roles: in the schema public, other roles own objects");
    for command in [
        &["migrate"][..],
        &["serve"],
        &["serve", "--set", "database.migrate_at_start=false"],
        &["import", "--organisation", "DEMO", "/dev/null"],
    ] {
        let refused = installation.run(command);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {}", text(&refused));
        assert!(text(&refused).contains(&format!("function trap (owner {visitor})")), "{}", text(&refused));
    }
    run("DROP FUNCTION trap(integer)");
    is_well(&installation, &[]);

    let served = cluster.serve_as_other_role(&url).expect("granted");
    let service = Installation::new(BINARY, directory.path(), &served);
    is_well(&service, &[]);
    run(&format!("REVOKE UPDATE ON access_token FROM {}", postgres::SERVICE));
    suffers(&service, &[], "lacks rights: UPDATE on access_token");
}
