//! Every secret and every personal value of a run is a canary: unique, and searched afterwards in everything that the service
//! leaves behind. Secrets may be nowhere, and personal values only in the database and in answers.
//!
//! Everything is logged that can be logged, because operators set `RUST_LOG=trace` when there is a problem, and forget it.

mod calls;
mod commands;
mod malformed;
mod outages;
mod receiver;
mod recorder;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use access_tokens_testapp::canary::Scan;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::HttpClient;
use access_tokens_testkit::postgres::{self, Cluster};
use access_tokens_testkit::proxy::FaultProxy;
use serde_json::json;
use tempfile::TempDir;

use self::recorder::{Caller, RecordedClient, Recorder};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const KEYS: &str = "access-tokens.keys";
const INPUTS: &[&str] = &["records.ndjson", "settings.toml"];

/// The outage of a database while clients write.
enum Outage<'a> {
    File(String),
    Server(&'a Cluster, &'a FaultProxy),
}

/// Makes all calls and runs all commands on one database, and returns the places to search.
async fn run_everything(
    recorder: &Arc<Recorder>,
    folder: &Path,
    url: &str,
    format: &str,
    outage: Outage<'_>,
) -> RunningServices {
    let webhook = receiver::start(recorder).await;
    let path = recorder.canaries.secret("path of the webhook");
    let bare =
        Installation::new(BINARY, folder, url).with("RUST_LOG", "trace").with("ACCESS_TOKENS__LOG__FORMAT", format);
    let installation = bare
        .with("ACCESS_TOKENS__NOTIFICATIONS__WEBHOOK", &format!("http://{webhook}/{path}"))
        .with("ACCESS_TOKENS__NOTIFICATIONS__SECRET", &recorder.canaries.secret("secret of the webhook"));
    if !url.starts_with("sqlite:") {
        assert!(installation.run(&["keys", "init"]).status.success());
        assert!(installation.run(&["migrate"]).status.success());
    }
    let users = commands::users(recorder, &installation);
    let account = commands::import(recorder, &installation, folder);
    commands::configure(recorder, &bare, folder);
    recorder.key_file(&std::fs::read_to_string(folder.join(KEYS)).expect("a key file"));

    if let Outage::Server(_, proxy) = outage {
        outages::break_in(recorder, proxy, &installation);
    }

    let other = if format == "json" { "pretty" } else { "json" };
    let apart = installation.replica().with("ACCESS_TOKENS__LOG__FORMAT", other);
    let server = installation.start(&["serve"]);
    let gateway = apart.start(&["gateway", "--upstream", &format!("http://{}", server.address())]);
    installation.wait_until_ready();
    apart.wait_until_listening();
    let (name, password) = &users.operator;
    let client = recorder.login(&server.client(), name, password).await;
    let within = recorder.login_over_http(&HttpClient::new(server.http_address(), ""), name, password).await;
    let without = within.canonical();
    let outside = recorder.login_over_http(&HttpClient::new(gateway.http_address(), ""), name, password).await;
    let recorded_clients = [Caller::Grpc(client.clone()), Caller::Http(within.clone()), Caller::Http(outside.clone())]
        .map(|caller| RecordedClient { recorder, caller });
    for recorded in &recorded_clients {
        calls::round(recorded, &account).await;
    }
    receiver::wait_for(recorder, recorded_clients.len() * calls::NOTIFICATIONS).await;
    limited(recorder, &server, &users).await;
    outages::impatience(&recorded_clients[0]).await;
    malformed::frames(recorder, &server).await;
    malformed::messages(recorder, &server, client.session()).await;
    let records = commands::good(recorder, &account).into_iter().skip(3).chain(commands::bad(recorder)).collect();
    malformed::records(recorder, &server, client.session(), records).await;
    for (http, process) in [(&within, &server), (&without, &server), (&outside, &gateway)] {
        malformed::bodies(recorder, http).await;
        malformed::texts(recorder, http, process).await;
    }
    commands::keys(recorder, &installation, folder);
    match outage {
        Outage::File(url) => outages::lock_file(&recorded_clients, &url).await,
        Outage::Server(cluster, proxy) => outages::crash(&recorded_clients, cluster, proxy, &installation).await,
    }
    for recorded in &recorded_clients {
        recorded.ok("ListClassifications", json!({})).await;
    }
    let metrics = HttpClient::new(server.ops_address(), "").send("GET", "/metrics", &[], "").await;
    assert!(metrics.text.contains("access_tokens_attempts_total"), "{}", metrics.text);
    recorder.refused(&metrics.text);
    client.release().await;
    RunningServices { installations: vec![installation, apart], servers: vec![server, gateway] }
}

/// Makes calls of a client without access to secrets, and of a service with an API key.
async fn limited(recorder: &Recorder, server: &Server, users: &commands::Users) {
    let (name, password) = &users.till;
    let till =
        RecordedClient { recorder, caller: Caller::Grpc(recorder.login(&server.client(), name, password).await) };
    let token = server.client().login_with_api_key(&users.api_key).await.expect("logged in");
    recorder.session(&token);
    let service = RecordedClient { recorder, caller: Caller::Grpc(server.client().with_api_key(&users.api_key)) };
    let named = json!({"access_token_identifier": {"id": "IMPORTED"}});
    till.ok("ShowAccessToken", named.clone()).await;
    till.refused("GenerateOtp", named, "PERMISSION_DENIED").await;
    let reset = json!({"identifier": recorder.canaries.email("unknown identifier")});
    till.refused("ResetPassCode", reset, "PERMISSION_DENIED").await;
    service.ok("ListClassifications", json!({})).await;
}

