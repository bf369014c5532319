//! Sessions end with the password, the user or the key that opened them, on every server.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_auth::NewApiKey;
use access_tokens_domain::administration::{Administration, NewKey};
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{AccountStore, AdministrationStore, Disabled};
use access_tokens_host::SystemRandom;
use access_tokens_storage::Database;
use access_tokens_testapp::{Client, TestApp};
use chrono::TimeDelta;
use serde_json::json;

use crate::on_both_databases;

/// Maximum time until every server enforces a revocation.
const MAX_REVOCATION_DELAY: Duration = Duration::from_secs(1);

const USER: &str = "anna";
const PASSWORD: &str = "battery staple";

async fn valid(client: &Client) -> bool {
    match client.try_call("ListClassifications", json!({})).await {
        Ok(_) => true,
        Err(refusal) if refusal.reason == "INVALID_TOKEN" => false,
        Err(refusal) => panic!("{}", refusal.text()),
    }
}

async fn user(app: &TestApp, password: &str) {
    let record =
        json!({"user": {"id": "A", "username": USER, "password": password, "permissions": ["access_tokens.read"]}});
    app.import("DEMO", &record.to_string()).await;
}

fn administration(app: &TestApp) -> Administration<Database> {
    Administration::new(Arc::clone(&app.database), app.clock.clone(), Arc::new(SystemRandom), app.secrets())
}

/// Adds a key of the user `till` with this permission.
async fn key(app: &TestApp) -> (String, String) {
    app.import(
        "DEMO",
        &json!({"user": {"id": "T", "username": "till", "permissions": ["access_tokens.read"]}}).to_string(),
    )
    .await;
    let made = NewApiKey::generate(&SystemRandom, app.secrets().as_ref()).expect("a key");
    let permissions = Permissions::parse("access_tokens.read").expect("known");
    let key = NewKey { id: made.id.clone(), hash: made.hash, user: "T".into(), permissions, unit: None, expires: None };
    administration(app).add_api_key(&app.direct_caller("admin,access_tokens.read").await, key).await.expect("added");
    (made.id, made.key.expose().to_owned())
}

