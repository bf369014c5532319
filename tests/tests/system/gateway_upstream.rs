//! The stand-alone gateway: requests of unauthenticated clients do not break the connection that all clients share, and calls that are lost
//! when that connection reaches its maximum age are sent again. The tests also cover answers that come before the end of the body, on a
//! connection that stays open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::{HttpClient, KeptConnection};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::processes::{BINARY, sqlite};

const SHOW: &str = "/v1/access_tokens/show";
const CREATE: &str = "/v1/access_tokens/create";

/// A server with the demo, and a gateway before it.
struct Deployment {
    installation: Installation,
    gateway_place: Installation,
    serve: Server,
    gateway: Server,
    _directories: [TempDir; 2],
}

impl Deployment {
    fn start(options: &[&str]) -> Self {
        let directories = [TempDir::new().expect("a directory"), TempDir::new().expect("a directory")];
        let installation = sqlite(&directories[0]);
        let serve = installation.start(&[&["serve", "--demo"], options].concat());
        let gateway_place = Installation::new(BINARY, directories[1].path(), "sqlite://none.db");
        let upstream = format!("http://{}", serve.address());
        let gateway = gateway_place.start(&["gateway", "--upstream", &upstream]);
        installation.wait_until_ready();
        gateway_place.wait_until_listening();
        Self { installation, gateway_place, serve, gateway, _directories: directories }
    }

    async fn session(&self) -> String {
        let http = HttpClient::new(self.gateway.http_address(), "");
        let login = json!({"username": "demo", "password": "demo-demo-demo", "organisation": "DEMO"});
        let data = http.post_text("authentication/token", &login.to_string()).await.data();
        data["token"].as_str().expect("a token").to_owned()
    }

    fn stop(self) {
        for (server, installation) in [(self.gateway, &self.gateway_place), (self.serve, &self.installation)] {
            assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
            assert!(!installation.log().contains("panicked"), "{}", installation.log());
        }
    }
}

