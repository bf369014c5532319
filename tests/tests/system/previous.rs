//! The last release and this version run on one PostgreSQL at the same time, as during an upgrade: calls on both work, the old server works
//! on the new schema, and the old server also refuses sessions and keys that this version revokes.

use std::process::Command;
use std::time::Duration;

use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::postgres;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::processes::text;

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
/// The script that builds the last release.
const PREVIOUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/lib/previous");
const PASSWORD: &str = "a long password";

/// Exit status of the script in a clone that is too shallow to have the last release.
const NOT_IN_THIS_CLONE: i32 = 3;

/// Returns the server of the last release, from the environment or built now. `None` in a clone without its commit.
fn previous() -> Option<String> {
    if let Ok(path) = std::env::var("ACCESS_TOKENS_PREVIOUS") {
        return Some(path);
    }
    let built = Command::new(PREVIOUS).output().expect("the script runs");
    if built.status.code() == Some(NOT_IN_THIS_CLONE) {
        eprintln!("skipped: {}", text(&built));
        return None;
    }
    assert!(built.status.success(), "{}", text(&built));
    Some(String::from_utf8(built.stdout).expect("a path").trim().to_owned())
}

/// Runs a command of an installation, which must succeed.
fn done(installation: &Installation, arguments: &[&str], input: &str) -> String {
    let output = installation.run_with_input(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).expect("a text").trim().to_owned()
}

/// Adds an API key and returns it: the last word of the output.
fn add_api_key(installation: &Installation, name: &str) -> String {
    let arguments = ["api-key", "add", "--organisation", "DEMO", "--name", name, "--permissions", "access_tokens.read"];
    done(installation, &arguments, "").split_whitespace().last().expect("a key").to_owned()
}

/// Waits until a call on a server is refused: a revocation by another process takes effect within about a second.
async fn is_refused<F: Future<Output = bool>>(what: &str, accepted: impl Fn() -> F) {
    for _ in 0..60 {
        if !accepted().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} is still accepted after three seconds");
}

