//! A SQLite file that cannot be written: the server reports that it is not ready, and why, and becomes ready again without a
//! restart.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::Installation;
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{add_user, sqlite};

/// Maximum time until readiness changes, on a busy machine.
const READINESS_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the status and the text of `/readyz`.
pub(crate) fn readiness(installation: &Installation) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(installation.ops_address()).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.rsplit("\r\n\r\n").next()?.trim().to_owned()))
}

#[track_caller]
pub(crate) fn wait_until(installation: &Installation, expected: (u16, &str)) {
    let started = Instant::now();
    loop {
        let found = readiness(installation);
        if found.as_ref().is_some_and(|(status, text)| *status == expected.0 && text.contains(expected.1)) {
            return;
        }
        assert!(started.elapsed() < READINESS_TIMEOUT, "expected {expected:?}: {found:?}");
        pause();
    }
}

/// Starts a server that ignores SIGXFSZ: a file beyond the size limit gives an error, as on a full disk.
fn start(installation: &Installation) -> Child {
    let serve = installation.command(&["serve"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args());
    shell.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(serve.get_current_dir().expect("a directory")).spawn().expect("a shell")
}

/// Limits the size of every file that a process writes.
fn limit(child: &Child, bytes: &str) {
    let arguments = [format!("--pid={}", child.id()), format!("--fsize={bytes}:unlimited")];
    assert!(Command::new("prlimit").args(arguments).status().expect("prlimit").success());
}

fn stop(mut child: Child) {
    let sent = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(sent.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

async fn client(installation: &Installation) -> Client {
    let client = Client::connect(installation.address());
    let token = client.login("DEMO", "ops", "correct horse", None).await.expect("logged in");
    client.with_session(&token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_not_ready_and_recovers() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    tokio::task::block_in_place(|| add_user(&installation));
    let server = start(&installation);
    // A start while other tests run takes longer than readiness may.
    tokio::task::block_in_place(|| installation.wait_until_ready());
    let client = client(&installation).await;
    client.ok("CreateAccessToken", json!({"authentication_code": "before"})).await;
    for round in 0..2 {
        limit(&server, "1");
        let code = format!("during-{round}");
        client.refused("CreateAccessToken", json!({"authentication_code": code}), "DATABASE_UNAVAILABLE").await;
        tokio::task::block_in_place(|| {
            wait_until(&installation, (503, "not ready: the database cannot be written: "));
            assert_eq!(installation.run(&["healthcheck"]).status.code(), Some(1), "gRPC says the same");
        });
        let request = json!({"access_token_identifier": {"authentication_code": "before"}});
        client.ok("ShowAccessToken", request).await;
        limit(&server, "unlimited");
        tokio::task::block_in_place(|| wait_until(&installation, (200, "ready")));
        client.ok("CreateAccessToken", json!({"authentication_code": code})).await;
    }
    tokio::task::block_in_place(|| stop(server));
}

#[test]
fn a_file_that_was_removed_or_replaced_is_not_ready() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_user(&installation);
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let (file, aside) = (directory.path().join("access-tokens.db"), directory.path().join("aside.db"));
    fs::rename(&file, &aside).expect("moved");
    wait_until(&installation, (503, "its file was removed or replaced"));
    fs::copy(&aside, &file).expect("copied");
    wait_until(&installation, (503, "its file was removed or replaced"));
    fs::rename(&aside, &file).expect("moved back");
    wait_until(&installation, (200, "ready"));
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn a_directory_in_place_of_the_file_is_refused_with_its_name() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    fs::create_dir(directory.path().join("access-tokens.db")).expect("a directory");
    let refused = installation.run(&["serve"]);
    let said = crate::processes::text(&refused);
    assert!(refused.status.code() == Some(1) && said.contains("access-tokens.db"), "{said}");
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, outside of any runtime's way")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
