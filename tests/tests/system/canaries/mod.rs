//! Every secret and every personal value of a run is a canary: unique, and searched for afterwards in everything that the
//! service left behind. Secrets may be nowhere; personal values only in the database and in answers.
//!
//! Everything is logged that can be: operators set `RUST_LOG=trace` when something is wrong, and forget it.

mod calls;
mod commands;
mod malformed;
mod outages;
mod receiver;
mod stage;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use access_tokens_testapp::canary::Scan;
use access_tokens_testapp::process::{Server, Workplace};
use access_tokens_testkit::http::HttpClient;
use access_tokens_testkit::postgres::{self, Cluster};
use access_tokens_testkit::proxy::FaultProxy;
use serde_json::json;
use tempfile::TempDir;

use self::stage::{Caller, Stage, Way};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const KEYS: &str = "access-tokens.keys";
const INPUTS: &[&str] = &["records.ndjson", "settings.toml"];

/// What a database is asked to do while somebody writes.
enum Outage<'a> {
    File(String),
    Server(&'a Cluster, &'a FaultProxy),
}

/// Plays everything on one database, and answers what there is to search.
async fn play(stage: &Arc<Stage>, folder: &Path, url: &str, format: &str, outage: Outage<'_>) -> Played {
    let webhook = receiver::start(stage).await;
    let path = stage.canaries.secret("path of the webhook");
    let bare = Workplace::new(BINARY, folder, url).with("RUST_LOG", "trace").with("ACCESS_TOKENS__LOG__FORMAT", format);
    let place = bare
        .with("ACCESS_TOKENS__NOTIFICATIONS__WEBHOOK", &format!("http://{webhook}/{path}"))
        .with("ACCESS_TOKENS__NOTIFICATIONS__SECRET", &stage.canaries.secret("secret of the webhook"));
    if !url.starts_with("sqlite:") {
        assert!(place.run(&["keys", "init"]).status.success());
        assert!(place.run(&["migrate"]).status.success());
    }
    let users = commands::users(stage, &place);
    let account = commands::import(stage, &place, folder);
    commands::configure(stage, &bare, folder);
    stage.key_file(&std::fs::read_to_string(folder.join(KEYS)).expect("a key file"));

    if let Outage::Server(_, proxy) = outage {
        outages::break_in(stage, proxy, &place);
    }

    let other = if format == "json" { "pretty" } else { "json" };
    let apart = place.replica().with("ACCESS_TOKENS__LOG__FORMAT", other);
    let server = place.start(&["serve"]);
    let gateway = apart.start(&["gateway", "--upstream", &format!("http://{}", server.address())]);
    place.wait_until_ready();
    apart.wait_until_listening();
    let (name, password) = &users.operator;
    let client = stage.login(&server.client(), name, password).await;
    let within = stage.login_over_http(&HttpClient::new(server.http_address(), ""), name, password).await;
    let without = within.canonical();
    let outside = stage.login_over_http(&HttpClient::new(gateway.http_address(), ""), name, password).await;
    let ways = [Caller::Grpc(client.clone()), Caller::Http(within.clone()), Caller::Http(outside.clone())]
        .map(|caller| Way { stage, caller });
    for way in &ways {
        calls::round(way, &account).await;
    }
    receiver::wait_for(stage, ways.len() * calls::NOTIFICATIONS).await;
    limited(stage, &server, &users).await;
    outages::impatience(&ways[0]).await;
    malformed::frames(stage, &server).await;
    malformed::messages(stage, &server, client.session()).await;
    let records = commands::good(stage, &account).into_iter().skip(3).chain(commands::bad(stage)).collect();
    malformed::records(stage, &server, client.session(), records).await;
    for (http, process) in [(&within, &server), (&without, &server), (&outside, &gateway)] {
        malformed::bodies(stage, http).await;
        malformed::texts(stage, http, process).await;
    }
    commands::keys(stage, &place, folder);
    match outage {
        Outage::File(url) => outages::lock_file(&ways, &url).await,
        Outage::Server(cluster, proxy) => outages::crash(&ways, cluster, proxy, &place).await,
    }
    for way in &ways {
        way.ok("ListClassifications", json!({})).await;
    }
    let metrics = HttpClient::new(server.ops_address(), "").send("GET", "/metrics", &[], "").await;
    assert!(metrics.text.contains("access_tokens_attempts_total"), "{}", metrics.text);
    stage.refused(&metrics.text);
    client.release().await;
    Played { places: vec![place, apart], servers: vec![server, gateway] }
}

/// Callers who may see no secrets, and a service with a key.
async fn limited(stage: &Stage, server: &Server, users: &commands::Users) {
    let (name, password) = &users.till;
    let till = Way { stage, caller: Caller::Grpc(stage.login(&server.client(), name, password).await) };
    let token = server.client().login_with_api_key(&users.api_key).await.expect("logged in");
    stage.session(&token);
    let service = Way { stage, caller: Caller::Grpc(server.client().with_api_key(&users.api_key)) };
    let named = json!({"access_token_identifier": {"id": "IMPORTED"}});
    till.ok("ShowAccessToken", named.clone()).await;
    till.refused("GenerateOtp", named, "PERMISSION_DENIED").await;
    let reset = json!({"identifier": stage.canaries.email("unknown identifier")});
    till.refused("ResetPassCode", reset, "PERMISSION_DENIED").await;
    service.ok("ListClassifications", json!({})).await;
}

