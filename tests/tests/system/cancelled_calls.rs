//! A caller's deadline never costs an acknowledged write (a cancelled `BEGIN` leaves an open transaction in the pool).

use std::time::Duration;

use access_tokens_testkit::app::TestApp;
use serde_json::json;

/// Answers of the database are delayed, calls are cut off while their transaction begins, and then others write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_cut_off_in_the_middle_of_begin_lose_no_later_write() {
    let (app, proxy) = TestApp::postgres_through_proxy().await;
    proxy.delay_answers(Duration::from_millis(50));
    let mut cut = Vec::new();
    for i in 0..40 {
        let client = app.caller().clone();
        let deadline = Duration::from_millis(20 + 5 * (i % 20));
        cut.push(tokio::spawn(
            async move { client.with_deadline(deadline).try_call("CreateAccessToken", json!({})).await },
        ));
    }
    let mut deadline_exceeded = 0;
    for call in cut {
        deadline_exceeded += usize::from(call.await.expect("no panic").is_err());
    }
    assert!(deadline_exceeded > 0, "no call was cut off: the test proves nothing");
    proxy.heal();

    let mut acknowledged = Vec::new();
    for _ in 0..100 {
        let created = app.ok("CreateAccessToken", json!({"fields_set": "id"})).await;
        acknowledged.push(created["id"].as_str().expect("an id").to_owned());
    }
    let fresh = app.second_replica().await;
    for id in acknowledged {
        fresh.ok("ShowAccessToken", json!({"access_token_identifier": {"id": id}, "fields_set": "id"})).await;
    }
    assert_eq!(app.sessions_idle_in_transaction(), 0);
}
