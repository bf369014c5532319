//! Tests of the temporary PostgreSQL.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use access_tokens_testkit::postgres::{self, Cluster};

/// Returns the last part of the URL of a database.
fn name(url: &str) -> &str {
    url.rsplit('/').next().expect("a name")
}

#[test]
fn each_database_is_new_and_belongs_to_an_ordinary_role() {
    let (one, two) = (postgres::create_database(), postgres::create_database());
    assert_ne!(one, two);
    let cluster = postgres::shared();
    cluster.psql(name(&one), "CREATE TABLE only_here (id integer)").expect("a table");
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'only_here'";
    assert_eq!(cluster.psql(name(&two), count).expect("count"), "0");
    let owner = "SELECT rolname, rolsuper FROM pg_database JOIN pg_roles r ON r.oid = datdba WHERE datname =";
    let owner = cluster.psql("postgres", &format!("{owner} '{}'", name(&one))).expect("owner");
    assert_eq!(owner, format!("{}|f", postgres::ROLE));
}

#[test]
fn it_is_durable_and_does_not_sort_by_bytes() {
    let database = postgres::create_database();
    let ask = |sql: &str| postgres::shared().psql(name(&database), sql).expect("an answer");
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(ask(&format!("SHOW {setting}")), "on", "{setting}");
    }
    assert_eq!(ask("SHOW server_encoding"), "UTF8");
    assert_eq!(ask("SELECT 'a' < 'B', 'a' < 'B' COLLATE \"C\""), "t|f");
}

#[test]
fn what_was_committed_survives_a_restart_and_a_crash() {
    let cluster = Cluster::start().expect("a cluster of its own");
    let port = cluster.port();
    cluster.psql("postgres", "CREATE TABLE kept (id integer); INSERT INTO kept VALUES (1)").expect("a row");
    cluster.restart().expect("restart");
    cluster.psql("postgres", "INSERT INTO kept VALUES (2)").expect("another row");
    cluster.stop_immediate().expect("crash");
    cluster.psql("postgres", "SELECT 1").expect_err("nobody answers");
    cluster.resume().expect("recovery");
    assert_eq!(cluster.port(), port);
    assert_eq!(cluster.psql("postgres", "SELECT count(*) FROM kept").expect("count"), "2");
}

#[test]
fn all_its_processes_can_be_frozen_and_killed() {
    let folder = tempfile::Builder::new().prefix("access-tokens-postgres-").tempdir().expect("a folder");
    let cluster = Cluster::start_in(&folder.keep(), &[], &[("TZ", "UTC")]).expect("a cluster of its own");
    cluster.psql("postgres", "CREATE TABLE kept (id integer); INSERT INTO kept VALUES (1)").expect("a row");
    cluster.freeze().expect("frozen");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, cluster.port())).expect("the system still listens");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    // A request for encryption, which is answered with one letter.
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).expect("sent");
    stream.read_exact(&mut [0]).expect_err("nobody answers");
    cluster.kill().expect("killed");
    TcpStream::connect((Ipv4Addr::LOCALHOST, cluster.port())).expect_err("nobody listens");
    cluster.resume().expect("recovery");
    assert_eq!(cluster.psql("postgres", "SELECT count(*) FROM kept").expect("count"), "1");
}

#[test]
fn settings_can_be_unsafe_on_purpose() {
    let cluster = Cluster::start_with(&["fsync=off"]).expect("a cluster of its own");
    assert_eq!(cluster.psql("postgres", "SHOW fsync").expect("setting"), "off");
}

#[test]
fn nothing_outlives_a_test_process_that_is_killed() {
    let this = std::env::current_exe().expect("this program");
    let mut child = Command::new(this)
        .args(["--exact", "holds_a_cluster_until_it_is_killed", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a test process");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let data = lines.find_map(|line| line.ok()?.split_once("DATA ").map(|(_, data)| data.to_owned())).expect("started");
    let lock = std::fs::read_to_string(Path::new(&data).join("postmaster.pid")).expect("running");
    let port: u16 = lock.lines().nth(3).expect("a port").parse().expect("a number");
    let answers = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    assert!(answers());

    child.kill().expect("killed");
    child.wait().expect("gone");
    let start = Instant::now();
    while Path::new(&data).exists() || answers() {
        assert!(start.elapsed() < Duration::from_secs(30), "a PostgreSQL in {data} outlived its test process");
        pause();
    }
}

/// A helper process, not a test: the test above starts it and kills it.
#[test]
#[ignore = "waits to be killed"]
fn holds_a_cluster_until_it_is_killed() {
    let cluster = Cluster::start().expect("a cluster of its own");
    println!("DATA {}", cluster.psql("postgres", "SHOW data_directory").expect("folder"));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[expect(clippy::disallowed_methods, reason = "waits for processes that are no children")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn all_its_processes_can_be_pinned() {
    let cluster = Cluster::start().expect("a cluster of its own");
    cluster.pin("0").expect("pinned");
    let writer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
    for process in ["'self'", &format!("({writer})")] {
        let status = format!("SELECT pg_read_file(concat('/proc/', {process}, '/status'))");
        let status = cluster.psql("postgres", &status).expect("a status");
        assert!(status.lines().any(|line| line == "Cpus_allowed_list:\t0"), "{status}");
    }
}
