//! A pgbouncer between the service and its database.

use std::collections::HashSet;

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres::{self, PgBouncer, Pooling};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::processes::{add_user, logged_in, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");

/// Returns an installation on a database behind a pooler with this number of connections.
fn behind(pooling: Pooling, connections: usize, directory: &TempDir) -> (PgBouncer, Installation) {
    let url = postgres::create_database();
    let bouncer =
        PgBouncer::start(postgres::shared(), pooling, connections).unwrap_or_else(|error| panic!("{error:#}"));
    let installation = Installation::new(BINARY, directory.path(), &bouncer.through(&url));
    assert!(installation.run(&["keys", "init"]).status.success(), "no keys");
    (bouncer, installation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_work_behind_a_pooler_of_sessions() {
    let directory = TempDir::new().expect("a directory");
    // Each server needs its own, one for the health check, and one for the migration; the rest are for the command that runs at the same
    // time.
    let (mut bouncer, installation) = block_in_place(|| behind(Pooling::Session, 2 * 10 + 4, &directory));
    let installations = [installation.clone(), installation.replica()];
    let servers = installations.each_ref().map(|installation| installation.start(&["serve"]));
    installations.iter().for_each(Installation::wait_until_ready);
    add_user(&installation);
    let mut calls = Vec::new();
    for server in &servers {
        let client = logged_in(server).await;
        calls.extend((0..60).map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let created = client.ok("CreateAccessToken", json!({"fields_set": "id,number"})).await;
                let named = json!({"access_token_identifier": {"id": created["id"]}, "fields_set": "number"});
                assert_eq!(client.ok("ShowAccessToken", named).await["number"], created["number"]);
                created["number"].to_string()
            })
        }));
    }
    let mut numbers = HashSet::new();
    for call in calls {
        assert!(numbers.insert(call.await.expect("created")), "a number twice");
    }
    // The pooler is briefly unavailable, as during an update.
    let client = logged_in(&servers[0]).await;
    block_in_place(|| bouncer.restart()).expect("restarted");
    let mut tries = 0;
    while client.try_call("CreateAccessToken", json!({})).await.is_err() {
        tries += 1;
        assert!(tries < 100, "{}", installation.log());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for server in servers {
        assert_eq!(server.terminate().0, Some(0));
    }
}

#[test]
fn a_pooler_of_transactions_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let (_bouncer, installation) = behind(Pooling::Transaction, 20, &directory);
    for command in ["migrate", "serve"] {
        let refused = installation.run(&[command]);
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(text(&refused).contains("pool_mode = session"), "{}", text(&refused));
    }
}
