//! The port for operators: metrics and probes are correct.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::{HttpAnswer, HttpClient};
use access_tokens_testkit::postgres;
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{PREFACE, add_user, connect, logged_in, sqlite, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");

const ID: &str = "TOKEN-7c1e55";
const IDENTIFIER: &str = "somebody-7c1e55@example.com";
const CODE: &str = "4015937726004";
const PASS_CODE: &str = "correct-7c1e55";

/// Reads a page of the port.
async fn get(server: &Server, path: &str) -> HttpAnswer {
    HttpClient::new(server.ops_address(), "").send("GET", path, &[], "").await
}

/// Returns the value of a series, by its name with its labels in their order.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("{series} is not in:\n{metrics}"));
    line.parse().expect("a number")
}

/// Returns the number of calls of a method that were answered with a gRPC code.
fn calls(metrics: &str, method: &str, code: i32) -> f64 {
    let labels = format!("rpc_grpc_status_code=\"{code}\",rpc_method=\"accesstoken.v1.{method}\"");
    value(metrics, &format!("rpc_server_duration_seconds_count{{{labels}}}"))
}

async fn values_are_right(url: &str) {
    let directory = TempDir::new().expect("a directory");
    let installation = Installation::new(BINARY, directory.path(), url);
    if !url.starts_with("sqlite:") {
        assert!(
            installation.run(&["keys", "init"]).status.success() && installation.run(&["migrate"]).status.success()
        );
    }
    let token = json!({"id": ID, "number": "AT1", "authentication_code": CODE, "identifier": IDENTIFIER, "pass_code": PASS_CODE});
    let card = json!({"name": "a \"card\"", "policy": {"lock": {"attempts_per_day": 10}}});
    let records = format!("{}\n{}\n", json!({"access_token": token}), json!({"classification": card}));
    let imported = installation.run_with_input(&["import", "--create-organisation", "-"], &records);
    assert!(imported.status.success(), "{}", text(&imported));
    add_user(&installation);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let client = logged_in(&server).await;

    let check = |pass_code: &str| json!({"access_token_identifier": {"credential": {"identifier": IDENTIFIER, "pass_code": pass_code}}});
    for _ in 0..2 {
        client.refused("CheckPassCode", check("wrong"), "INVALID_CREDENTIAL").await;
    }
    client.ok("CheckPassCode", check(PASS_CODE)).await;
    let nobody = json!({"access_token_identifier": {"id": "nobody-7c1e55"}, "pass_code": "wrong"});
    let refusal = client.refused("CheckPassCode", nobody, "INVALID_CREDENTIAL").await;
    let stranger = server.client().refused("CheckPassCode", check(PASS_CODE), "INVALID_TOKEN").await;
    let named = json!({"access_token_identifier": {"authentication_code": CODE}});
    let mut admitted = 0;
    while client.try_call("GenerateOtp", named.clone()).await.is_ok() {
        admitted += 1;
    }
    client.ok("ShowAccessToken", named.clone()).await;
    HttpClient::new(server.http_address(), client.session()).post("access_tokens/show", named).await.data();

    let metrics = get(&server, "/metrics").await;
    assert_eq!((metrics.status, metrics.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let metrics = metrics.text;
    for (outcome, count) in [("right", 1.0), ("wrong", 2.0), ("refused", 1.0)] {
        let series = format!("access_tokens_attempts_total{{kind=\"PASS_CODE\",outcome=\"{outcome}\"}}");
        assert_eq!(value(&metrics, &series), count, "{outcome}");
    }
    for (outcome, count) in [("admitted", f64::from(admitted)), ("refused", 1.0)] {
        let series = format!("access_tokens_codes_total{{kind=\"ONE_TIME_PASSWORD\",outcome=\"{outcome}\"}}");
        assert_eq!(value(&metrics, &series), count, "{outcome}");
    }
    let check = "AccessTokenService/CheckPassCode";
    assert_eq!(calls(&metrics, check, 0), 1.0);
    assert_eq!(calls(&metrics, check, refusal.code() as i32), 3.0);
    assert_eq!(calls(&metrics, check, stranger.code() as i32), 1.0, "rejections count");
    assert_eq!(calls(&metrics, "AccessTokenService/ShowAccessToken", 0), 2.0, "over gRPC and over HTTP");
    assert_eq!(calls(&metrics, "AuthenticationService/Login", 0), 1.0);
    assert!(!metrics.contains("grpc.health"), "probes are no calls");

    let bound = |classification: &str| {
        let labels = format!("classification=\"{classification}\",organisation=\"DEMO\"");
        value(&metrics, &format!("access_tokens_guess_bound{{{labels}}}"))
    };
    assert!((bound("") - 3e-4).abs() < 1e-9, "{}", bound(""));
    assert!((bound("a \\\"card\\\"") - 3e-5).abs() < 1e-9, "{}", bound("a \\\"card\\\""));
    assert_eq!(value(&metrics, "access_tokens_guess_limit"), 1e-3);
    assert_eq!(value(&metrics, "access_tokens_guess_bound_dropped"), 0.0);
    for (name, least) in [("running", 0.0), ("waiting", 0.0), ("refused_total", 0.0)] {
        for queue in ["authenticated", "known_login", "anonymous_login"] {
            assert_eq!(value(&metrics, &format!("access_tokens_hashing_{name}{{queue=\"{queue}\"}}")), least);
        }
    }
    if url.starts_with("sqlite:") {
        let units = value(&metrics, "access_tokens_sqlite_units_total");
        assert!(units >= value(&metrics, "access_tokens_sqlite_commits_total") && units > 4.0, "{units}");
    } else {
        assert!(!metrics.contains("sqlite"));
    }
    for value in [ID, IDENTIFIER, CODE, PASS_CODE, "7c1e55", client.session()] {
        assert!(!metrics.contains(value), "{value} is in:\n{metrics}");
    }
    // The next scrape includes data that were imported meanwhile.
    let policy = json!({"classification": {"name": "new", "policy": {}}}).to_string();
    assert!(installation.run_with_input(&["import", "-"], &policy).status.success());
    let metrics = get(&server, "/metrics").await.text;
    value(&metrics, "access_tokens_guess_bound{classification=\"new\",organisation=\"DEMO\"}");
    assert!(!installation.log().contains("/metrics"), "a routine question is no line: {}", installation.log());
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_right_on_sqlite() {
    values_are_right("sqlite://access-tokens.db").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_right_on_postgres() {
    let url = tokio::task::block_in_place(postgres::create_database);
    values_are_right(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_is_alive_but_not_ready() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let ready = get(&server, "/readyz").await;
    assert_eq!((ready.status, ready.text.as_str()), (200, "ready\n"));
    let built = get(&server, "/buildinfo").await;
    assert_eq!(
        (built.header("content-type"), built.json()["name"].as_str()),
        ("application/json", Some("access-tokens"))
    );
    assert_eq!(built.json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(get(&server, "/").await.status, 404);
    assert_eq!(get(&server, "/crmapi/rest/v2/access_tokens/show").await.status, 404);
    let posted = HttpClient::new(server.ops_address(), "").send("POST", "/metrics", &[], "").await;
    assert_eq!(posted.status, 405);

    // A connection that never ends delays the shutdown by seconds.
    let _stuck = connect(&server, PREFACE);
    server.signal("TERM");
    let asked = Instant::now();
    while get(&server, "/readyz").await.status == 200 {
        assert!(asked.elapsed() < Duration::from_secs(2), "{}", installation.log());
    }
    let stopping = get(&server, "/readyz").await;
    assert_eq!((stopping.status, stopping.text.as_str()), (503, "not ready: stopping\n"));
    assert_eq!(get(&server, "/livez").await.status, 200);
    assert!(get(&server, "/metrics").await.text.contains("access_tokens_build_info{"));
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_it_is_alive_and_says_what_is_missing() {
    let directory = TempDir::new().expect("a directory");
    // SQLite creates the key file.
    add_user(&sqlite(&directory));
    let installation = Installation::new(BINARY, directory.path(), "postgres://nobody@127.0.0.1:1/nowhere");
    let server = installation.start(&["serve"]);
    let started = Instant::now();
    while TcpStream::connect(server.ops_address()).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "nobody listens: {}", installation.log());
    }
    assert_eq!(get(&server, "/livez").await.status, 200);
    let ready = get(&server, "/readyz").await;
    assert!(ready.status == 503 && ready.text.contains("the database has not answered yet"), "{}", ready.text);
    let metrics = get(&server, "/metrics").await;
    assert_eq!(value(&metrics.text, "access_tokens_guess_limit"), 1e-3);
    assert!(!metrics.text.contains("organisation="), "{}", metrics.text);
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_stops_a_service_but_not_a_demo() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let taken = format!("ops.listen={}", server.ops_address());
    let elsewhere = TempDir::new().expect("a directory");
    let second = sqlite(&elsewhere);
    let refused = second.run(&["serve", "--set", &taken]);
    assert_eq!(refused.status.code(), Some(1));
    let named = format!("error: cannot listen on {} (ops.listen)", server.ops_address());
    assert!(text(&refused).contains(&named), "{}", text(&refused));
    let demo = second.start(&["serve", "--demo", "--set", &taken]);
    second.wait_until_ready();
    assert!(second.log().contains("ops.listen is taken"), "{}", second.log());
    assert_eq!(get(&server, "/readyz").await.status, 200, "the first one is as it was");
    assert_eq!(demo.terminate().0, Some(0));
    let without = second.start(&["serve", "--set", "ops.listen="]);
    second.wait_until_ready();
    assert!(TcpStream::connect(without.ops_address()).is_err());
}
