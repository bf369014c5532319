//! After any use of a SQLite database, and however its process ended, except by SIGKILL, exactly one file is left, and a copy of it
//! with its keys serves everything that was acknowledged.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use access_tokens_server::command::all_commands;
use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{PREFACE, add_organisation, add_user, connect, logged_in, sqlite, text};

const DATABASE: &str = "access-tokens.db";
const KEYS: &str = "access-tokens.keys";
/// Number of rounds of the stop under load; `scripts/soak` sets a higher one.
const ROUNDS: u32 = 20;
const WRITERS: usize = 4;
/// Prefix of every code of these tests; all codes have the same length.
const MARK: &str = "acknowledged-";
const CODE_LENGTH: usize = MARK.len() + 12;

/// Returns the number of rounds from the environment, or the default.
pub(crate) fn rounds(default: u32) -> u32 {
    std::env::var("ACCESS_TOKENS_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// Returns the files beside the database, of which there should be none.
fn companions(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    // The database that a restore has replaced has another name, and is complete as well.
    let endings = ["-wal", "-shm", "-journal", "-served", "-generation"];
    names.filter(|name| name.starts_with(DATABASE) && endings.iter().any(|ending| name.ends_with(ending))).collect()
}

#[track_caller]
fn assert_one_file(directory: &Path, after: &str) {
    let beside = companions(directory);
    assert!(beside.is_empty(), "after {after}: {beside:?}");
    assert!(directory.join(DATABASE).exists(), "after {after}: no database");
}

/// Returns an installation in another directory with a copy of the one file and of its keys.
fn copied(from: &Path) -> (TempDir, Installation) {
    let directory = TempDir::new().expect("a directory");
    for file in [DATABASE, KEYS] {
        fs::copy(from.join(file), directory.path().join(file)).expect("copied");
    }
    let installation = sqlite(&directory);
    (directory, installation)
}

/// Returns the codes of these tests in a database file, read from its bytes.
fn codes_in(file: &Path) -> HashSet<String> {
    let text = String::from_utf8_lossy(&fs::read(file).expect("a file")).into_owned();
    let positions = text.match_indices(MARK).map(|(at, _)| at);
    positions.filter_map(|at| text.get(at..at + CODE_LENGTH).map(str::to_owned)).collect()
}

/// Creates tokens until the server stops, and collects the acknowledged ones.
async fn write(client: Client, round: u32, writer: usize, acknowledged: Arc<Mutex<Vec<String>>>) {
    for number in 0.. {
        let code = format!("{MARK}{round:04}-{writer:01}-{number:05}");
        let request = json!({"authentication_code": code, "fields_set": "number"});
        if client.try_call("CreateAccessToken", request).await.is_err() {
            return;
        }
        acknowledged.lock().expect("a list").push(code);
    }
}

/// Stops a server while it is busy. `connections` are open and silent.
async fn stop_under_load(installation: &Installation, directory: &Path, round: u32, key: &str) -> Vec<String> {
    let server = installation.start(&["serve"]);
    tokio::task::block_in_place(|| installation.wait_until_ready());
    let client = server.client().with_api_key(key);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(client.clone(), round, writer, Arc::clone(&acknowledged))))
        .collect();
    // A call that never ends makes the stop take eight seconds.
    let connections = tokio::task::block_in_place(|| silent(&server, round % 10 == 3));
    while acknowledged.lock().expect("a list").len() < 10 + round as usize % 40 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (code, _) = tokio::task::block_in_place(|| server.terminate());
    assert_eq!(code, Some(0), "round {round}: {}", installation.log());
    assert_one_file(directory, &format!("stop {round}"));
    drop(connections);
    for writer in writers {
        writer.await.expect("a writer");
    }
    let acknowledged = acknowledged.lock().expect("a list").clone();
    let there = codes_in(&directory.join(DATABASE));
    let lost: Vec<_> = acknowledged.iter().filter(|code| !there.contains(*code)).collect();
    assert!(lost.is_empty(), "round {round}: acknowledged, and not in the file: {lost:?}");
    acknowledged
}

