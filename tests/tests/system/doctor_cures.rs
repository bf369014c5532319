//! Problems that `doctor` finds, each with one cure that is followed exactly and works.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres::{self, Cluster};
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{BINARY, add_user, sqlite, text};
use crate::tls::authority::Authority;

/// Returns the problems that doctor finds, as (message, cure).
#[track_caller]
fn problems(installation: &Installation, arguments: &[&str]) -> Vec<(String, String)> {
    let output = installation.run(&[&["doctor", "--json"], arguments].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", text(&output)));
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("findings").iter();
    let problems = findings.filter(|finding| finding["level"] == "problem" && finding["check"] != "hashing");
    let found: Vec<_> = problems.map(|one| (word(one, "message"), word(one, "cure"))).collect();
    assert_eq!(output.status.code() == Some(1), !found.is_empty(), "{found:#?}");
    found
}

/// Returns the cure of the only problem. The message must not contain it.
#[track_caller]
fn cure(installation: &Installation, arguments: &[&str], expected: &str) -> String {
    let found = problems(installation, arguments);
    assert!(found.len() == 1 && found[0].0.contains(expected), "expected {expected}: {found:#?}");
    let (message, cure) = found.into_iter().next().expect("one");
    assert!(!cure.is_empty() && !message.contains(&cure), "{message}: {cure}");
    for vague in ["see above", "look at what else"] {
        assert!(!cure.contains(vague), "{cure}");
    }
    cure
}

#[track_caller]
fn is_well(installation: &Installation, arguments: &[&str]) {
    let found = problems(installation, arguments);
    assert!(found.is_empty(), "{found:#?}");
}

/// Runs a cure that is a command line of the shell.
#[track_caller]
fn run(directory: &Path, command: &str) {
    let done = Command::new("sh").args(["-c", command]).current_dir(directory).status().expect("a shell");
    assert!(done.success(), "{command}");
}

/// Returns an installation that was served once, and is stopped.
fn served(directory: &TempDir) -> Installation {
    let installation = sqlite(directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
    installation
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn modes_are_cured_by_the_command_that_doctor_says() {
    let directory = TempDir::new().expect("a directory");
    let installation = served(&directory);
    for (name, mode, expected) in [
        ("access-tokens.keys", 0o644, "has mode 0644"),
        ("access-tokens.keys", 0o660, "has mode 0660"),
        ("access-tokens.db", 0o640, "others can reach the database"),
    ] {
        chmod(&directory.path().join(name), mode);
        let cure = cure(&installation, &[], expected);
        assert_eq!(cure, format!("chmod 600 {name}"));
        run(directory.path(), &cure);
        is_well(&installation, &[]);
    }
    chmod(directory.path(), 0o777);
    let found = problems(&installation, &[]);
    for (_, cure) in &found {
        run(directory.path(), cure);
    }
    assert!(!found.is_empty());
    is_well(&installation, &[]);
}

#[test]
fn a_lost_key_file_has_one_cure_that_depends_on_the_database() {
    let directory = TempDir::new().expect("a directory");
    let (installation, keys) = (served(&directory), directory.path().join("access-tokens.keys"));
    fs::rename(&keys, directory.path().join("copy")).expect("renamed");
    assert_eq!(
        cure(&installation, &[], "does not exist, and the database needs it"),
        "bring the file back from its copy (keys.file)"
    );
    // A directory in place of the file, as a container creates it for a mount that does not exist.
    fs::create_dir(&keys).expect("a directory");
    assert_eq!(
        cure(&installation, &[], "is a directory"),
        "move access-tokens.keys away, and bring the file back from its copy (keys.file)"
    );
    fs::remove_dir(&keys).expect("removed");
    fs::rename(directory.path().join("copy"), &keys).expect("renamed");
    is_well(&installation, &[]);
    fs::copy(&keys, directory.path().join("copy")).expect("copied");
    fs::write(&keys, "no key\n").expect("written");
    assert!(cure(&installation, &[], "line 1 of the key ring").contains("bring the file back"));
    fs::copy(directory.path().join("copy"), &keys).expect("copied");
    is_well(&installation, &[]);

    // A database without data that need keys.
    let url = postgres::create_database();
    let empty = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, empty.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success());
    fs::remove_file(empty.path().join("access-tokens.keys")).expect("removed");
    let cure = cure(&installation, &[], "nothing in the database needs it");
    assert_eq!(cure, "access-tokens keys init");
    assert!(installation.run(&["keys", "init"]).status.success());
    is_well(&installation, &[]);
}

#[test]
fn a_log_of_another_file_is_moved_away() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    server.kill();
    assert!(directory.path().join("access-tokens.db-wal").exists());
    fs::copy(directory.path().join("copy.db"), directory.path().join("access-tokens.db")).expect("copied");
    let cure = cure(&installation, &[], "access-tokens.db-wal does not belong to access-tokens.db");
    assert!(cure.starts_with("if access-tokens.db was put there by copying, move access-tokens.db-wal and"), "{cure}");
    for name in ["access-tokens.db-wal", "access-tokens.db-shm"] {
        let _ = fs::rename(directory.path().join(name), directory.path().join(format!("{name}.away")));
    }
    is_well(&installation, &[]);
}

#[test]
fn damage_is_cured_by_the_last_backup() {
    let directory = TempDir::new().expect("a directory");
    let installation = served(&directory);
    assert!(installation.run(&["backup", "copy.db"]).status.success());
    let file = directory.path().join("access-tokens.db");
    let good = fs::read(&file).expect("a file");
    for (from, to) in [(0, 4_096), (4_096, 12_288), (good.len() / 2, good.len() / 2 + 8_192), (4_096, good.len())] {
        let mut bytes = good.clone();
        bytes[from..to].fill(0x5a);
        fs::write(&file, bytes).expect("written");
        let found = problems(&installation, &["--deep"]);
        assert!(!found.is_empty(), "{from}..{to}");
        for (message, cure) in &found {
            assert!(cure.contains("access-tokens restore --replace"), "{from}..{to}: {message}: {cure}");
        }
        assert!(found.iter().any(|(_, cure)| cure.contains("access-tokens restore")), "{from}..{to}: {found:#?}");
        // Two restores within a second would give the same name to the databases that they replace.
        run(directory.path(), "rm -f access-tokens.db.replaced-*");
        let restored = installation.run(&["restore", "--replace", "copy.db"]);
        assert!(restored.status.success(), "{}", text(&restored));
        is_well(&installation, &["--deep"]);
    }
}

#[test]
fn ports_in_use_are_found_and_those_of_the_service_itself_are_not() {
    let directory = TempDir::new().expect("a directory");
    let installation = served(&directory);
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address");
    for setting in ["grpc.listen", "http.listen", "ops.listen"] {
        let set = format!("{setting}={taken}");
        let cure = cure(&installation, &["--set", &set], &format!("another program listens on {taken} ({setting})"));
        assert!(cure.contains("stop it, or set ") && cure.contains(setting), "{cure}");
    }
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let both = [format!("http.listen={free}"), format!("ops.listen={free}")];
    let both = ["--set", &both[0], "--set", &both[1]];
    let shared = "ops.listen (--set) and http.listen (--set) are the same port: set ops.listen to another one";
    assert!(cure(&installation, &both, shared).contains("where it is set"));
    for command in ["check-config", "serve"] {
        let refused = installation.run(&[&[command][..], &both].concat());
        assert!(refused.status.code() == Some(1) && text(&refused).contains(shared), "{}", text(&refused));
    }
    let plain = ["--set", "grpc.listen=192.0.2.1:1", "--set", "grpc.allow_plain_text=true"];
    assert!(cure(&installation, &plain, "nothing can listen on 192.0.2.1:1").contains("an address of this machine"));
    drop(other);
    is_well(&installation, &["--set", &format!("grpc.listen={taken}")]);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    is_well(&installation, &[]);
    drop(server);
}

#[test]
fn a_webhook_and_a_collector_that_cannot_be_reached_are_found() {
    let directory = TempDir::new().expect("a directory");
    let installation = served(&directory);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let webhook = format!("notifications.webhook=http://{closed}/hunter2");
    let secret = "notifications.secret=0123456789abcdef-0123456789abcdef";
    let collector = format!("telemetry.endpoint=http://{closed}");
    let found = problems(&installation, &["--set", &webhook, "--set", secret, "--set", &collector]);
    assert_eq!(found.len(), 2, "{found:#?}");
    for ((message, cure), setting) in found.iter().zip(["notifications.webhook", "telemetry.endpoint"]) {
        assert!(
            message.contains("refused") && cure.contains(setting) && !message.contains("hunter2"),
            "{message}: {cure}"
        );
    }
    // Starting the missing program is the cure.
    let listener = TcpListener::bind(closed).expect("the port");
    is_well(&installation, &["--set", &webhook, "--set", secret, "--set", &collector]);
    drop(listener);
    let allowed = "webhooks.allowed_networks=192.0.2.0/24";
    let nowhere = ["--set", "notifications.webhook=http://no.such.host.invalid/", "--set", secret, "--set", allowed];
    assert!(cure(&installation, &nowhere, "cannot be reached").contains("mend the host in notifications.webhook"));
    // A collector that encrypts with a certificate of an unknown authority.
    let collector = format!("telemetry.endpoint=https://{closed}");
    assert!(cure(&installation, &["--set", &collector], "cannot be reached").contains("telemetry.collector.ca"));
}

#[test]
fn certificates_that_are_out_of_date_are_found_once() {
    let directory = TempDir::new().expect("a directory");
    let (installation, authority) = (served(&directory), Authority::new());
    let tls = ["--set", "telemetry.collector.certificate=client.pem", "--set", "telemetry.collector.key=client.key"];
    authority.expired_server(&["127.0.0.1"]).put(directory.path(), "client");
    chmod(&directory.path().join("client.key"), 0o600);
    assert!(cure(&installation, &tls, "telemetry.collector.certificate (client.pem) has expired").contains("renew it"));
    authority.server(&["127.0.0.1"]).put(directory.path(), "client");
    chmod(&directory.path().join("client.key"), 0o600);
    is_well(&installation, &tls);
}

#[test]
fn a_directory_that_is_missing_or_read_only_is_found() {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), "sqlite://data/a.db");
    let cure = cure(&installation, &[], "the directory data of the database does not exist");
    run(directory.path(), cure.split(',').next().expect("a command"));
    is_well(&installation, &[]);
}

