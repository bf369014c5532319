//! Spans and metrics, sent to a real collector and read back there; and calls while the collector is unavailable.

mod collector;

use std::time::{Duration, Instant};

use access_tokens_testapp::canary::{Canaries, Kind};
use access_tokens_testapp::process::Installation;
use access_tokens_testkit::http::HttpClient;
use access_tokens_testkit::postgres;
use access_tokens_testkit::proxy::FaultProxy;
use serde_json::json;
use tempfile::TempDir;

use self::collector::{Collector, Span};
use crate::processes::{add_user, sqlite};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const SERVICE: &str = "accesstoken.v1.AccessTokenService";

/// Returns the same installation, whose processes export to this address at short intervals.
fn exporting(installation: &Installation, collector: &str) -> Installation {
    installation
        .with("ACCESS_TOKENS__TELEMETRY__ENDPOINT", &format!("http://{collector}"))
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
        .with("OTEL_METRIC_EXPORT_INTERVAL", "300")
}

/// Returns the operator of these tests, logged in over HTTP.
async fn operator(http: &HttpClient) -> (HttpClient, String) {
    let login = json!({"username": "ops", "password": "correct horse", "organisation": "DEMO"});
    let token = http.post_text("authentication/token", &login.to_string()).await.data()["token"].take();
    let token = token.as_str().expect("a token").to_owned();
    (http.with_session(&token), token)
}

/// Returns the only child of a span with this name.
fn child<'a>(spans: &'a [Span], parent: &str, name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.parent == parent && span.name == name).collect();
    assert!(found.len() == 1, "{} times {name} below {parent} in {spans:#?}", found.len());
    assert_eq!(found[0].trace, TRACE);
    found[0]
}