/// Opens connections: one that has sent nothing, and one in the middle of a call.
fn silent(server: &Server, in_a_call: bool) -> Vec<TcpStream> {
    if !in_a_call {
        return vec![connect(server, PREFACE)];
    }
    let mut http = TcpStream::connect(server.http_address()).expect("connected");
    http.write_all(b"POST /v1/access_tokens/show HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{").expect("sent");
    vec![connect(server, PREFACE), http]
}

fn api_key(installation: &Installation) -> String {
    let arguments = ["api-key", "add", "--organisation", "DEMO", "--name", "till", "--permissions"];
    let added = installation.run(&[&arguments[..], &["access_tokens.read,access_tokens.write"]].concat());
    assert!(added.status.success(), "{}", text(&added));
    String::from_utf8_lossy(&added.stdout).split_whitespace().last().expect("a key").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_leaves_one_file_with_everything_that_was_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let served = installation.run(&["migrate"]);
    assert!(served.status.success(), "{}", text(&served));
    add_user(&installation);
    let key = api_key(&installation);
    let rounds = rounds(ROUNDS);
    let mut last = Vec::new();
    for round in 0..rounds {
        last = stop_under_load(&installation, directory.path(), round, &key).await;
    }
    println!("{rounds} of {rounds} stops left one file with everything that was acknowledged");
    let (elsewhere, copy) = copied(directory.path());
    let server = copy.start(&["serve"]);
    tokio::task::block_in_place(|| copy.wait_until_ready());
    let client = logged_in(&server).await;
    for code in &last {
        client.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": code}})).await;
    }
    assert_eq!(server.terminate().0, Some(0));
    assert_one_file(elsewhere.path(), "a stop of the copy");
}

/// Returns the words of an example command, with its files in the directory of the test.
fn words(example: &str) -> Vec<String> {
    let words = example.split_whitespace().skip(1);
    words.map(|word| if word.starts_with('/') { format!(".{word}") } else { word.replace("=/", "=./") }).collect()
}

#[test]
fn every_command_leaves_one_file_also_when_it_fails() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0), "{}", installation.log());
    assert_one_file(directory.path(), "serve --demo");
    fs::create_dir(directory.path().join("backups")).expect("a directory");
    let cards = json!({"access_token": {"number": "AT0000100000", "id": "A1", "authentication_code": "imported"}});
    fs::write(directory.path().join("cards.ndjson"), format!("{cards}\nnonsense\n")).expect("written");
    fs::write(directory.path().join("directory.ndjson"), "{\"unit\": {\"id\": \"7\", \"name\": \"New\"}}\n")
        .expect("written");
    // The list comes from the command line itself, so that a new command is tested too.
    for command in all_commands() {
        if ["serve", "gateway"].iter().any(|name| command.invocation.ends_with(name)) {
            continue;
        }
        for example in command.examples() {
            let words = words(&example);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let done = installation.run_with_input(&words, "correct horse battery staple\n");
            println!("{example}: {:?}", done.status.code());
            assert_one_file(directory.path(), &example);
        }
    }
    for (failing, code) in [
        (&["import", "nowhere.ndjson"][..], 1),
        (&["import", "cards.ndjson"], 1),
        (&["import", "--check", "cards.ndjson"], 1),
        (
            &[
                "user",
                "add",
                "--organisation",
                "DEMO",
                "--username",
                "u",
                "--password-stdin",
                "--unit",
                "none",
                "--permissions",
                "admin",
            ],
            1,
        ),
        (&["keys", "retire", "none"], 1),
        (&["keys", "withdraw", "none", "--passwords"], 1),
        (&["organisation", "list"], 0),
        (&["user", "network", "--organisation", "DEMO", "--username", "nobody", "--network", "192.0.2.0/24"], 1),
        (&["restore", "nowhere.db"], 1),
        (&["backup", "backups"], 1),
        (&["serve", "--set", "grpc.listen=192.0.2.1:1"], 1),
        (&["serve", "--nonsense"], 2),
    ] {
        let done = installation.run_with_input(failing, "correct horse battery staple\n");
        assert_eq!(done.status.code(), Some(code), "{failing:?}: {}", text(&done));
        assert_one_file(directory.path(), &format!("{failing:?}"));
    }
    // The effects of the commands are in the copy of the one file.
    let (_elsewhere, copy) = copied(directory.path());
    let doctor = copy.run(&["doctor", "--deep"]);
    assert!(matches!(doctor.status.code(), Some(0 | 3)), "{}", text(&doctor));
    let again = copy.run(&["user", "list", "--organisation", "DEMO"]);
    assert!(again.status.success(), "{}", text(&again));
}

