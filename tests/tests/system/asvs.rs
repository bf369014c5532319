//! Requirements of OWASP ASVS that no other test proves. docs/asvs.md cites these tests.

use std::time::Duration;

use access_tokens_proto::options::{self, HttpBinding, MethodInfo};
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::{HttpAnswer, HttpClient, exchange_bytes};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::processes::sqlite;

/// Maximum time of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const CREATE: &str = "/v1/access_tokens/create";

/// Starts a server of the demo organisation with a log in JSON.
fn demo() -> (TempDir, Installation, Server) {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory).with("ACCESS_TOKENS__LOG__FORMAT", "json");
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    (directory, installation, server)
}

async fn login(http: &HttpClient, password: &str) -> HttpAnswer {
    let request = json!({"username": "demo", "password": password, "organisation": "DEMO"});
    http.post_text("authentication/token", &request.to_string()).await
}

/// Returns a client of the demo on the paths with canonical status, and its session.
async fn caller(server: &Server) -> (HttpClient, String) {
    let http = HttpClient::new(server.http_address(), "").canonical();
    let session = login(&http, "demo-demo-demo").await.data()["token"].as_str().expect("a token").to_owned();
    (http.with_session(&session), session)
}

/// Returns the number of access tokens of the demo without an owner.
async fn stock(http: &HttpClient) -> usize {
    let answer = http.get("access_tokens/get_not_associated", "number=1000&fields_set=id").await;
    answer.data().as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_over_http_has_its_headers() {
    let (_directory, _place, server) = demo();
    let (http, _) = caller(&server).await;
    let request = json!({"access_token_identifier": {"authentication_code": "99021047380"}});
    let hostile = [("origin", "https://evil.example.com"), ("cookie", "token=x"), ("x-forwarded-proto", "http")];
    let answers = [
        ("a result", http.post("access_tokens/show", request).await),
        ("a log-in", login(&http, "demo-demo-demo").await),
        ("a refused log-in", login(&http, "wrong").await),
        ("no session", http.with_session("x").post("access_tokens/show", json!({})).await),
        ("no method", http.send("POST", "/v1/nonsense", &hostile, "{}").await),
        ("a wrong verb", http.send("GET", CREATE, &hostile, "").await),
        ("too large", http.send("POST", CREATE, &hostile, &"x".repeat(70_000)).await),
        ("no JSON", http.send("POST", CREATE, &hostile, "{").await),
        ("a preflight", http.send("OPTIONS", CREATE, &hostile, "").await),
    ];
    for (what, answer) in &answers {
        answer.json();
        assert_eq!(answer.header("content-type"), "application/json", "{what}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        plain(what, answer);
    }
    for path in ["/docs", "/docs/app.js", "/docs/form.js", "/docs/schema.js", "/docs/style.css", "/openapi.json"] {
        let answer = http.send("GET", path, &hostile, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.header("content-type").is_empty(), "{path}");
        plain(path, &answer);
    }
    let page = http.send("GET", "/docs", &hostile, "").await;
    let policy = page.header("content-security-policy");
    for directive in ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|found| found.trim() == directive), "{directive}: {policy}");
    }
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let redirect = http.send("GET", "/", &hostile, "").await;
    assert_eq!((redirect.status, redirect.header("location")), (307, "/docs"));
    let two_hosts = http.send("GET", "/", &[("host", "evil.example.com")], "").await;
    assert_eq!(two_hosts.status, 400);
    plain("two hosts", &two_hosts);
}

