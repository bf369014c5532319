//! Reads from replicas, as callers see them: over gRPC and HTTP, through one process and several.

use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Server, Workplace};
use access_tokens_testkit::http::HttpClient;
use access_tokens_testkit::postgres::Cluster;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::processes::{EVERYTHING, add_user, logged_in, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const PASSWORD: &str = "staple battery";
const SHOW: &str = "access_tokens/show";
const USED: &str = "the replica is read from";
const PATIENCE: Duration = Duration::from_secs(20);
/// Some questions to the replicas later.
const BEATS: Duration = Duration::from_millis(500);

/// A primary with a standby, and processes that read from both.
struct Stage {
    primary: Cluster,
    standby: Cluster,
    places: Vec<Workplace>,
    servers: Vec<Server>,
    token: Value,
    _directory: TempDir,
}

impl Stage {
    /// So many processes, to which a replica may be so late. They find the primary where `front` says, if it does.
    async fn set(processes: usize, max_lag: &str, front: Option<&Front>) -> Self {
        let (primary, standby, url) = block_in_place(|| {
            let primary = Cluster::start().expect("a primary");
            let url = primary.create_database().expect("a database");
            let standby = primary.standby().expect("a standby");
            (primary, standby, url)
        });
        if let Some(front) = front {
            front.lead_to(primary.port());
        }
        let directory = TempDir::new().expect("a directory");
        // All servers are listed: whichever is a replica for the moment is one.
        let replicas = format!("{}, {}", url, standby.instead(&primary, &url));
        let through =
            front.map_or(url.clone(), |front| url.replace(&primary.port().to_string(), &front.port.to_string()));
        let place = Workplace::new(BINARY, directory.path(), &through)
            .with("ACCESS_TOKENS__DATABASE__REPLICA_URLS", &replicas)
            .with("ACCESS_TOKENS__DATABASE__REPLICA_MAX_LAG_MS", max_lag);
        assert!(place.run(&["keys", "init"]).status.success(), "no keys");
        let mut places = vec![place];
        places.extend((1..processes).map(|_| places[0].replica()).collect::<Vec<_>>());
        let servers: Vec<_> = places.iter().map(|place| place.start(&["serve"])).collect();
        places.iter().for_each(Workplace::wait_until_ready);
        add_user(&places[0]);
        let add = [
            "user",
            "add",
            "--organisation",
            "DEMO",
            "--username",
            "till",
            "--password-stdin",
            "--permissions",
            EVERYTHING,
        ];
        let added = places[0].run_with_input(&add, PASSWORD);
        assert!(added.status.success(), "{}", text(&added));
        let created = logged_in(&servers[0]).await.ok("CreateAccessToken", json!({"udf_string_1": "old"})).await;
        let token = json!({"access_token_identifier": {"id": created["id"]}});
        let stage = Self { primary, standby, places, servers, token, _directory: directory };
        block_in_place(|| stage.standby.wait_for_replay(&stage.primary)).expect("replayed");
        for place in &stage.places {
            wait_until("the standby is used", || place.log().contains(USED)).await;
        }
        tokio::time::sleep(BEATS).await;
        stage
    }

    /// Who writes, at a process: by HTTP, as old clients do.
    async fn writer(&self, process: usize) -> HttpClient {
        let session = logged_in(&self.servers[process]).await.session().to_owned();
        HttpClient::new(self.servers[process].http_address(), &session)
    }

    /// Somebody else, at a process.
    async fn reader(&self, process: usize) -> Client {
        let client = self.servers[process].client();
        let session = client.login("DEMO", "till", PASSWORD, None).await.expect("logged in");
        client.with_session(&session)
    }

    /// Writes, and answers what the writer may send along from then on.
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

    /// The same by HTTP, where something is sent along.
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
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_sees_its_own_writes_and_sends_along_what_other_processes_need_to_know() {
    let stage = Stage::set(2, "60000", None).await;
    let (writer, elsewhere) = (stage.writer(0).await, stage.writer(1).await);
    let session = logged_in(&stage.servers[0]).await.session().to_owned();
    let (other, far) = (stage.reader(0).await, stage.reader(1).await);
    block_in_place(|| stage.standby.pause_replay()).expect("paused");

    let after = stage.write(&writer, "new").await;
    assert_eq!(after.len(), 24, "{after}");
    assert_eq!(writer.post(SHOW, stage.token.clone()).await.data()["udf_string_1"], "new", "an old client");
    assert_eq!(stage.shown_by_http(&writer, &session, "").await, "new", "the same user in another session");
    assert_eq!(
        stage.shown_by_http(&elsewhere, &session, &after).await,
        "new",
        "at another process, with what it was told"
    );
    // What is promised ends here: both are answered by the replica.
    assert_eq!(stage.shown_by_http(&elsewhere, &session, "").await, "old", "at another process, without");
    assert_eq!((stage.shown(&other).await, stage.shown(&far).await), (json!("old"), json!("old")), "somebody else");
    assert_eq!(stage.shown_by_http(&elsewhere, &session, "forged").await, "new", "nothing is lost by nonsense");

    // Lists come from the same places.
    let free = json!({"number": 10, "fields_set": "udf_string_1"});
    let listed = other.ok("GetNotAssociatedAccessTokens", free.clone()).await;
    assert_eq!(listed["access_tokens"][0]["udf_string_1"], "old");
    let own = writer.get("access_tokens/get_not_associated", "number=10&fields_set=udf_string_1").await.data();
    assert!(own.to_string().contains("new"), "{own}");

    block_in_place(|| stage.standby.resume_replay().and_then(|()| stage.standby.wait_for_replay(&stage.primary)))
        .expect("replayed");
    for reader in [&other, &far] {
        assert_eq!(stage.shown(reader).await, "new");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_never_compared_with_what_a_replica_has() {
    let stage = Stage::set(1, "60000", None).await;
    let operator = logged_in(&stage.servers[0]).await;
    let create = json!({"identifier": "login", "pass_code": "first-secret"});
    operator.ok("CreateAccessToken", create).await;
    block_in_place(|| stage.standby.wait_for_replay(&stage.primary)).expect("replayed");
    tokio::time::sleep(BEATS).await;
    block_in_place(|| stage.standby.pause_replay()).expect("paused");

    let credential = |pass_code: &str| json!({"credential": {"identifier": "login", "pass_code": pass_code}});
    let change = json!({"access_token_identifier": credential("first-secret"), "new_pass_code": "second-secret"});
    operator.ok("ChangePassCode", change).await;
    let till = stage.reader(0).await;
    let by = |pass_code: &str| json!({"access_token_identifier": credential(pass_code), "fields_set": "id"});
    till.ok("ShowAccessToken", by("second-secret")).await;
    till.refused("ShowAccessToken", by("first-secret"), "INVALID_CREDENTIAL").await;
    block_in_place(|| stage.standby.resume_replay()).expect("resumed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_goes_under_load_fails_no_call() {
    let stage = Stage::set(1, "1000", None).await;
    let reader = stage.reader(0).await;
    let (stop, stopped) = watch::channel(false);
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (reader, token, stopped) = (reader.clone(), stage.token.clone(), stopped.clone());
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
    let place = &stage.places[0];
    for (round, stop) in [Cluster::stop_immediate, Cluster::kill, Cluster::freeze].iter().enumerate() {
        tokio::time::sleep(BEATS).await;
        block_in_place(|| stop(&stage.standby)).expect("gone");
        tokio::time::sleep(3 * BEATS).await;
        block_in_place(|| stage.standby.kill().and_then(|()| stage.standby.resume())).expect("back");
        let used = || place.log().matches(USED).count() > round + 1;
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
    let front = Front::open().await;
    let stage = Stage::set(1, "1000", Some(&front)).await;
    let (writer, reader) = (stage.writer(0).await, stage.reader(0).await);
    block_in_place(|| stage.primary.wait_for_standbys_at_commits()).expect("synchronous");
    stage.write(&writer, "kept").await;
    block_in_place(|| stage.primary.kill().and_then(|()| stage.standby.promote())).expect("promoted");
    block_in_place(|| stage.standby.psql("postgres", "ALTER SYSTEM RESET synchronous_standby_names")).expect("alone");
    front.lead_to(stage.standby.port());
    let start = Instant::now();
    while reader.try_call("ShowAccessToken", stage.token.clone()).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.shown(&reader).await, "kept");
    for value in ["one", "two", "three"] {
        stage.write(&writer, value).await;
        assert_eq!(stage.shown(&reader).await, value, "the new primary is nobody's replica");
    }
}

/// The address under which the primary is found.
struct Front {
    port: u16,
    upstream: watch::Sender<u16>,
}

impl Front {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (upstream, told) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut told = told.clone();
                tokio::spawn(async move {
                    let port = *told.borrow_and_update();
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = told.changed() => {}
                    }
                });
            }
        });
        Self { port, upstream }
    }

    /// Leads elsewhere from now on.
    fn lead_to(&self, port: u16) {
        self.upstream.send_replace(port);
    }
}