/// Runs doctor as the user that owns the directory: file modes do not restrict the superuser.
fn examined_by_the_owner(installation: &Installation, directory: &Path) -> Vec<(String, String)> {
    let command = installation.command(&["doctor", "--json"]);
    let mut other = Command::new("setpriv");
    other
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    let output = other.current_dir(directory).output().expect("setpriv runs");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", text(&output)));
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let problems = report["findings"].as_array().expect("findings").iter().filter(|one| one["level"] == "problem");
    problems.map(|one| (word(one, "message"), word(one, "cure"))).collect()
}

#[test]
fn a_database_that_cannot_be_written_is_found() {
    let directory = TempDir::new().expect("a directory");
    let installation = served(&directory);
    run(directory.path(), "chown -R 65534:65534 .");
    assert!(examined_by_the_owner(&installation, directory.path()).is_empty());
    for (path, mode, expected) in
        [(".", 0o500, "the directory of the database"), ("access-tokens.db", 0o400, "the database (")]
    {
        let path = directory.path().join(path);
        chmod(&path, mode);
        let found = examined_by_the_owner(&installation, directory.path());
        assert!(
            found.len() == 1 && found[0].0.contains(expected) && found[0].0.contains("cannot be written"),
            "{found:#?}"
        );
        let cure = found[0].1.rsplit("and ").next().expect("a command");
        assert!(cure.starts_with("chmod u+w "), "{cure}");
        run(directory.path(), cure);
        assert!(examined_by_the_owner(&installation, directory.path()).is_empty());
    }
    // A key file of another user.
    run(directory.path(), "chown 0:0 access-tokens.keys");
    let found = examined_by_the_owner(&installation, directory.path());
    assert!(found.len() == 1 && found[0].1.contains("chown that user access-tokens.keys"), "{found:#?}");
    run(directory.path(), "chown 65534:65534 access-tokens.keys");
    assert!(examined_by_the_owner(&installation, directory.path()).is_empty());
}

