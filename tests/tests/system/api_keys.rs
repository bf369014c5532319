//! API keys: commands, and their effect on servers.

use std::time::{Duration, Instant};

use access_tokens_testapp::process::Installation;
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{add_organisation, sqlite, text};

/// Maximum time until every server enforces a revocation.
const MAX_REVOCATION_DELAY: Duration = Duration::from_secs(1);

/// Runs `api-key` with these arguments and returns its output.
fn api_key(installation: &Installation, arguments: &str) -> String {
    let words: Vec<_> = ["api-key"].into_iter().chain(arguments.split(' ')).collect();
    let output = installation.run(&words);
    assert!(output.status.success(), "{arguments}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn last_word(said: &str) -> String {
    said.split_whitespace().last().expect("a key").to_owned()
}

fn id(key: &str) -> String {
    key[4..20].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_one_name_have_their_own_permissions_and_end_by_themselves() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_organisation(&installation);
    let add = "add --organisation DEMO --name till --permissions";
    let reader = last_word(&api_key(&installation, &format!("{add} access_tokens.read")));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let reads = server.client().with_api_key(&reader);
    let create = async |client: &access_tokens_testapp::Client, code: &str| {
        client.try_call("CreateAccessToken", json!({"authentication_code": code})).await.map(drop)
    };
    reads.ok("ListClassifications", json!({})).await;
    let writer = last_word(&api_key(&installation, &format!("{add} access_tokens.write,admin")));
    tokio::time::sleep(MAX_REVOCATION_DELAY).await;
    assert_eq!(create(&reads, "a").await.expect_err("a reader").reason, "PERMISSION_DENIED");
    let writes = server.client().with_api_key(&writer);
    create(&writes, "b").await.expect("a writer");
    writes.refused("ListClassifications", json!({}), "PERMISSION_DENIED").await;

    let listed = api_key(&installation, "list --organisation DEMO");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let line = |key: &str| listed.lines().find(|line| line.starts_with(&id(key))).expect("listed").to_owned();
    assert!(line(&reader).contains("till  valid  may: access_tokens.read  "), "{listed}");
    assert!(line(&writer).contains("may: access_tokens.write,admin"), "{listed}");
    assert!(!listed.contains(&reader[21..]) && !listed.contains(&writer[21..]));

    let said = api_key(&installation, &format!("revoke --organisation DEMO {}", id(&writer)));
    let revoked = Instant::now();
    assert!(said.contains("revoked"), "{said}");
    let again = api_key(&installation, &format!("revoke --organisation DEMO {}", id(&writer)));
    assert!(again.contains("was revoked before, nothing changed"), "{again}");
    tokio::time::sleep(MAX_REVOCATION_DELAY.saturating_sub(revoked.elapsed())).await;
    assert_eq!(create(&writes, "c").await.expect_err("revoked").reason, "INVALID_TOKEN");
    assert_eq!(server.client().login_with_api_key(&writer).await.expect_err("revoked").reason, "INVALID_LOGIN");
    reads.ok("ListClassifications", json!({})).await;

    // Rotated without an overlap, and with one.
    let next = last_word(&api_key(&installation, &format!("rotate --organisation DEMO --overlap 0 {}", id(&reader))));
    tokio::time::sleep(MAX_REVOCATION_DELAY).await;
    reads.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    server.client().with_api_key(&next).ok("ListClassifications", json!({})).await;
    let last = last_word(&api_key(&installation, &format!("rotate --organisation DEMO atk_{}", id(&next))));
    tokio::time::sleep(MAX_REVOCATION_DELAY).await;
    for key in [&next, &last] {
        server.client().with_api_key(key).ok("ListClassifications", json!({})).await;
    }
    let listed = api_key(&installation, "list --organisation DEMO");
    for words in ["revoked 20", "expired 20", "valid until 20", "replaced by", "used 20"] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "the server is a process of its own, with the clock of the system")]
async fn a_key_expires_and_what_cannot_be_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let installation = sqlite(&directory);
    add_organisation(&installation);
    let ends = chrono::Utc::now() + chrono::TimeDelta::seconds(4);
    let add = "add --organisation DEMO --name till --permissions access_tokens.read";
    let key = last_word(&api_key(&installation, &format!("{add} --expires {}", ends.format("%Y-%m-%dT%H:%M:%SZ"))));
    let server = installation.start(&["serve"]);
    installation.wait_until_ready();
    let till = server.client().with_api_key(&key);
    let session = server.client().login_with_api_key(&key).await;
    let before = till.try_call("ListClassifications", json!({})).await;
    if chrono::Utc::now() + chrono::TimeDelta::seconds(1) < ends {
        before.expect("not yet");
        session.expect("not yet");
    }
    let rest = (ends - chrono::Utc::now()).to_std().unwrap_or_default();
    tokio::time::sleep(rest + Duration::from_millis(1_100)).await;
    till.refused("ListClassifications", json!({}), "INVALID_TOKEN").await;
    let refused = |arguments: &str, words: &str| {
        let all: Vec<_> = ["api-key"].into_iter().chain(arguments.split(' ')).collect();
        let output = installation.run(&all);
        assert!(!output.status.success() && text(&output).contains(words), "{arguments}: {}", text(&output));
    };
    refused(&format!("{add} --expires 2020-01-01"), "expires_date");
    refused(&format!("{add} --expires never"), "2027-01-31");
    refused(&format!("{add} --unit nowhere"), "unit");
    refused("revoke --organisation DEMO 0123456789abcdef", "no such API key");
    refused(&format!("rotate --organisation DEMO {}", id(&key)), "expired");
    refused(&format!("rotate --organisation DEMO --overlap 604801 {}", id(&key)), "604800");
}
