//! Reads from replicas, as clients see them: over gRPC and HTTP, through one process and several.

use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::HttpClient;
use access_tokens_testkit::postgres::Cluster;
use access_tokens_testkit::switchable_proxy::SwitchableProxy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::processes::{EVERY_PERMISSION, add_user, logged_in, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const PASSWORD: &str = "staple battery";
const SHOW: &str = "access_tokens/show";
const USED: &str = "the replica is used";
const REPLICATION_TIMEOUT: Duration = Duration::from_secs(20);
/// Time of several health checks of the replicas.
const HEARTBEAT_TIME: Duration = Duration::from_millis(500);

/// A primary with a standby, and processes that read from both.
struct Environment {
    primary: Cluster,
    standby: Cluster,
    installations: Vec<Installation>,
    servers: Vec<Server>,
    token: Value,
    _directory: TempDir,
}

impl Environment {
    /// Starts this number of processes, which accept replicas up to this lag. They reach the primary through `proxy`, if there is
    /// one.
    async fn set_up(processes: usize, max_lag: &str, proxy: Option<&SwitchableProxy>) -> Self {
        let (primary, standby, url) = block_in_place(|| {
            let primary = Cluster::start().expect("a primary");
            let url = primary.create_database().expect("a database");
            let standby = primary.standby().expect("a standby");
            (primary, standby, url)
        });
        if let Some(proxy) = proxy {
            proxy.switch_to(primary.port());
        }
        let directory = TempDir::new().expect("a directory");
        // All servers are listed: each of them may currently be a replica.
        let replicas = format!("{}, {}", url, standby.instead(&primary, &url));
        let through = proxy
            .map_or(url.clone(), |proxy| url.replace(&primary.port().to_string(), &proxy.address().port().to_string()));
        let installation = Installation::new(BINARY, directory.path(), &through)
            .with("ACCESS_TOKENS__DATABASE__REPLICA_URLS", &replicas)
            .with("ACCESS_TOKENS__DATABASE__REPLICA_MAX_LAG_MS", max_lag);
        assert!(installation.run(&["keys", "init"]).status.success(), "no keys");
        let mut installations = vec![installation];
        installations.extend((1..processes).map(|_| installations[0].replica()).collect::<Vec<_>>());
        let servers: Vec<_> = installations.iter().map(|installation| installation.start(&["serve"])).collect();
        installations.iter().for_each(Installation::wait_until_ready);
        add_user(&installations[0]);
        let add = [
            "user",
            "add",
            "--organisation",
            "DEMO",
            "--username",
            "till",
            "--password-stdin",
            "--permissions",
            EVERY_PERMISSION,
        ];
        let added = installations[0].run_with_input(&add, PASSWORD);
        assert!(added.status.success(), "{}", text(&added));
        let created = logged_in(&servers[0]).await.ok("CreateAccessToken", json!({"udf_string_1": "old"})).await;
        let token = json!({"access_token_identifier": {"id": created["id"]}});
        let environment = Self { primary, standby, installations, servers, token, _directory: directory };
        block_in_place(|| environment.standby.wait_for_replay(&environment.primary)).expect("replayed");
        for installation in &environment.installations {
            wait_until("the standby is used", || installation.log().contains(USED)).await;
        }
        tokio::time::sleep(HEARTBEAT_TIME).await;
        environment
    }

    /// Returns a client that writes over HTTP, as old clients do.
    async fn writer(&self, process: usize) -> HttpClient {
        let session = logged_in(&self.servers[process]).await.session().to_owned();
        HttpClient::new(self.servers[process].http_address(), &session)
    }

    /// Returns another client.
    async fn reader(&self, process: usize) -> Client {
        let client = self.servers[process].client();
        let session = client.login("DEMO", "till", PASSWORD, None).await.expect("logged in");
        client.with_session(&session)
    }

    /// Writes, and returns the value of `x-read-after` for the reads of the writer.
    async fn write(&self, writer: &HttpClient, value: &str) -> String {
        let mut update = self.token.clone();
        update["udf_string_1"] = json!(value);
        let answer = writer.post("access_tokens/update", update).await;
        assert_eq!(answer.data()["udf_string_1"], value);
        answer.header("x-read-after").to_owned()
    }

    async fn shown(&self, reader: &Client) -> Value {
        reader.ok("ShowAccessToken", self.token.clone()).await["udf_string_1"].take()
    }

    /// Shows the token over HTTP, with `x-read-after` if there is one.
    async fn shown_by_http(&self, reader: &HttpClient, session: &str, after: &str) -> Value {
        let bearer = format!("Bearer {session}");
        let mut headers = vec![("content-type", "application/json"), ("authorization", bearer.as_str())];
        if !after.is_empty() {
            headers.push(("x-read-after", after));
        }
        let answer = reader.send("POST", &reader.target(SHOW), &headers, &self.token.to_string()).await;
        answer.data()["udf_string_1"].take()
    }
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < REPLICATION_TIMEOUT, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_sees_its_own_writes_and_sends_along_what_other_processes_need_to_know() {
    let environment = Environment::set_up(2, "60000", None).await;
    let (writer, elsewhere) = (environment.writer(0).await, environment.writer(1).await);
    let session = logged_in(&environment.servers[0]).await.session().to_owned();
    let (other, far) = (environment.reader(0).await, environment.reader(1).await);
    block_in_place(|| environment.standby.pause_replay()).expect("paused");

    let after = environment.write(&writer, "new").await;
    assert_eq!(after.len(), 24, "{after}");
    assert_eq!(writer.post(SHOW, environment.token.clone()).await.data()["udf_string_1"], "new", "an old client");
    assert_eq!(environment.shown_by_http(&writer, &session, "").await, "new", "the same user in another session");
    assert_eq!(
        environment.shown_by_http(&elsewhere, &session, &after).await,
        "new",
        "at another process, with what it was told"
    );
    // The guarantee ends here: the replica answers both.
    assert_eq!(environment.shown_by_http(&elsewhere, &session, "").await, "old", "at another process, without");
    assert_eq!(
        (environment.shown(&other).await, environment.shown(&far).await),
        (json!("old"), json!("old")),
        "somebody else"
    );
    assert_eq!(environment.shown_by_http(&elsewhere, &session, "forged").await, "new", "nothing is lost by nonsense");

    // Lists come from the same servers.
    let free = json!({"number": 10, "fields_set": "udf_string_1"});
    let listed = other.ok("GetNotAssociatedAccessTokens", free.clone()).await;
    assert_eq!(listed["access_tokens"][0]["udf_string_1"], "old");
    let own = writer.get("access_tokens/get_not_associated", "number=10&fields_set=udf_string_1").await.data();
    assert!(own.to_string().contains("new"), "{own}");

    block_in_place(|| {
        environment.standby.resume_replay().and_then(|()| environment.standby.wait_for_replay(&environment.primary))
    })
    .expect("replayed");
    for reader in [&other, &far] {
        assert_eq!(environment.shown(reader).await, "new");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_never_compared_with_what_a_replica_has() {
    let environment = Environment::set_up(1, "60000", None).await;
    let operator = logged_in(&environment.servers[0]).await;
    let create = json!({"identifier": "login", "pass_code": "first-secret"});
    operator.ok("CreateAccessToken", create).await;
    block_in_place(|| environment.standby.wait_for_replay(&environment.primary)).expect("replayed");
    tokio::time::sleep(HEARTBEAT_TIME).await;
    block_in_place(|| environment.standby.pause_replay()).expect("paused");

    let credential = |pass_code: &str| json!({"credential": {"identifier": "login", "pass_code": pass_code}});
    let change = json!({"access_token_identifier": credential("first-secret"), "new_pass_code": "second-secret"});
    operator.ok("ChangePassCode", change).await;
    let till = environment.reader(0).await;
    let by = |pass_code: &str| json!({"access_token_identifier": credential(pass_code), "fields_set": "id"});
    till.ok("ShowAccessToken", by("second-secret")).await;
    till.refused("ShowAccessToken", by("first-secret"), "INVALID_CREDENTIAL").await;
    block_in_place(|| environment.standby.resume_replay()).expect("resumed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_goes_under_load_fails_no_call() {
    let environment = Environment::set_up(1, "1000", None).await;
    let reader = environment.reader(0).await;
    let (stop, stopped) = watch::channel(false);
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (reader, token, stopped) = (reader.clone(), environment.token.clone(), stopped.clone());
            tokio::spawn(async move {
                let (mut calls, mut slowest) = (0, Duration::ZERO);
                while !*stopped.borrow() {
                    let asked = Instant::now();
                    assert_eq!(reader.ok("ShowAccessToken", token.clone()).await["udf_string_1"], "old");
                    slowest = slowest.max(asked.elapsed());
                    calls += 1;
                }
                (calls, slowest)
            })
        })
        .collect();
    let installation = &environment.installations[0];
    for (round, stop) in [Cluster::stop_immediate, Cluster::kill, Cluster::freeze].iter().enumerate() {
        tokio::time::sleep(HEARTBEAT_TIME).await;
        block_in_place(|| stop(&environment.standby)).expect("gone");
        tokio::time::sleep(3 * HEARTBEAT_TIME).await;
        block_in_place(|| environment.standby.kill().and_then(|()| environment.standby.resume())).expect("back");
        let used = || installation.log().matches(USED).count() > round + 1;
        wait_until("the standby is used again", used).await;
    }
    stop.send_replace(true);
    for caller in callers {
        let (calls, slowest) = caller.await.expect("no call failed");
        assert!(calls > 100 && slowest < Duration::from_secs(4), "{calls} calls, the slowest took {slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_ends_nothing() {
    // The first upstream of the proxy is replaced before the first connection.
    let proxy = SwitchableProxy::to(0).await.expect("a free port");
    let environment = Environment::set_up(1, "1000", Some(&proxy)).await;
    let (writer, reader) = (environment.writer(0).await, environment.reader(0).await);
    block_in_place(|| environment.primary.wait_for_standbys_at_commits()).expect("synchronous");
    environment.write(&writer, "kept").await;
    block_in_place(|| environment.primary.kill().and_then(|()| environment.standby.promote())).expect("promoted");
    block_in_place(|| environment.standby.psql("postgres", "ALTER SYSTEM RESET synchronous_standby_names"))
        .expect("alone");
    proxy.switch_to(environment.standby.port());
    let start = Instant::now();
    while reader.try_call("ShowAccessToken", environment.token.clone()).await.is_err() {
        assert!(start.elapsed() < REPLICATION_TIMEOUT, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(environment.shown(&reader).await, "kept");
    for value in ["one", "two", "three"] {
        environment.write(&writer, value).await;
        assert_eq!(environment.shown(&reader).await, value, "the new primary is nobody's replica");
    }
}
