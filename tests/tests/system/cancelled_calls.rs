//! The deadline of a call never costs an acknowledged write (a cancelled `BEGIN` leaves an open transaction in the pool).

use std::time::Duration;

use access_tokens_testapp::TestApp;
use serde_json::json;

/// Delays the answers of the database, cancels calls while their transaction begins, and writes afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_cut_off_in_the_middle_of_begin_lose_no_later_write() {
    let (app, proxy) = TestApp::postgres_through_proxy().await;
    let mut sessions = Vec::new();
    for _ in 0..16 {
        let token = app.login("DEMO", "tester", "correct horse", None).await.expect("logged in");
        sessions.push(app.with_session(&token));
    }
    // A creation takes a few round trips, and few enough calls run concurrently that none waits for a connection, so the deadlines
    // expire at every one of its steps. They become shorter, because no later call repairs what the last of them leaves behind.
    proxy.delay_answers(Duration::from_millis(40));
    let mut deadline_exceeded = 0;
    for step in (0..40).rev() {
        let calls = (0..2).map(|half| {
            let client = app.caller().with_deadline(Duration::from_millis(20 + 8 * step + 4 * half));
            tokio::spawn(async move { client.try_call("CreateAccessToken", json!({})).await })
        });
        for call in calls.collect::<Vec<_>>() {
            deadline_exceeded += usize::from(call.await.expect("no panic").is_err());
        }
    }
    assert!(deadline_exceeded > 0, "no call was cut off: the test proves nothing");
    proxy.heal();

    // The calls that were begun have ended. No transaction may be open a second later.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.sessions_idle_in_transaction(), 0, "a cancelled call left a transaction open in the pool");

    // Writes of both kinds, a single statement and a transaction, are visible to every session once they are acknowledged.
    for session in &sessions {
        session.release().await;
    }
    let mut acknowledged = Vec::new();
    for _ in 0..100 {
        let created = app.ok("CreateAccessToken", json!({"fields_set": "id"})).await;
        acknowledged.push(created["id"].as_str().expect("an id").to_owned());
    }
    let fresh = app.second_replica().await;
    for session in &sessions {
        let elsewhere = fresh.with_session(session.session());
        elsewhere.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    }
    for id in acknowledged {
        fresh.ok("ShowAccessToken", json!({"access_token_identifier": {"id": id}, "fields_set": "id"})).await;
    }
}