/// The running servers, and the installations with their logs.
struct RunningServices {
    installations: Vec<Installation>,
    servers: Vec<Server>,
}

impl RunningServices {
    /// Stops all servers, as an operator does.
    fn terminate(self) -> Vec<Installation> {
        for server in self.servers {
            assert_eq!(server.terminate().0, Some(0));
        }
        self.installations
    }
}

/// Searches logs and answers. Each further output of the service must be added here.
fn search(scan: &mut Scan, recorder: &Recorder, installations: &[Installation]) {
    for installation in installations {
        let log = installation.log();
        assert!(log.contains("TRACE") && log.contains("h2::"), "the log is not everything that there is");
        scan.nothing_in("a log", log.as_bytes());
    }
    scan.nothing_in("refusals", recorder.refusals().as_bytes());
    scan.no_secret_in("answers", recorder.answers().as_bytes());
}

/// Checks that no canary was found where it must not be, and that the search has read the right files.
fn judge(scan: &Scan, recorder: &Recorder, started: Instant) {
    let leaks = scan.leaks();
    println!("{} canaries, {} bytes, {:?}", recorder.canaries.count(), scan.bytes(), started.elapsed());
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    for what in ["authentication code", "identifier", "card number", "passport", "e-mail address", "user name"] {
        assert!(scan.saw(what, "/"), "no file has any {what}: these are not the files of the database");
    }
    assert!(scan.saw("identifier", "answers"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_out_of_sqlite() {
    let started = Instant::now();
    let (recorder, folder) = (Arc::new(Recorder::default()), TempDir::new().expect("a folder"));
    let file = format!("sqlite://{}", folder.path().join("access-tokens.db").display());
    let running =
        run_everything(&recorder, folder.path(), "sqlite://access-tokens.db", "json", Outage::File(file)).await;
    let mut scan = recorder.canaries.scan();
    // While the server runs there is a write-ahead log, and afterwards there is none.
    let except = [INPUTS, &[KEYS]].concat();
    assert!(folder.path().join("access-tokens.db-wal").exists());
    scan.no_secret_below(folder.path(), &except);
    let installations = running.terminate();
    scan.no_secret_below(folder.path(), &except);
    search(&mut scan, &recorder, &installations);
    judge(&scan, &recorder, started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_out_of_postgres() {
    let started = Instant::now();
    let (recorder, folder) = (Arc::new(Recorder::default()), TempDir::new().expect("a folder"));
    // A separate server for this test, which logs everything that PostgreSQL can log, and has no other data.
    let settings = ["log_min_duration_statement=0", "log_connections=on", "log_error_verbosity=verbose"];
    let cluster = tokio::task::block_in_place(|| Cluster::start_with(&settings)).expect("a cluster");
    let url = cluster.create_database().expect("a database");
    let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], cluster.port()));
    let proxy = FaultProxy::start(upstream).await.expect("a proxy");
    // This server accepts every password.
    let user = format!("access_tokens:{}@", recorder.canaries.secret("password of the database"));
    let url = proxy.through(&url).replace("access_tokens@", &user);
    let running = run_everything(&recorder, folder.path(), &url, "pretty", Outage::Server(&cluster, &proxy)).await;
    let installations = running.terminate();
    cluster.psql("postgres", "CHECKPOINT").expect("written down");
    let mut scan = recorder.canaries.scan();
    scan.no_secret_below(cluster.folder(), &[]);
    scan.no_secret_below(folder.path(), &[INPUTS, &[KEYS]].concat());
    search(&mut scan, &recorder, &installations);
    judge(&scan, &recorder, started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_logs_no_codes_when_it_is_told_so() {
    let (recorder, folder) = (Recorder::default(), TempDir::new().expect("a folder"));
    let cluster = postgres::shared();
    let url = tokio::task::block_in_place(postgres::create_database);
    let database = url.rsplit('/').next().expect("a name");
    // The two settings that the default configuration recommends, and the one that makes them necessary.
    for setting in ["log_error_verbosity = terse", "log_parameter_max_length = 0", "log_min_duration_statement = 0"] {
        cluster.psql("postgres", &format!("ALTER DATABASE {database} SET {setting}")).expect("set");
    }
    let installation = Installation::new(BINARY, folder.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success());
    let (name, password) = commands::users(&recorder, &installation).operator;
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let recorded = RecordedClient {
        recorder: &recorder,
        caller: Caller::Grpc(recorder.login(&server.client(), &name, &password).await),
    };
    let create = json!({
        "authentication_code": recorder.canaries.personal("authentication code"), "fields_set": "number",
        "identifier": recorder.canaries.email("identifier"), "pass_code": recorder.canaries.secret("pass code"),
    });
    recorded.ok("CreateAccessToken", create.clone()).await;
    recorded.refused("CreateAccessToken", create, "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
    let log = std::fs::read(cluster.folder().join("log")).expect("a log");
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("duplicate key value") && text.contains("INSERT INTO access_token"), "it logs nothing");
    let mut scan = recorder.canaries.scan();
    scan.nothing_in("the log of PostgreSQL", &log);
    assert_eq!(scan.leaks(), [""; 0]);
}
