//! Outages of the database during calls.

use std::time::Duration;

use access_tokens_domain::store::Store;
use access_tokens_storage::{DatabaseOptions, connect};
use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres::Cluster;
use access_tokens_testkit::proxy::FaultProxy;
use serde_json::{Value, json};

use super::recorder::{Caller, RecordedClient, Recorder, Refused};
use crate::processes::text;

/// Maximum time of a call during an outage.
const OUTAGE_TIMEOUT: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_millis(800);

/// Another connection locks the file of SQLite and keeps the lock.
pub(super) async fn lock_file(recorded_clients: &[RecordedClient<'_>; 3], url: &str) {
    let options = DatabaseOptions { idle_transaction_timeout: OUTAGE_TIMEOUT, ..DatabaseOptions::new(url) };
    let database = connect(&options).await.expect("the file");
    let unit = database.begin().await.expect("the lock");
    write(&recorded_clients[0], Some(CALL_TIMEOUT)).await;
    // The server waits for the lock for some seconds.
    let [grpc, within, apart] = recorded_clients;
    tokio::join!(write(grpc, None), write(within, None), write(apart, None));
    drop(unit);
}

/// Breaks a connection during its set-up. Messages that the driver logs at that point belong to a call that has the
/// whole URL.
pub(super) fn break_in(recorder: &Recorder, proxy: &FaultProxy, installation: &Installation) {
    // The number of bytes of answers before the set-up depends on PostgreSQL; it is about eighty.
    let broken = (200..2_000).step_by(20).any(|bytes| {
        proxy.cut_after(bytes);
        let said = text(&installation.run(&["keys", "list"]));
        recorder.refused(&said);
        said.contains("after_connect")
    });
    proxy.heal();
    assert!(broken, "it broke before or after");
}

/// The network is silent, then it breaks, then the server crashes and recovers.
pub(super) async fn crash(
    recorded_clients: &[RecordedClient<'_>; 3],
    cluster: &Cluster,
    proxy: &FaultProxy,
    installation: &Installation,
) {
    proxy.black_hole(true);
    write(&recorded_clients[0], Some(CALL_TIMEOUT)).await;
    proxy.reset_all();
    proxy.heal();
    for bytes in [0, 10, 100, 1_000] {
        proxy.cut_after(bytes);
        for recorded in recorded_clients {
            drop(attempt(recorded, None).await);
        }
        proxy.heal();
    }
    cluster.stop_immediate().expect("stopped");
    for recorded in recorded_clients {
        write(recorded, None).await;
    }
    cluster.resume().expect("started");
    installation.wait_until_ready();
}

/// Makes calls with deadlines that are too short for the work, each a little longer than the one before.
pub(super) async fn impatience(recorded: &RecordedClient<'_>) {
    for milliseconds in [1, 3, 10, 30, 100] {
        // The speed of the machine decides whether the call is in time.
        drop(attempt(recorded, Some(Duration::from_millis(milliseconds))).await);
    }
}

/// Writes a new token, which must fail.
async fn write(recorded: &RecordedClient<'_>, deadline: Option<Duration>) {
    // The clock of the client may expire just before the answer arrives; then there is no reason.
    let reasons: &[&str] = if deadline.is_some() { &["DEADLINE_EXCEEDED", ""] } else { &["DATABASE_UNAVAILABLE"] };
    let refusal = attempt(recorded, deadline).await.expect_err("refused");
    assert!(reasons.contains(&refusal.reason.as_str()), "{}", refusal.text);
}

async fn attempt(recorded: &RecordedClient<'_>, deadline: Option<Duration>) -> Result<Value, Refused> {
    let canaries = &recorded.recorder.canaries;
    let caller = match (&recorded.caller, deadline) {
        (Caller::Grpc(client), Some(deadline)) => Caller::Grpc(client.with_deadline(deadline)),
        (caller, _) => caller.clone(),
    };
    let request = json!({
        "authentication_code": canaries.personal("code that comes to nothing"),
        "identifier": canaries.email("identifier that comes to nothing"),
        "pass_code": canaries.secret("pass code that comes to nothing"), "fields_set": "number",
    });
    RecordedClient { recorder: recorded.recorder, caller }.call("CreateAccessToken", request).await
}