/// Checks the headers of every answer with a body, and that no answer sets cookies or lets other origins read it.
fn plain(what: &str, answer: &HttpAnswer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    for absent in ["set-cookie", "access-control-allow-origin", "access-control-allow-credentials", "server"] {
        assert_eq!(answer.header(absent), "", "{what}: {absent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_reads_are_called_by_get() {
    let reads = |method: &&MethodInfo| {
        let name = method.grpc_path.rsplit('/').next().expect("a name");
        name.starts_with("List") || name.starts_with("Get")
    };
    let verb =
        |method: &MethodInfo, verb: &str| method.http.iter().all(|HttpBinding { verb: found, .. }| *found == verb);
    for method in options::methods().iter().filter(|method| !method.http.is_empty()) {
        assert!(verb(method, if reads(&method) { "GET" } else { "POST" }), "{}", method.grpc_path);
    }

    let (_directory, _place, server) = demo();
    let (http, session) = caller(&server).await;
    let before = stock(&http).await;
    let body = json!({"token": session}).to_string();
    for verb in ["GET", "TRACE", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        for path in [CREATE, "/crmapi/rest/v2/access_tokens/create"] {
            let answer = http.send(verb, path, &[("content-type", "application/json")], &body).await;
            assert_eq!(answer.status, 405, "{verb} {path}: {}", answer.text);
            assert!(!answer.text.contains(&session), "{verb} {path} repeats its request");
        }
    }
    assert_eq!(stock(&http).await, before, "a refused verb created an access token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_one_length() {
    let (_directory, _place, server) = demo();
    let (http, session) = caller(&server).await;
    let before = stock(&http).await;
    // A proxy that reads the other length takes this request for a part of the body.
    let body = json!({"token": session}).to_string();
    let hidden = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let head = "POST /v1/access_tokens/show HTTP/1.1\r\nhost: h\r\n";
    let all = hidden.len();
    let ambiguous = [
        format!("content-length: {all}\r\ncontent-length: 0\r\n\r\n{hidden}"),
        format!("content-length: 0\r\ncontent-length: {all}\r\n\r\n{hidden}"),
        format!("content-length: 0, {all}\r\n\r\n{hidden}"),
        format!("content-length: +0\r\n\r\n{hidden}"),
        format!("content-length: 0x0\r\n\r\n{hidden}"),
        format!("transfer-encoding: identity\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
    ];
    for request in ambiguous {
        let answers =
            exchange_bytes(server.http_address(), format!("{head}{request}").as_bytes(), false, ANSWER_TIMEOUT).await;
        assert!(answers.starts_with("HTTP/1.1 400"), "{request}\n{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{request}\n{answers}");
    }
    for size in ["0x0", "-0", "0 0", ""] {
        let request = format!("{head}transfer-encoding: chunked\r\n\r\n{size}\r\n\r\n{hidden}");
        let answers = exchange_bytes(server.http_address(), request.as_bytes(), false, ANSWER_TIMEOUT).await;
        assert!(!answers.contains("200 OK") && answers.matches("HTTP/1.1 ").count() <= 1, "{size}: {answers}");
    }
    assert_eq!(stock(&http).await, before, "a hidden request was executed");

    // If both headers are present, the encoding counts, and bytes behind the message are not read.
    let chunked =
        format!("{head}content-length: {all}\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{hidden}");
    let answers = exchange_bytes(server.http_address(), chunked.as_bytes(), false, ANSWER_TIMEOUT).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    assert_eq!(stock(&http).await, before, "a hidden request was executed");

    // The hidden request is valid by itself.
    let answers = exchange_bytes(server.http_address(), hidden.as_bytes(), false, ANSWER_TIMEOUT).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert_eq!(stock(&http).await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_the_log_is_one_object_with_its_time_in_utc() {
    let (_directory, installation, server) = demo();
    let http = HttpClient::new(server.http_address(), "").canonical();
    login(&http, "demo-demo-demo").await.data();
    login(&http, "wrong").await.refused("INVALID_LOGIN");
    // Line ends and terminal colours in all values that a client chooses.
    let forged = "x\\r\\n{\\\"level\\\":\\\"ERROR\\\",\\\"message\\\":\\\"forged\\\"}\\u001b[31m";
    let request = format!(r#"{{"username":"{forged}","password":"{forged}","organisation":"{forged}"}}"#);
    assert_ne!(http.post_text("authentication/token", &request).await.status, 200);
    let head = "POST /v1/x%0d%0a%7b%22message%22:%22forged%22%7d HTTP/1.1\r\nhost: h\r\nconnection: close\r\n";
    let request = format!("{head}x-request-id: forged\u{1b}[31m\r\ncontent-length: 0\r\n\r\n");
    assert!(
        exchange_bytes(server.http_address(), request.as_bytes(), false, ANSWER_TIMEOUT)
            .await
            .starts_with("HTTP/1.1 4")
    );
    server.client().login("DEMO", "demo", "wrong", None).await.expect_err("refused");
    assert_eq!(server.terminate().0, Some(0));

    let log = installation.log();
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for line in &lines {
        let time = line["timestamp"].as_str().unwrap_or_default();
        assert!(time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
    }
    assert!(!log.contains("forged") && !log.contains('\u{1b}'), "{log}");
    let logins =
        |code: &str| lines.iter().filter(|line| line.to_string().contains("/Login\"") && line["code"] == code).count();
    assert!(logins("Ok") == 1 && logins("Unauthenticated") >= 2, "{log}");
}
