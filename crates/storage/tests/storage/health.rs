//! Health of the database, and the claim of a single serving process.

use std::time::Duration;

use access_tokens_domain::store::{AccountStore, StoreError};
use access_tokens_storage::{SetupError, connect};
use access_tokens_testkit::proxy::FaultProxy;
use tokio::time::timeout;

use crate::common::{execute, postgres_options, sqlite_options};

const DETECTION_TIMEOUT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_behind_a_link_that_swallows_everything_is_away_until_it_answers() {
    let mut options = postgres_options().await;
    let upstream = options.url.split(['@', '/']).find_map(|part| part.parse().ok()).expect("an address");
    let network = FaultProxy::start(upstream).await.expect("a proxy");
    let direct = options.url.clone();
    options.url = network.through(&direct);
    let database = connect(&options).await.expect("connects");
    database.migrate().await.expect("migrated");
    let mut health = database.watch_health();
    assert!(*health.borrow());

    network.black_hole(true);
    let stuck = {
        let database = database.clone();
        tokio::spawn(async move { database.organisation_by_name("DEMO").await.map(drop) })
    };
    timeout(DETECTION_TIMEOUT, health.wait_for(|present| !present)).await.expect("noticed").expect("watched");
    assert!(matches!(database.ping().await, Err(StoreError::Unavailable(_))));
    assert!(!stuck.is_finished(), "nothing has broken its connection");
    let refused = timeout(Duration::from_millis(100), database.organisation_by_name("DEMO")).await.expect("at once");
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));

    network.heal();
    timeout(DETECTION_TIMEOUT, health.wait_for(|present| *present)).await.expect("noticed").expect("watched");
    database.ping().await.expect("answers");
    let answer = timeout(Duration::from_millis(500), database.organisation_by_name("DEMO")).await;
    answer.expect("does not wait behind what is stuck").expect("answers");
    drop(stuck);

    // A server that ends its sessions and accepts new ones has not been down.
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'access-tokens%' \
                AND datname = current_database()";
    execute(&direct, kill).await;
    let away = timeout(DETECTION_TIMEOUT, health.wait_for(|present| !present)).await;
    assert!(away.is_err(), "it has been there all the time");
}

#[tokio::test]
async fn one_process_serves_a_file() {
    let (options, _folder) = sqlite_options();
    let first = connect(&options).await.expect("connects");
    first.claim().expect("no other process serves it");
    first.claim().expect("it does already");
    let second = connect(&options).await.expect("commands may use it");
    assert!(matches!(second.claim(), Err(SetupError::Served(_))));
    assert!(*second.watch_health().borrow());
    drop(first);
    second.claim().expect("the first is gone");
}