async fn a_trace_shows_every_hop(url: &str) {
    let (directory, canaries, collector) =
        (TempDir::new().expect("a directory"), Canaries::default(), Collector::start().await);
    let address = collector.address().to_string();
    let installation = exporting(&Installation::new(BINARY, directory.path(), url), &address)
        .with("ACCESS_TOKENS__LOG__FORMAT", "json")
        .with("ACCESS_TOKENS__TELEMETRY__ATTRIBUTES", "deployment.environment.name=test")
        .with("ACCESS_TOKENS__TELEMETRY__HEADERS", &format!("x-key={}", canaries.secret("key of the collector")));
    if !url.starts_with("sqlite:") {
        assert!(
            installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success()
        );
    }
    add_user(&installation);
    let apart = installation.replica();
    let server = installation.start(&["serve"]);
    let gateway = apart.start(&["gateway", "--upstream", &format!("http://{}", server.address())]);
    installation.wait_until_ready();
    apart.wait_until_listening();
    let (http, session) = operator(&HttpClient::new(gateway.http_address(), "")).await;
    canaries.add(Kind::Secret, "session token", session.rsplit_once('.').expect("a signature").1);

    let create = json!({
        "token": session, "authentication_code": canaries.personal("authentication code"),
        "identifier": canaries.email("identifier"), "pass_code": canaries.secret("pass code"), "fields_set": "number",
    });
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [("content-type", "application/json"), ("traceparent", &*traceparent)];
    let target = http.target("access_tokens/create");
    http.send("POST", &target, &headers, &create.to_string()).await.data();
    // A failed call has more attributes than a successful one.
    let again = json!({"authentication_code": create["authentication_code"]});
    http.post("access_tokens/create", again).await.refused("AUTHENTICATION_CODE_ALREADY_EXISTS");
    let wrong = json!({"access_token_identifier": {
        "identifier": canaries.email("unknown identifier"), "pass_code": canaries.secret("wrong pass code"),
    }});
    http.post("access_tokens/show", wrong).await.refused("INVALID_CREDENTIAL");
    let path = format!("/{}?token={}", canaries.personal("path"), canaries.secret("query"));
    assert_eq!(http.send(&canaries.secret("verb"), &path, &[], "").await.status, 404);
    let misspelt = canaries.secret("name of a field");
    http.post("access_tokens/show", json!({ misspelt: "x" })).await;
    collector.wait_for("Name: rpc.server.duration").await;
    collector.wait_for("Name: access_tokens.tokens").await;
    // Pending spans are exported at shutdown.
    assert_eq!((gateway.terminate().0, server.terminate().0), (Some(0), Some(0)));

    let spans = collector.spans();
    let method = format!("{SERVICE}/CreateAccessToken");
    let front = child(&spans, CALLER, "POST /crmapi/rest/v2/access_tokens/create");
    assert_eq!((&*front.service, &*front.kind), ("access-tokens-gateway", "SPAN_KIND_SERVER"));
    assert_eq!(front.attributes["http.route"], "/crmapi/rest/v2/access_tokens/create");
    assert_eq!(front.attributes["http.response.status_code"], "200");
    let call = child(&spans, &front.id, &method);
    assert_eq!((&*call.service, &*call.kind), ("access-tokens-gateway", "SPAN_KIND_CLIENT"));
    let answer = child(&spans, &call.id, &method);
    assert_eq!((&*answer.service, &*answer.kind), ("access-tokens", "SPAN_KIND_SERVER"));
    for (name, value) in [("rpc.system.name", "grpc"), ("rpc.method", &*method), ("rpc.response.status_code", "OK")] {
        assert_eq!((&*call.attributes[name], &*answer.attributes[name]), (value, value));
    }
    let use_case = child(&spans, &answer.id, "AccessTokens.create_access_token");
    assert_eq!((&*use_case.service, &*use_case.kind), ("access-tokens", "SPAN_KIND_INTERNAL"));
    let insert = child(&spans, &use_case.id, "INSERT access_token");
    assert_eq!(insert.kind, "SPAN_KIND_CLIENT");
    let system = if url.starts_with("sqlite:") { "sqlite" } else { "postgresql" };
    for (name, value) in
        [("db.system.name", system), ("db.operation.name", "INSERT"), ("db.collection.name", "access_token")]
    {
        assert_eq!(insert.attributes[name], value);
    }
    let statements =
        spans.iter().filter(|span| span.parent == use_case.id && span.attributes.contains_key("db.system.name"));
    assert!(statements.count() > 1, "{spans:#?}");

    let failed = spans.iter().filter(|span| span.status == "STATUS_CODE_ERROR" && span.name == "INSERT access_token");
    assert_eq!(failed.count(), 1, "{spans:#?}");
    let other = spans.iter().find(|span| span.name == "HTTP").expect("a call of nothing");
    assert_eq!((&*other.attributes["http.request.method"], other.attributes.get("url.path")), ("_OTHER", None));
    assert!(spans.iter().all(|span| !span.name.contains("Health") && !span.trace.is_empty()), "{spans:#?}");
    for log in [installation.log(), apart.log()] {
        let lines = log.lines().filter(|line| line.contains(TRACE) && line.contains("\"answered\""));
        assert_eq!(lines.count(), 1, "one line a call, with its trace: {log}");
    }

    let said = collector.said();
    for name in ["access_tokens.build_info", "access_tokens.attempts", "db.client.connection.count"] {
        assert!(said.contains(&format!("Name: {name}\n")), "{name} is not in {said}");
    }
    assert!(said.contains("deployment.environment.name: Str(test)"), "{said}");
    let mut scan = canaries.scan();
    for (installation, text) in
        [("what was exported", &said), ("the log", &installation.log()), ("the gateway's log", &apart.log())]
    {
        scan.nothing_in(installation, text.as_bytes());
    }
    assert_eq!(scan.leaks(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_shows_every_hop_on_sqlite() {
    a_trace_shows_every_hop("sqlite://access-tokens.db").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_shows_every_hop_on_postgres() {
    let url = tokio::task::block_in_place(postgres::create_database);
    a_trace_shows_every_hop(&url).await;
}

/// Returns the median time of calls, after calls that are not measured.
async fn median(http: &HttpClient) -> Duration {
    let request = json!({"access_token_identifier": {"authentication_code": "nobody"}});
    let mut times = Vec::new();
    for _ in 0..300 {
        let asked = Instant::now();
        http.post("access_tokens/show", request.clone()).await.refused("ACCESS_TOKEN_NOT_FOUND");
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_swallows_everything_slows_no_call_and_no_end() {
    let (directory, collector) = (TempDir::new().expect("a directory"), Collector::start().await);
    let proxy = FaultProxy::start(collector.address()).await.expect("a proxy");
    // The queue is so short that it is full at once.
    let installation =
        exporting(&sqlite(&directory), &proxy.address().to_string()).with("OTEL_BSP_MAX_QUEUE_SIZE", "64");
    add_user(&installation);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let (http, _) = operator(&HttpClient::new(server.http_address(), "")).await;
    let taken = median(&http).await;
    collector.wait_for("AccessTokens.show_access_token").await;
    proxy.black_hole(true);
    let swallowed = median(&http).await;
    assert!(swallowed < taken * 2 + Duration::from_millis(5), "{taken:?} became {swallowed:?}");
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", installation.log());
    assert!(took < Duration::from_secs(5), "{took:?}: {}", installation.log());
    assert!(installation.log().contains("does not take the last spans"), "{}", installation.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_collector_keeps_no_process() {
    let (directory, mut collector) = (TempDir::new().expect("a directory"), Collector::start().await);
    let installation = exporting(&sqlite(&directory), &collector.address().to_string());
    add_user(&installation);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let (http, _) = operator(&HttpClient::new(server.http_address(), "")).await;
    collector.wait_for("Sessions.login").await;
    collector.kill();
    median(&http).await;
    // The same with an exporter that cannot even start.
    let asked = Instant::now();
    let taken = format!("grpc.listen={}", server.address());
    assert_eq!(installation.replica().run(&["serve", "--set", &taken]).status.code(), Some(1));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", installation.log());
    assert!(took < Duration::from_secs(5), "{took:?}: {}", installation.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_nothing_is_sent_and_the_log_still_names_the_trace() {
    let (directory, collector) = (TempDir::new().expect("a directory"), Collector::start().await);
    let proxy = FaultProxy::start(collector.address()).await.expect("a proxy");
    let silent = exporting(&sqlite(&directory), &proxy.address().to_string()).with("OTEL_SDK_DISABLED", "true");
    for installation in [sqlite(&directory).with("OTEL_METRIC_EXPORT_INTERVAL", "100"), silent] {
        add_user(&installation);
        let server = installation.start(&["serve"]);
        installation.wait_until_ready();
        let traceparent = format!("00-{TRACE}-{CALLER}-01");
        let http = HttpClient::new(server.http_address(), "");
        http.send("GET", "/openapi.json", &[("traceparent", &traceparent)], "").await;
        let target = http.target("access_tokens/show");
        http.send("POST", &target, &[("traceparent", &traceparent)], "{}").await;
        assert_eq!(server.terminate().0, Some(0));
        // Twice over HTTP, once over gRPC: it passes through the gateway.
        let lines = installation.log().lines().filter(|line| line.contains(TRACE)).count();
        assert_eq!(lines, 3, "{}", installation.log());
    }
    assert_eq!(proxy.connections(), 0);
    assert_eq!(collector.spans().len(), 0);
}