/// Returns the number of calls of a test: a few in CI, or `GATEWAY_CALLS`.
fn calls(usual: usize) -> usize {
    std::env::var("GATEWAY_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs clients until this number of calls has been made and this time has passed. Returns the failures, and the number of calls.
async fn honest(
    address: SocketAddr,
    session: &str,
    callers: usize,
    calls: usize,
    time: Duration,
) -> (Vec<String>, usize) {
    let (made, end) = (Arc::new(AtomicUsize::new(0)), Instant::now() + time);
    let callers = (0..callers).map(|caller| {
        let (made, session) = (Arc::clone(&made), session.to_owned());
        tokio::spawn(async move {
            let (mut kept, mut failed) = (KeptConnection::new(address), Vec::new());
            while made.fetch_add(1, Ordering::Relaxed) < calls || Instant::now() < end {
                let writes = made.load(Ordering::Relaxed) % 4 == caller % 4;
                let (target, body) = match writes {
                    true => (CREATE, json!({"token": session, "fields_set": "number"})),
                    false => (
                        SHOW,
                        json!({"token": session, "access_token_identifier": {"authentication_code": "99021047380"}}),
                    ),
                };
                let answer = kept.send("POST", target, &[], &body.to_string(), Duration::ZERO).await;
                match answer {
                    Some(answer) if answer.status == 200 => {}
                    other => failed.push(format!("{target}: {other:?}")),
                }
            }
            failed
        })
    });
    let mut failed = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        failed.extend(caller.await.expect("no panic"));
    }
    (failed, made.load(Ordering::Relaxed))
}

/// Sends one oversized request of each kind and size, and checks its answer.
async fn attack(address: SocketAddr) {
    for length in [9_000, 16_000, 20_000, 63_000, 65_000, 100_000] {
        let long = "a".repeat(length);
        let (bearer, basic) = (format!("Bearer {long}"), format!("Basic {}", base64(&long)));
        let cases: [(&str, &str, u16); 8] = [
            ("authorization", &bearer, 401),
            ("authorization", if length > 65_000 { &bearer } else { &basic }, 401),
            ("x-api-key", &long, 401),
            ("user-agent", &long, 431),
            ("traceparent", &long, 431),
            ("tracestate", &long, 431),
            ("x-read-after", &long, 431),
            // An invalid id is replaced, and headers that are not forwarded are not checked: the session is missing.
            ("x-request-id", &long, 401),
        ];
        for (name, value, expected) in cases {
            let mut connection = KeptConnection::new(address);
            let body = r#"{"access_token_identifier":{"id":"1"}}"#;
            let answer =
                connection.send("POST", SHOW, &[(name, value)], body, Duration::ZERO).await.expect("an answer");
            assert_eq!(answer.status, expected, "{name} {length}: {}", answer.text);
            assert!(!answer.code().is_empty(), "an envelope");
        }
        if length < 65_000 {
            let body = json!({"token": long, "access_token_identifier": {"id": "1"}}).to_string();
            let mut connection = KeptConnection::new(address);
            let answer = connection.send("POST", SHOW, &[], &body, Duration::ZERO).await.expect("an answer");
            assert_eq!((answer.status, answer.reason()), (401, "INVALID_TOKEN"), "{length}");
            let answer =
                connection.send("GET", &format!("/v1/access_tokens/list?token={long}"), &[], "", Duration::ZERO).await;
            assert_eq!(answer.expect("an answer").status, 401, "{length}");
        }
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_headers_of_one_client_cost_no_other_client_a_call() {
    let deployment = block_in_place(|| Deployment::start(&[]));
    let session = deployment.session().await;
    // The same answers without a channel in between.
    attack(deployment.serve.http_address()).await;
    let address = deployment.gateway.http_address();
    let stop = Arc::new(AtomicBool::new(false));
    let strangers: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    attack(address).await;
                }
            })
        })
        .collect();
    let (failed, made) = honest(address, &session, 8, calls(500), Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    for stranger in strangers {
        stranger.await.expect("the answers are as expected");
    }
    println!("{made} honest calls, {} failed", failed.len());
    assert!(failed.is_empty(), "{} of {made} failed: {:#?}", failed.len(), &failed[..failed.len().min(5)]);
    block_in_place(|| deployment.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_by_age_cost_no_call() {
    let deployment = block_in_place(|| Deployment::start(&["--set", "grpc.max_connection_age_seconds=1"]));
    let session = deployment.session().await;
    let address = deployment.gateway.http_address();
    let (failed, made) = honest(address, &session, 32, calls(500), Duration::from_secs(5)).await;
    println!("{made} calls, {} failed", failed.len());
    assert!(failed.is_empty(), "{} of {made} failed: {:#?}", failed.len(), &failed[..failed.len().min(5)]);
    block_in_place(|| deployment.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_outlives_refusals_that_come_before_the_body() {
    let deployment = block_in_place(|| Deployment::start(&[]));
    let session = deployment.session().await;
    let body = json!({"token": session, "access_token_identifier": {"authentication_code": "99021047380"}}).to_string();
    let large = json!({"token": session, "identifier": "x".repeat(200_000)}).to_string();
    for address in [deployment.serve.http_address(), deployment.gateway.http_address()] {
        let mut kept = KeptConnection::new(address);
        for (verb, target, body, status) in [
            ("POST", "/nowhere", &body, 404),
            ("POST", "/crmapi/rest/v2/access_tokens/nonsense", &body, 404),
            ("PUT", "/v1/access_tokens/show", &body, 405),
            ("POST", "/v1/access_tokens/list", &body, 405),
            ("DELETE", "/crmapi/rest/v2/access_tokens/show/", &body, 405),
            ("POST", "/openapi.json", &body, 405),
            ("POST", "/docs", &body, 405),
            ("POST", "/v1/access_tokens/create", &large, 413),
        ] {
            for pause in [Duration::ZERO, Duration::from_millis(30)] {
                let refused = kept.send(verb, target, &[], body, pause).await.expect("an answer");
                assert_eq!(refused.status, status, "{verb} {target}: {}", refused.text);
                assert_eq!(refused.header("connection"), "", "{verb} {target}");
                let answer = kept.send("POST", SHOW, &[], &self::body(&session), pause).await;
                let answer = answer.unwrap_or_else(|| panic!("no answer after {verb} {target} {pause:?}"));
                assert_eq!(answer.data()["number"], "AT0000000671");
            }
        }
    }
    block_in_place(|| deployment.stop());
}

fn body(session: &str) -> String {
    let body: Value = json!({"token": session, "access_token_identifier": {"authentication_code": "99021047380"}});
    body.to_string()
}
