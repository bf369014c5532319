//! The binary as operators meet it: starting, stopping, exit codes, what it prints and what it never prints.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use access_tokens_proto::v1::LoginRequest;
use access_tokens_proto::v1::LoginWithApiKeyRequest;
use access_tokens_proto::v1::authentication_service_client::AuthenticationServiceClient;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens");
/// A connection that says the first words of HTTP/2 and nothing after.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The binary in a directory of its own, with nothing of this process's environment that it would read.
fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("ACCESS_TOKENS") {
            command.env_remove(name);
        }
    }
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().expect("the binary runs")
}

fn run_with_input(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command(directory, arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("it ends")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts on a free port and waits until it is ready.
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command =
            command(directory, &["serve", "--set", "grpc.listen=127.0.0.1:0", "--set", "log.format=json"]);
        let mut child =
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (told, ready) = mpsc::channel();
        // Reads on until the end, so that the server never waits for its own log.
        std::thread::spawn(move || {
            let mut address = None;
            for line in lines.map_while(Result::ok) {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                match line["message"].as_str() {
                    Some("listening") => address = line["address"].as_str().map(str::to_owned),
                    Some("ready") => drop(told.send(address.clone())),
                    _ => {}
                }
            }
        });
        let address = ready.recv_timeout(Duration::from_secs(60)).expect("ready").expect("it said where it listens");
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    fn connect(&self, words: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        stream.write_all(words).expect("sent");
        // Its answer shows that the server has seen the connection.
        stream.read_exact(&mut [0; 9]).expect("answered");
        stream
    }

    /// The exit code and how long it took.
    fn ended(mut self) -> (Option<i32>, Duration) {
        let since = Instant::now();
        let code = self.child.wait().expect("it ends").code();
        (code, since.elapsed())
    }

    fn client(&self) -> AuthenticationServiceClient<tonic::transport::Channel> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.address)).expect("a URI");
        AuthenticationServiceClient::new(endpoint.connect_lazy())
    }
}

/// Whatever a test does, no server stays behind.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_starts_twice_and_stops_within_ten_seconds_whoever_is_connected() {
    let directory = TempDir::new().expect("a directory");
    for round in 0..2 {
        let server = Server::start(directory.path(), &["--demo"]);
        let listen = format!("grpc.listen={}", server.address);
        let asked = run(directory.path(), &["healthcheck", "--set", &listen]);
        assert!(asked.status.success() && out(&asked).trim().ends_with(" SERVING"), "{}", out(&asked));

        let _silent = server.connect(b"");
        let _half = server.connect(&PREFACE[..10]);
        let _stuck = server.connect(PREFACE);
        server.signal("TERM");
        let (code, took) = server.ended();
        assert_eq!(code, Some(0), "round {round}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        let asked = run(directory.path(), &["healthcheck", "--set", &listen]);
        assert_eq!(asked.status.code(), Some(1));
    }
}

#[test]
fn a_second_signal_insists() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let _stuck = server.connect(PREFACE);
    server.signal("INT");
    // Refused connections show that the first signal was taken.
    while TcpStream::connect(&server.address).is_ok() {
        std::thread::yield_now();
    }
    server.signal("TERM");
    let (code, took) = server.ended();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let second = run(directory.path(), &["serve", "--set", &format!("grpc.listen={}", server.address)]);
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains(&format!("error: cannot listen on {}", server.address)), "{}", err(&second));
}

