//! An import that runs concurrently with calls of every kind has the result of a serial order of both: no acknowledged change is undone, no
//! code works twice, and no call is refused because of the import.

use std::time::{Duration, Instant};

use access_tokens_testapp::TestApp;
use access_tokens_testapp::import_race::{self, Findings, Size};
use access_tokens_testkit::proxy::FaultProxy;

use crate::on_both_databases;

/// Number of acknowledged changes of a run. The full number, 10,000 on PostgreSQL, is run by hand.
const CHANGES: &str = "ACCESS_TOKENS_TEST_RACE_CHANGES";
const DEFAULT_CHANGES: u64 = 400;

fn size(seed: u64) -> Size {
    let changes = std::env::var(CHANGES).ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_CHANGES);
    let until = Instant::now() + Duration::from_secs(if changes > DEFAULT_CHANGES { 3_600 } else { 60 });
    Size { cards: 150, callers: 8, changes, until, seed }
}

fn judge(found: &Findings) {
    assert!(found.changes >= 100 && found.imports >= 2, "{found:?}");
    let all = [&found.undone, &found.used_twice, &found.refused];
    assert!(all.iter().all(|found| found.is_empty()), "{found:#?}");
}

on_both_databases! {
    async fn an_import_beside_calls_equals_a_serial_order(app) {
        let other = if app.url().starts_with("postgres") { Some(app.second_replica().await) } else { None };
        let found = import_race::run(app.caller(), other.as_ref().unwrap_or(&app).caller(), size(1)).await;
        judge(&found.expect("the race runs"));
    }
}

/// Checks that the race is found when a proxy removes the locks of the import from the statements to PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_locks_changes_are_undone() {
    let app = TestApp::postgres().await;
    let upstream = ([127, 0, 0, 1], access_tokens_testkit::postgres::shared().port()).into();
    let proxy = FaultProxy::start(upstream).await.expect("a proxy");
    proxy.blank(" FOR UPDATE");
    let importer = app.replica_at(&proxy.through(app.url())).await;
    let found = import_race::run(importer.caller(), app.caller(), size(1)).await.expect("the race runs");
    assert!(!found.undone.is_empty() || !found.used_twice.is_empty(), "nothing was lost in {} changes", found.changes);
}
