//! A change of the primary, as operators see it: readiness with its reason, messages of commands, findings of `doctor`.

use std::time::{Duration, Instant};

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres::Cluster;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::processes::{BINARY, add_user, logged_in, text};
use crate::unwritable::{pause, readiness, wait_until};

/// Maximum time until readiness follows the database.
const NOTICE_TIME: Duration = Duration::from_secs(1);

/// A primary with a standby, and an installation whose URL names both.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    installation: Installation,
    url: String,
    directory: TempDir,
}

impl Pair {
    fn set_up() -> Self {
        let primary = Cluster::start().expect("a primary");
        let url = primary.create_database().expect("a database");
        let directory = TempDir::new().expect("a directory");
        let installation = Installation::new(BINARY, directory.path(), &url);
        assert!(installation.run(&["keys", "init"]).status.success());
        assert!(installation.run(&["migrate"]).status.success());
        add_user(&installation);
        let standby = primary.standby().expect("a standby");
        let installation = Installation::new(BINARY, directory.path(), &on(&url, &[&primary, &standby]));
        Self { primary, standby, installation, url, directory }
    }

    /// Returns an installation on the standby alone.
    fn on_standby(&self) -> Installation {
        Installation::new(BINARY, self.directory.path(), &on(&self.url, &[&self.standby]))
    }
}

fn address(cluster: &Cluster) -> String {
    format!("127.0.0.1:{}", cluster.port())
}

/// Returns the URL with these hosts.
fn on(url: &str, clusters: &[&Cluster]) -> String {
    let (user, rest) = url.split_once('@').expect("a user");
    let database = rest.split_once('/').expect("a database").1;
    let hosts: Vec<_> = clusters.iter().map(|cluster| address(cluster)).collect();
    format!("{user}@{}/{database}?target_session_attrs=read-write", hosts.join(","))
}

/// Waits for the readiness. Returns its text.
#[track_caller]
fn wait_until_within(installation: &Installation, limit: Duration, expected: u16) -> String {
    let started = Instant::now();
    loop {
        let found = readiness(installation);
        match found {
            Some((status, text)) if status == expected => return text,
            _ => assert!(started.elapsed() < limit, "{expected} expected: {found:?}\n{}", installation.log()),
        }
        pause();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_follows_the_primary_and_says_why() {
    let pair = block_in_place(Pair::set_up);
    let server = pair.installation.start(&["serve"]);
    block_in_place(|| pair.installation.wait_until_ready());
    let client = logged_in(&server).await;
    client.ok("CreateAccessToken", json!({})).await;
    block_in_place(|| pair.standby.wait_for_replay(&pair.primary)).expect("replayed");

    block_in_place(|| {
        pair.primary.kill().expect("killed");
        let why = wait_until_within(&pair.installation, NOTICE_TIME, 503);
        assert!(
            why.contains(
                "not ready: the database is a standby (in recovery): no host is a primary that can be written: "
            ),
            "{why}"
        );
        let standby = format!("{} is a standby (in recovery)", address(&pair.standby));
        let gone = format!("connection refused by {}", address(&pair.primary));
        assert!(why.contains(&standby) && why.contains(&gone), "{why}");
    });
    let refused = client.try_call("CreateAccessToken", json!({})).await.expect_err("there is no primary");
    assert!(refused.retry_after().is_some(), "{refused:?}");

    block_in_place(|| {
        pair.standby.promote().expect("promoted");
        wait_until_within(&pair.installation, NOTICE_TIME, 200);
    });
    client.ok("CreateAccessToken", json!({})).await;
    let log = pair.installation.log();
    assert!(log.contains("the database is a standby (in recovery)") && log.contains("not ready"), "{log}");
}

#[test]
fn a_server_that_starts_on_a_standby_is_ready_after_its_promotion() {
    let pair = Pair::set_up();
    pair.standby.wait_for_replay(&pair.primary).expect("replayed");
    let installation = pair.on_standby();
    let server = installation.start(&["serve"]);
    let standby = format!("{} is a standby (in recovery)", address(&pair.standby));
    wait_until(&installation, (503, &format!("not ready: the database is a standby (in recovery): {standby}")));
    assert!(!installation.run(&["healthcheck"]).status.success());

    // Commands end with the reason and the cure.
    let migrated = installation.run(&["migrate"]);
    assert!(!migrated.status.success(), "{}", text(&migrated));
    assert!(text(&migrated).contains(&standby) && text(&migrated).contains("database.url"), "{}", text(&migrated));

    pair.primary.kill().expect("killed");
    pair.standby.promote().expect("promoted");
    // The start also opens its pools and compares its keys.
    wait_until_within(&installation, 2 * NOTICE_TIME, 200);
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
}

/// Returns the findings of `doctor` about hosts and the database, as `level check: message`.
fn findings(installation: &Installation) -> Vec<String> {
    let output = installation.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", text(&output)));
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().expect("findings").iter();
    all.map(|one| format!("{} {}: {}", word(one, "level"), word(one, "check"), word(one, "message"))).collect()
}

#[track_caller]
fn has(found: &[String], expected: &str) {
    assert!(found.iter().any(|one| one.contains(expected)), "expected {expected}: {found:#?}");
}

#[test]
fn doctor_names_the_role_of_each_host_and_what_a_failover_would_lose() {
    let pair = Pair::set_up();
    let (primary, standby) = (address(&pair.primary), address(&pair.standby));
    let lost = "a failover loses acknowledged commits that no standby has received";
    let found = findings(&pair.installation);
    has(&found, &format!("ok hosts: database.url: {primary} is a primary"));
    has(&found, &format!("ok hosts: database.url: {standby} is a standby"));
    has(&found, &format!("warning database: synchronous_standby_names = : {lost}"));
    has(&found, "ok database: synchronous_commit = on");

    pair.primary.wait_for_standbys_at_commits().expect("synchronous");
    let name = pair.url.rsplit('/').next().expect("a name");
    pair.primary.psql("postgres", &format!("ALTER DATABASE {name} SET synchronous_commit = local")).expect("set");
    let found = findings(&pair.installation);
    has(&found, "ok database: synchronous_standby_names = *");
    has(&found, &format!("warning database: synchronous_commit = local: {lost}"));
    let server = pair.installation.start(&["serve"]);
    pair.installation.wait_until_ready();
    assert!(pair.installation.log().contains(lost), "{}", pair.installation.log());
    drop(server);

    // One server alone loses nothing by a failover.
    let alone = Installation::new(BINARY, pair.directory.path(), &pair.url);
    let found = findings(&alone);
    assert!(!found.iter().any(|one| one.contains(lost) || one.contains(" hosts: ")), "{found:#?}");

    pair.standby.promote().expect("promoted");
    has(&findings(&pair.installation), &format!("problem hosts: several hosts are primaries: {primary}, {standby}"));
    pair.primary.kill().expect("killed");
    has(
        &findings(&pair.installation),
        &format!("warning hosts: database.url: {primary} cannot be used: connection refused"),
    );
}