/// What runs, and where it logs.
struct Played {
    places: Vec<Workplace>,
    servers: Vec<Server>,
}

impl Played {
    /// Ends everything, as an operator does.
    fn end(self) -> Vec<Workplace> {
        for server in self.servers {
            assert_eq!(server.terminate().0, Some(0));
        }
        self.places
    }
}

/// Looks through what was said. A new way out of the service is one line here.
fn search(scan: &mut Scan, stage: &Stage, places: &[Workplace]) {
    for place in places {
        let log = place.log();
        assert!(log.contains("TRACE") && log.contains("h2::"), "the log is not everything that there is");
        scan.nothing_in("a log", log.as_bytes());
    }
    scan.nothing_in("refusals", stage.refusals().as_bytes());
    scan.no_secret_in("answers", stage.answers().as_bytes());
}

/// No secret anywhere, and the search has read what it should have.
fn judge(scan: &Scan, stage: &Stage, started: Instant) {
    let leaks = scan.leaks();
    println!("{} canaries, {} bytes, {:?}", stage.canaries.count(), scan.bytes(), started.elapsed());
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    for what in ["authentication code", "identifier", "card number", "passport", "e-mail address", "user name"] {
        assert!(scan.saw(what, "/"), "no file has any {what}: these are not the files of the database");
    }
    assert!(scan.saw("identifier", "answers"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_out_of_sqlite() {
    let started = Instant::now();
    let (stage, folder) = (Arc::new(Stage::default()), TempDir::new().expect("a folder"));
    let file = format!("sqlite://{}", folder.path().join("access-tokens.db").display());
    let played = play(&stage, folder.path(), "sqlite://access-tokens.db", "json", Outage::File(file)).await;
    let mut scan = stage.canaries.scan();
    // While it runs there is a write-ahead log, and afterwards there is none.
    let except = [INPUTS, &[KEYS]].concat();
    assert!(folder.path().join("access-tokens.db-wal").exists());
    scan.no_secret_below(folder.path(), &except);
    let places = played.end();
    scan.no_secret_below(folder.path(), &except);
    search(&mut scan, &stage, &places);
    judge(&scan, &stage, started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_out_of_postgres() {
    let started = Instant::now();
    let (stage, folder) = (Arc::new(Stage::default()), TempDir::new().expect("a folder"));
    // A server of its own, with everything logged that it can log, and nobody else's data.
    let settings = ["log_min_duration_statement=0", "log_connections=on", "log_error_verbosity=verbose"];
    let cluster = tokio::task::block_in_place(|| Cluster::start_with(&settings)).expect("a cluster");
    let url = cluster.create_database().expect("a database");
    let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], cluster.port()));
    let proxy = FaultProxy::start(upstream).await.expect("a proxy");
    // Everybody is trusted there, with whatever password.
    let user = format!("access_tokens:{}@", stage.canaries.secret("password of the database"));
    let url = proxy.through(&url).replace("access_tokens@", &user);
    let played = play(&stage, folder.path(), &url, "pretty", Outage::Server(&cluster, &proxy)).await;
    let places = played.end();
    cluster.psql("postgres", "CHECKPOINT").expect("written down");
    let mut scan = stage.canaries.scan();
    scan.no_secret_below(cluster.folder(), &[]);
    scan.no_secret_below(folder.path(), &[INPUTS, &[KEYS]].concat());
    search(&mut scan, &stage, &places);
    judge(&scan, &stage, started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_logs_no_codes_when_it_is_told_so() {
    let (stage, folder) = (Stage::default(), TempDir::new().expect("a folder"));
    let cluster = postgres::shared();
    let url = tokio::task::block_in_place(postgres::create_database);
    let database = url.rsplit('/').next().expect("a name");
    // The two settings that the default configuration recommends, and the one that makes them worth it.
    for setting in ["log_error_verbosity = terse", "log_parameter_max_length = 0", "log_min_duration_statement = 0"] {
        cluster.psql("postgres", &format!("ALTER DATABASE {database} SET {setting}")).expect("set");
    }
    let place = Workplace::new(BINARY, folder.path(), &url);
    assert!(place.run(&["keys", "init"]).status.success() && place.run(&["migrate"]).status.success());
    let (name, password) = commands::users(&stage, &place).operator;
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    let way = Way { stage: &stage, caller: Caller::Grpc(stage.login(&server.client(), &name, &password).await) };
    let create = json!({
        "authentication_code": stage.canaries.personal("authentication code"), "fields_set": "number",
        "identifier": stage.canaries.email("identifier"), "pass_code": stage.canaries.secret("pass code"),
    });
    way.ok("CreateAccessToken", create.clone()).await;
    way.refused("CreateAccessToken", create, "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
    let log = std::fs::read(cluster.folder().join("log")).expect("a log");
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("duplicate key value") && text.contains("INSERT INTO access_token"), "it logs nothing");
    let mut scan = stage.canaries.scan();
    scan.nothing_in("the log of PostgreSQL", &log);
    assert_eq!(scan.leaks(), [""; 0]);
}