/// Makes the calls of the life cycle of one token, every second one on the other server.
async fn calls_alternate(servers: [&Client; 2]) {
    for turn in 0..4 {
        let (one, other) = (servers[turn % 2], servers[(turn + 1) % 2]);
        let code = format!("code-{turn}");
        let login =
            json!({"authentication_code": code, "identifier": format!("login-{turn}"), "pass_code": "pass-1234"});
        let made = one.ok("CreateAccessToken", login).await;
        let named = json!({"access_token_identifier": {"id": made["id"]}});
        let with = |more: Value| {
            let mut request = named.clone();
            request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            request
        };
        assert_eq!(other.ok("ShowAccessToken", named.clone()).await["number"], made["number"]);
        other.ok("UpdateAccessToken", with(json!({"udf_string_1": "other", "update_mask": "udfString1"}))).await;
        assert_eq!(one.ok("ShowAccessToken", named.clone()).await["udf_string_1"], "other");
        other.ok("SetAsNotEffective", named.clone()).await;
        one.refused("SetAsNotEffective", named.clone(), "WRONG_LIFE_CYCLE_STATE").await;
        one.ok("SetAsEffective", named.clone()).await;
        let reset = other.ok("ResetPassCode", json!({"authentication_code": code})).await;
        let credential = json!({"identifier": format!("login-{turn}"), "pass_code": reset["random_pass_code"]});
        one.ok("ShowAccessToken", json!({"access_token_identifier": {"credential": credential}})).await;
        let otp = one.ok("GenerateOtp", named.clone()).await;
        assert!(otp["one_time_password"].is_string(), "{otp}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_release_goes_on_beside_this_version() {
    let directory = TempDir::new().expect("a directory");
    let Some(binary) = block_in_place(previous) else { return };
    let (url, cluster) = block_in_place(|| (postgres::create_database(), postgres::shared()));
    let name = url.rsplit('/').next().expect("a name").to_owned();
    let old = Installation::new(&binary, directory.path(), &url);
    let permissions = "access_tokens.read,access_tokens.write,access_tokens.secrets,access_tokens.lookup";
    let add = |user| {
        ["user", "add", "--organisation", "DEMO", "--username", user, "--permissions", permissions, "--password-stdin"]
    };
    block_in_place(|| {
        done(&old, &["keys", "init"], "");
        done(&old, &["migrate"], "");
        done(&old, &["organisation", "add", "DEMO"], "");
        done(&old, &add("ops"), PASSWORD);
        done(&old, &add("leaver"), PASSWORD);
    });
    let old_key = block_in_place(|| add_api_key(&old, "till"));
    let old_server = old.start(&["serve"]);
    block_in_place(|| old.wait_until_ready());
    let by_old = logged_in(&old_server, "ops").await;
    let made_before = by_old.ok("CreateAccessToken", json!({"identifier": "before", "pass_code": "pass-1234"})).await;

    // The first server of this version changes the schema; the old server continues to work.
    let new = Installation::new(BINARY, directory.path(), &url);
    let new_server = new.start(&["serve"]);
    block_in_place(|| new.wait_until_ready());
    let steps = "SELECT count(*) FROM seaql_migrations WHERE version = 'm0003_accounts'";
    assert_eq!(block_in_place(|| cluster.psql(&name, steps)).expect("counted"), "1");
    let by_new = logged_in(&new_server, "ops").await;
    let named = json!({"access_token_identifier": {"credential": {"identifier": "before", "pass_code": "pass-1234"}}});
    assert_eq!(by_new.ok("ShowAccessToken", named).await["number"], made_before["number"]);
    calls_alternate([&by_old, &by_new]).await;

    // A session of either server is valid on both.
    let crossed =
        [old_server.client().with_session(by_new.session()), new_server.client().with_session(by_old.session())];
    for client in crossed {
        let made = client.ok("CreateAccessToken", json!({"fields_set": "id"})).await;
        client.ok("ShowAccessToken", json!({"access_token_identifier": {"id": made["id"]}})).await;
    }

    // The old server can be started again on the new schema.
    assert_eq!(block_in_place(|| old_server.terminate()).0, Some(0), "{}", old.log());
    let old_server = old.start(&["serve"]);
    block_in_place(|| old.wait_until_ready());
    assert!(block_in_place(|| old.run(&["doctor"])).status.code() != Some(1), "the old version finds no problem");

    // Sessions that this version ends are refused by the old server.
    let new_key = block_in_place(|| add_api_key(&new, "terminal"));
    for key in [&old_key, &new_key] {
        let on_old = old_server.client();
        on_old.with_api_key(key).ok("ListClassifications", json!({})).await;
        new_server.client().with_api_key(key).ok("ListClassifications", json!({})).await;
        let id = key.split('_').nth(1).expect("an id").to_owned();
        block_in_place(|| done(&new, &["api-key", "revoke", "--organisation", "DEMO", &id], ""));
        let with_key = on_old.with_api_key(key);
        is_refused("a revoked key", || async { with_key.try_call("ListClassifications", json!({})).await.is_ok() })
            .await;
        is_refused("a login with a revoked key", || async { on_old.login_with_api_key(key).await.is_ok() }).await;
    }
    logged_in(&old_server, "leaver").await;
    block_in_place(|| done(&new, &["user", "disable", "--organisation", "DEMO", "--username", "leaver"], ""));
    let on_old = old_server.client();
    is_refused("a disabled user", || async { on_old.login("DEMO", "leaver", PASSWORD, None).await.is_ok() }).await;
    let on_old = logged_in(&old_server, "ops").await;
    on_old.ok("ListClassifications", json!({})).await;
    for (server, installation) in [(old_server, &old), (new_server, &new)] {
        assert_eq!(block_in_place(|| server.terminate()).0, Some(0), "{}", installation.log());
    }
}

async fn logged_in(server: &Server, user: &str) -> Client {
    let client = server.client();
    let token = client.login("DEMO", user, PASSWORD, None).await.expect("logged in");
    client.with_session(&token)
}
