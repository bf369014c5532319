//! The stand-alone gateway, as operators and probes see it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::{HttpAnswer, HttpClient};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::processes::{sqlite, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
/// Maximum time until three health checks in a row have failed.
const UPSTREAM_LOSS_TIMEOUT: Duration = Duration::from_secs(15);

async fn get(server: &Server, path: &str) -> HttpAnswer {
    HttpClient::new(server.ops_address(), "").send("GET", path, &[], "").await
}

/// Waits until the gateway is ready, or gives a reason with this text.
async fn becomes(gateway: &Server, expected: &str) {
    let started = Instant::now();
    loop {
        let answer = get(gateway, "/readyz").await;
        assert_eq!(answer.status == 200, answer.text == "ready\n", "{}", answer.text);
        // "not ready: ..." may end with the same words.
        let is_there = if expected == "ready\n" { answer.status == 200 } else { answer.text.contains(expected) };
        if is_there {
            return;
        }
        assert!(started.elapsed() < UPSTREAM_LOSS_TIMEOUT, "{}, and not {expected}", answer.text);
        sleep(Duration::from_millis(50)).await;
    }
}

fn healthcheck(installation: &Installation) -> (bool, String) {
    let output = installation.run(&["healthcheck", "--gateway"]);
    (output.status.success(), text(&output))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_ready_while_its_service_is_and_says_why_not() {
    let (directory, elsewhere) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let installation = sqlite(&directory);
    let apart = Installation::new(BINARY, elsewhere.path(), "postgres://nobody@127.0.0.1:1/nowhere");
    assert!(!healthcheck(&apart).0, "there is no process yet");
    let gateway = apart.start(&["gateway", "--upstream", &format!("http://{}", installation.address())]);
    apart.wait_until_listening();
    becomes(&gateway, "the service does not answer: Connection refused").await;
    assert_eq!(get(&gateway, "/livez").await.status, 200);
    let (good, said) = healthcheck(&apart);
    assert!(!good && said.contains("NOT_SERVING") && said.contains("Connection refused"), "{said}");
    let metrics = get(&gateway, "/metrics").await.text;
    assert!(metrics.contains("\naccess_tokens_upstream_ready 0\n"), "{metrics}");

    for kill in [true, false] {
        let server = installation.start(&["serve", "--demo"]);
        becomes(&gateway, "ready\n").await;
        let (good, said) = healthcheck(&apart);
        assert!(good && said.ends_with("SERVING\n"), "{said}");
        let http = HttpClient::new(gateway.http_address(), "no session");
        let card = json!({"access_token_identifier": {"id": "card-7c1e55"}});
        assert_eq!(http.canonical().post("access_tokens/show", card).await.status, 401);
        let metrics = get(&gateway, "/metrics").await.text;
        let show = "rpc_grpc_status_code=\"16\",rpc_method=\"accesstoken.v1.AccessTokenService/ShowAccessToken\"";
        for line in ["access_tokens_upstream_ready 1", &format!("rpc_client_duration_seconds_count{{{show}}} ")] {
            assert!(metrics.lines().any(|found| found.starts_with(line)), "{line} is not in:\n{metrics}");
        }
        for name in
            ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_threads"]
        {
            assert!(metrics.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} is not in:\n{metrics}");
        }
        assert!(!metrics.contains("7c1e55") && !metrics.contains("access_tokens_attempts"), "{metrics}");
        if kill {
            server.kill();
        } else {
            assert_eq!(server.terminate().0, Some(0));
        }
        becomes(&gateway, "not ready: the service").await;
    }
    assert_eq!(get(&gateway, "/crmapi/rest/v2/access_tokens/show").await.status, 404, "calls have another port");
    assert_eq!(gateway.terminate().0, Some(0), "{}", apart.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_as_the_service_does() {
    let (directory, elsewhere) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let installation = sqlite(&directory);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let apart = Installation::new(BINARY, elsewhere.path(), "postgres://nobody@127.0.0.1:1/nowhere");
    // This server accepts a call and never answers it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let upstream = format!("http://{}", silent.local_addr().expect("an address"));
    let gateway = apart.start(&["gateway", "--upstream", &upstream]);
    apart.wait_until_listening();
    becomes(&gateway, "no answer within 2 seconds").await;
    let http = HttpClient::new(gateway.http_address(), "no session");
    let call = tokio::spawn(async move { http.send("POST", "/v1/access_tokens/show", &[], "{}").await.status });
    sleep(Duration::from_millis(500)).await;
    gateway.signal("TERM");
    let asked = Instant::now();
    becomes(&gateway, "not ready: stopping\n").await;
    assert_eq!(get(&gateway, "/livez").await.status, 200);
    assert_eq!(gateway.terminate().0, Some(0), "{}", apart.log());
    assert!(asked.elapsed() < Duration::from_secs(11), "{:?}", asked.elapsed());
    call.abort();
    assert_eq!(server.terminate().0, Some(0));
}