/// Starts a command with an open pipe as its standard input.
fn begin(installation: &Installation, arguments: &[&str]) -> Child {
    let mut command = installation.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

#[test]
fn an_interrupted_import_leaves_one_file_with_what_it_had_written() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_organisation(&installation);
    for (round, name) in ["INT", "TERM"].into_iter().enumerate() {
        let mut import = begin(&installation, &["import", "-"]);
        let mut input = import.stdin.take().expect("a pipe");
        let line = |number: usize| {
            let code = format!("{MARK}{round:04}-0-{number:05}");
            json!({"access_token": {"number": format!("AT{round}{number:09}"), "authentication_code": code,
                "id": format!("{round}{number:031}"), "life_cycle_state": "EFFECTIVE"}})
        };
        // More than a batch, and no end of the input: the command waits for more, in the middle of a read.
        let lines: String = (0..1_200).map(|number| format!("{}\n", line(number))).collect();
        input.write_all(lines.as_bytes()).expect("written");
        let log = directory.path().join(format!("{DATABASE}-wal"));
        let started = Instant::now();
        while fs::metadata(&log).map_or(0, |log| log.len()) < 100_000 {
            assert!(started.elapsed() < Duration::from_secs(60), "nothing was imported");
            pause();
        }
        signal(&import, name);
        let status = import.wait().expect("it ends");
        assert_eq!(status.code(), Some([130, 143][round]), "{name}");
        drop(input);
        assert_one_file(directory.path(), name);
        let there = codes_in(&directory.path().join(DATABASE));
        let there = there.iter().filter(|code| code.starts_with(&format!("{MARK}{round:04}"))).count();
        assert!(there >= 500, "{there}");
    }
}

#[test]
fn a_signal_at_any_moment_leaves_one_file() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let server = installation.start(&["serve", "--demo"]);
    installation.wait_until_ready();
    assert_eq!(server.terminate().0, Some(0));
    let add =
        ["user", "add", "--organisation", "DEMO", "--username", "u", "--password-stdin", "--permissions", "admin"];
    let stopped = AtomicBool::new(false);
    for round in 0..rounds(ROUNDS) {
        let arguments = [&add[..], &["migrate"], &["backup", "copy.db"], &["keys", "list"]][round as usize % 4];
        let mut child = begin(&installation, arguments);
        let _ = child.stdin.take().expect("a pipe").write_all(b"correct horse battery staple\n");
        let until = Instant::now() + Duration::from_millis(u64::from(round) * 13 % 400);
        while Instant::now() < until && child.try_wait().expect("a child").is_none() {
            pause();
        }
        if child.try_wait().expect("a child").is_none() {
            signal(&child, if round % 2 == 0 { "INT" } else { "TERM" });
            stopped.store(true, Ordering::Relaxed);
        }
        child.wait().expect("it ends");
        assert_one_file(directory.path(), &format!("{arguments:?}, round {round}"));
        let _ = fs::remove_file(directory.path().join("copy.db"));
        let left =
            fs::read_dir(directory.path()).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".new")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(stopped.load(Ordering::Relaxed), "no signal came in time");
}

