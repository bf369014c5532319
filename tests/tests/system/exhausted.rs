//! A PostgreSQL that gives few connections, or none.

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres::{Cluster, ROLE};
use tempfile::TempDir;

use crate::processes::{BINARY, add_user};
use crate::unwritable::wait_until;

const BY_HAND: [&str; 5] = ["serve", "--set", "database.migrate_at_start=false", "--set", "database.max_connections=4"];

/// Starts a cluster, and returns a migrated installation with a user.
fn migrated_cluster(directory: &TempDir) -> (Cluster, Installation) {
    let cluster = Cluster::start().expect("a cluster");
    let installation = Installation::new(BINARY, directory.path(), &cluster.create_database().expect("a database"));
    assert!(installation.run(&["keys", "init"]).status.success());
    assert!(installation.run(&["migrate"]).status.success());
    add_user(&installation);
    (cluster, installation)
}

fn limit(cluster: &Cluster, connections: i32) {
    cluster.psql("postgres", &format!("ALTER ROLE {ROLE} CONNECTION LIMIT {connections}")).expect("altered");
}

#[test]
fn without_a_connection_for_calls_a_server_is_not_ready_and_says_why() {
    let directory = TempDir::new().expect("a directory");
    let (cluster, installation) = migrated_cluster(&directory);
    limit(&cluster, 2);
    let server = installation.start(&BY_HAND);
    wait_until(&installation, (503, "not ready: starting, the database has not answered yet: "));
    let started = std::time::Instant::now();
    while !installation.log().contains("too many connections for role") {
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{}", installation.log());
        assert!(!installation.run(&["healthcheck"]).status.success());
    }
    limit(&cluster, 20);
    installation.wait_until_ready();
    // Only the connection of the health check is left, and no other can be opened.
    limit(&cluster, 1);
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}' \
         AND NOT starts_with(query, 'SELECT 1 AS access_tokens_watch')"
    );
    cluster.psql("postgres", &kill).expect("ended");
    wait_until(&installation, (503, "not ready: the database gives no connection to calls: "));
    limit(&cluster, 20);
    wait_until(&installation, (200, "ready"));
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
}