#[test]
fn why_postgresql_refuses_is_said() {
    let directory = TempDir::new().expect("a directory");
    let cluster = Cluster::start().expect("a cluster");
    let url = cluster.create_database().expect("a database");
    let installation = |url: &str| Installation::new(BINARY, directory.path(), url);
    assert!(installation(&url).run(&["keys", "init"]).status.success());
    assert!(installation(&url).run(&["migrate"]).status.success());
    add_user(&installation(&url));
    is_well(&installation(&url), &[]);
    let (server, _) = url.rsplit_once('/').expect("a URL");
    let port = cluster.port();
    for (url, expected, cured) in [
        ("postgres://u@127.0.0.1:1/d".to_owned(), "connection refused by 127.0.0.1:1", "start PostgreSQL"),
        (format!("postgres://u@no.such.host.invalid:{port}/d?sslmode=require"), "no such host", "mend the host"),
        (format!("{server}/nowhere"), "database \"nowhere\" does not exist", "createdb --encoding=UTF8"),
        (format!("postgres://nobody@127.0.0.1:{port}/d"), "role \"nobody\" does not exist", "CREATE ROLE"),
        (format!("{url}?sslmode=require"), "TLS to 127.0.0.1", "ssl = on"),
        ("postgres://u@127.0.0.1:1/d?host=/nowhere".to_owned(), "there is no socket at", "start PostgreSQL"),
    ] {
        let installation = installation(&url);
        let cure = cure(&installation, &[], expected);
        assert!(cure.contains(cured), "{url}: {cure}");
        let refused = text(&installation.run(&["migrate"]));
        assert!(refused.contains(expected) && !refused.contains("pool timed out"), "{url}: {refused}");
    }
    // A password.
    let data = cluster.folder().join("data/pg_hba.conf");
    let trusting = fs::read_to_string(&data).expect("a file");
    fs::write(&data, "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        .expect("written");
    cluster.psql("postgres", "ALTER ROLE access_tokens PASSWORD 'right-hunter2'").expect("set");
    cluster.psql("postgres", "SELECT pg_reload_conf()").expect("read");
    let with = |password: &str| installation(&url.replace("access_tokens@", &format!("access_tokens:{password}@")));
    is_well(&with("right-hunter2"), &[]);
    let cure = cure(&with("wrong-hunter2"), &[], "password authentication failed");
    assert!(cure.contains("ALTER ROLE"), "{cure}");
    assert!(!text(&with("wrong-hunter2").run(&["doctor"])).contains("hunter2"));
    fs::write(&data, trusting).expect("written");
    cluster.psql("postgres", "SELECT pg_reload_conf()").expect("read");
    is_well(&installation(&url), &[]);
}

#[test]
fn a_server_with_too_few_connections_is_found() {
    let directory = TempDir::new().expect("a directory");
    let cluster = Cluster::start_with(&["max_connections=20"]).expect("a cluster");
    let url = cluster.create_database().expect("a database");
    let installation = Installation::new(BINARY, directory.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success());
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    // The superuser leaves 17 connections, and a replica takes 10 at most: there is room for one replica, and not for two.
    let warned = text(&installation.run(&["doctor"]));
    assert!(warned.contains("1 replicas fit, and 1 run now") && warned.contains("no room for one more"), "{warned}");
    is_well(&installation, &["--set", "database.max_connections=4"]);
    let cure = cure(&installation, &["--set", "database.max_connections=30"], "0 replicas fit");
    assert!(cure.contains("max_connections") && cure.contains("database.max_connections"), "{cure}");
    drop(server);
}