#[tokio::test]
async fn users_and_api_keys_log_in() {
    let directory = TempDir::new().expect("a directory");
    let add = ["user", "add", "--organisation", "SHOP", "--username", "anna", "--password-stdin"];
    let added = run_with_input(directory.path(), &add, "correct horse\n");
    assert!(added.status.success(), "{}", err(&added));
    assert!(out(&added).contains("added") && !out(&added).contains("correct horse"), "{}", out(&added));
    let again = run_with_input(directory.path(), &add, "battery staple\n");
    assert!(out(&again).contains("changed"), "{}", out(&again));

    let key = ["api-key", "add", "--organisation", "SHOP", "--name", "till", "--permissions", "access_tokens.read"];
    let made = run(directory.path(), &key);
    assert!(made.status.success(), "{}", err(&made));
    let key = out(&made).split_whitespace().last().expect("a key").to_owned();
    assert!(key.starts_with("atk_"), "{}", out(&made));
    let taken = run(directory.path(), &["api-key", "add", "--organisation", "SHOP", "--name", "anna"]);
    assert!(taken.status.code() == Some(1) && err(&taken).contains("a name of its own"), "{}", err(&taken));

    let server = Server::start(directory.path(), &[]);
    let mut client = server.client();
    let login = |password: &str| LoginRequest {
        username: "anna".to_owned(),
        password: password.to_owned(),
        organisation: "SHOP".to_owned(),
        unit: None,
    };
    client.login(login("battery staple")).await.expect("logged in");
    client.login(login("correct horse")).await.expect_err("the password of before");
    client.login_with_api_key(LoginWithApiKeyRequest { api_key: Some(key) }).await.expect("logged in");
}

#[test]
fn an_import_reports_every_bad_record_in_order_and_says_so_in_its_exit_code() {
    let directory = TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    file("lines.ndjson", "{\"unit\": {\"id\": \"1\", \"name\": 7}}\nnonsense\n{\"unit\": {\"id\": \"2\"}}\n");
    file(
        "answer.json",
        "{\n  \"status\": {\"code\": \"OK\"},\n  \"data\": [\n    {\"id\": \"A\", \"number\": \"AT1\"}\n  ]\n}\n",
    );

    let checked = run(directory.path(), &["import", "--check", "lines.ndjson"]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(out(&checked), "checked, nothing written: 1 created, 0 updated, 0 unchanged, 2 failed\n");
    let imported = run(directory.path(), &["import", "lines.ndjson", "answer.json"]);
    assert_eq!(imported.status.code(), Some(1));
    let complaints = err(&imported);
    let complaints: Vec<&str> = complaints.lines().collect();
    assert!(complaints[0].starts_with("lines.ndjson:1: INVALID_FIELD_VALUE unit.name: "), "{complaints:?}");
    assert!(complaints[1].starts_with("lines.ndjson:2: INVALID_FIELD_VALUE is not valid JSON"), "{complaints:?}");

    let piped = run_with_input(directory.path(), &["import", "-"], "{\"unit\": {\"id\": \"2\"}}\n");
    assert!(piped.status.success(), "{}", err(&piped));
    assert_eq!(out(&piped), "0 created, 0 updated, 1 unchanged, 0 failed\n");
    let missing = run(directory.path(), &["import", "nowhere.ndjson"]);
    assert!(missing.status.code() == Some(1) && err(&missing).contains("nowhere.ndjson"), "{}", err(&missing));
}

#[test]
fn what_is_set_wrong_is_named_and_secrets_are_not_shown() {
    let directory = TempDir::new().expect("a directory");
    let wrong = command(directory.path(), &["check-config"]).env("ACCESS_TOKENS__GRPC__LISEN", "x").output();
    let wrong = wrong.expect("the binary runs");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(err(&wrong).contains("ACCESS_TOKENS__GRPC__LISEN"), "{}", err(&wrong));

    let url = "postgres://app:hunter2@127.0.0.1:1/tokens";
    let shown = command(directory.path(), &["check-config"]).env("ACCESS_TOKENS__DATABASE__URL", url).output();
    let shown = shown.expect("the binary runs");
    assert!(out(&shown).contains("postgres://app:***@127.0.0.1:1/tokens"), "{}", out(&shown));
    // On PostgreSQL nobody makes keys: each replica would have its own.
    for arguments in [&["serve"][..], &["import", "/dev/null"]] {
        let refused = command(directory.path(), arguments).env("ACCESS_TOKENS__DATABASE__URL", url).output();
        let refused = refused.expect("the binary runs");
        assert_eq!(refused.status.code(), Some(1));
        let text = err(&refused);
        assert!(text.contains("access-tokens.keys does not exist") && !text.contains("hunter2"), "{text}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0, "nothing was made");
    let usage = run(directory.path(), &["serve", "--nonsense"]);
    assert_eq!(usage.status.code(), Some(2));
}