/// Starts a server, creates a token, and kills the server with the token in its log.
async fn killed(installation: &Installation, code: &str) {
    let server = installation.start(&["serve"]);
    tokio::task::block_in_place(|| installation.wait_until_ready());
    logged_in(&server).await.ok("CreateAccessToken", json!({"authentication_code": code})).await;
    server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_over_the_log_of_a_killed_server_is_refused_and_cured() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    let path = |name: &str| directory.path().join(name);
    let server = installation.start(&["serve", "--demo"]);
    tokio::task::block_in_place(|| installation.wait_until_ready());
    add_user(&installation);
    assert!(installation.run(&["backup", "backup.db"]).status.success());
    assert_eq!(server.terminate().0, Some(0));
    // A copy of the file of a stopped server is a backup, too.
    fs::copy(path(DATABASE), path("at-rest.db")).expect("copied");
    for (copy, why) in
        [("backup.db", "made without a log"), ("at-rest.db", "is not the one that the log was written for")]
    {
        killed(&installation, copy).await;
        fs::copy(path(copy), path(DATABASE)).expect("copied");
        let before = contents(directory.path());
        for arguments in [
            &["serve"][..],
            &["migrate"],
            &["keys", "list"],
            &["doctor"],
            &["import", "/dev/null"],
            &["backup", "x.db"],
        ] {
            let refused = installation.run(arguments);
            let said = text(&refused);
            assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.contains("access-tokens.db-wal") && said.contains(why), "{arguments:?}: {said}");
        }
        assert!(before == contents(directory.path()), "something was changed: {:?}", companions(directory.path()));
        // The cure in the error message.
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(path(&format!("{DATABASE}{ending}")));
        }
        let doctor = installation.run(&["doctor", "--deep"]);
        assert!(matches!(doctor.status.code(), Some(0 | 3)), "{}", text(&doctor));
        let server = installation.start(&["serve"]);
        tokio::task::block_in_place(|| installation.wait_until_ready());
        assert_eq!(server.terminate().0, Some(0));
        assert_one_file(directory.path(), "a start of the copy");
    }
    // If the file is missing or empty, its log must not be deleted.
    killed(&installation, "last").await;
    let good = fs::read(path(DATABASE)).expect("a file");
    fs::remove_file(path(DATABASE)).expect("removed");
    let refused = installation.run(&["serve"]);
    assert!(text(&refused).contains("empty or missing") && !path(DATABASE).exists(), "{}", text(&refused));
    fs::write(path(DATABASE), good).expect("written");
    let server = installation.start(&["serve"]);
    tokio::task::block_in_place(|| installation.wait_until_ready());
    let request = json!({"access_token_identifier": {"authentication_code": "last"}});
    logged_in(&server).await.ok("ShowAccessToken", request).await;
    assert_eq!(server.terminate().0, Some(0), "after a crash it starts as ever");
}

#[test]
fn a_damaged_file_names_the_log_beside_it() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    assert!(installation.run(&["migrate"]).status.success());
    let file = directory.path().join(DATABASE);
    let mut bytes = fs::read(&file).expect("a file");
    // Behind the header: the pages of the schema.
    bytes[100..12_000].fill(0x5a);
    fs::write(&file, bytes).expect("written");
    fs::write(directory.path().join(format!("{DATABASE}-wal")), "").expect("written");
    let refused = installation.run(&["migrate"]);
    let said = text(&refused);
    assert!(refused.status.code() == Some(1) && said.contains("is damaged"), "{said}");
    assert!(said.contains("access-tokens.db-wal was beside it") && said.contains("restore --replace"), "{said}");
}

/// Returns every file of a directory except the logs of servers, by name.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| !name.ends_with(".log"))
        .map(|(name, path)| (name, fs::read(path).expect("a file")))
        .collect();
    files.sort();
    files
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, outside of any runtime's way")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