on_both_databases! {
    async fn sessions_end_with_the_password_the_user_and_the_key_on_every_server(app) {
        let others = [app.second_replica().await, app.second_replica().await];
        let apps: Vec<&TestApp> = std::iter::once(&app).chain(&others).collect();
        user(&app, PASSWORD).await;
        let admin = app.direct_caller("admin,access_tokens.read").await;
        let organisation = admin.organisation;
        let open = async |password: &str| app.login("DEMO", USER, password, None).await.expect("logged in");
        let sees = async |token: &str, expected: bool, what: &str| {
            for (place, app) in apps.iter().enumerate() {
                assert_eq!(valid(&app.with_session(token)).await, expected, "{what}, server {place}");
            }
        };
        let first = open(PASSWORD).await;
        sees(&first, true, "new").await;

        // Setting the same password again changes nothing.
        user(&app, PASSWORD).await;
        tokio::time::sleep(MAX_REVOCATION_DELAY).await;
        sees(&first, true, "the same password").await;
        user(&app, "correct horse 2").await;
        tokio::time::sleep(MAX_REVOCATION_DELAY).await;
        sees(&first, false, "a new password").await;
        let second = open("correct horse 2").await;
        sees(&second, true, "within the second of the change").await;

        administration(&app).disable_user(&admin, USER).await.expect("disabled");
        tokio::time::sleep(MAX_REVOCATION_DELAY).await;
        sees(&second, false, "disabled").await;
        let refused = others[0].login("DEMO", USER, "correct horse 2", None).await.expect_err("disabled");
        assert_eq!(refused.reason, "INVALID_LOGIN");
        administration(&app).enable_user(&admin, USER).await.expect("enabled");
        let third = open("correct horse 2").await;
        sees(&third, true, "enabled").await;
        sees(&second, false, "what has ended stays so").await;

        let (id, secret) = key(&app).await;
        let of_key = app.login_with_api_key(&secret).await.expect("logged in");
        sees(&of_key, true, "of a key").await;
        administration(&app).revoke_api_key(&admin, &id).await.expect("revoked");
        tokio::time::sleep(MAX_REVOCATION_DELAY).await;
        sees(&of_key, false, "the key is revoked").await;
        for app in &apps {
            assert!(!valid(&app.with_api_key(&secret)).await, "a revoked key");
            assert_eq!(app.login_with_api_key(&secret).await.expect_err("revoked").reason, "INVALID_LOGIN");
        }
        sees(&third, true, "nothing else").await;
        // Servers of the previous release read this: the session is released, and no key has the hash.
        let stored = app.database.api_key(&id).await.expect("finds").expect("is kept");
        let made = access_tokens_domain::secret::Secret::new(&secret[21..]);
        let matches = app.secrets().code_matches(access_tokens_domain::ports::Purpose::ApiKey, &id, &made, Some(&stored.hash));
        assert!(!matches);
        assert_eq!(app.database.disable_user(organisation, "nobody", app.now()).await.expect("answers"), Disabled::Unknown);
    }

    async fn a_rotated_key_and_an_expired_one_end_on_every_server(app) {
        let other = app.second_replica().await;
        let admin = app.direct_caller("admin,access_tokens.read").await;
        let (id, old) = key(&app).await;
        let made = NewApiKey::generate(&SystemRandom, app.secrets().as_ref()).expect("a key");
        let overlap = TimeDelta::minutes(10);
        let rotate = administration(&app).rotate_api_key(&admin, &id, (&made.id, &made.hash), overlap).await;
        let ends = rotate.expect("rotated");
        assert_eq!(ends, app.now() + overlap);
        let new = made.key.expose().to_owned();
        let session = app.login_with_api_key(&old).await.expect("logged in");
        tokio::time::sleep(MAX_REVOCATION_DELAY).await;
        let sees = async |expected: [bool; 3], what: &str| {
            for app in [&app, &other] {
                let all = [app.with_api_key(&old), app.with_session(&session), app.with_api_key(&new)];
                let mut seen = Vec::new();
                for client in &all {
                    seen.push(valid(client).await);
                }
                assert_eq!(seen, expected, "{what}");
            }
        };
        sees([true, true, true], "both").await;
        app.clock.advance(Duration::from_secs(599));
        sees([true, true, true], "the last second").await;
        app.clock.advance(Duration::from_secs(1));
        sees([false, false, true], "the overlap is over").await;
    }

    async fn a_thousand_rounds_of_disabling_and_logging_in_within_one_second(app) {
        // A key opens the sessions, because a password takes milliseconds each time.
        let admin = app.direct_caller("admin,access_tokens.read").await;
        let (_, secret) = key(&app).await;
        let administration = administration(&app);
        let other = app.second_replica().await;
        let login = async || loop {
            match app.login_with_api_key(&secret).await {
                Ok(token) => return token,
                Err(refusal) if refusal.reason == "TOO_MANY_LOGINS" => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(refusal) => panic!("{}", refusal.text()),
            }
        };
        let mut ended = Vec::new();
        // The clock of the service stands still, so all of this happens in one second.
        for _ in 0..1_000 {
            ended.push(login().await);
            administration.disable_user(&admin, "till").await.expect("disabled");
            administration.enable_user(&admin, "till").await.expect("enabled");
        }
        let new = login().await;
        tokio::time::sleep(MAX_REVOCATION_DELAY).await;
        for app in [&app, &other] {
            assert!(valid(&app.with_session(&new)).await, "the new session is refused");
            for (round, token) in ended.iter().enumerate() {
                assert!(!valid(&app.with_session(token)).await, "the session of round {round} is valid");
            }
        }
    }
}
