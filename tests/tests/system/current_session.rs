//! `GetSession`: each caller learns who it is and what it may do, and nothing of other callers.

use access_tokens_auth::NewApiKey;
use access_tokens_domain::session::Permissions;
use access_tokens_domain::store::{AccountStore, ApiKey, KeyTerms};
use access_tokens_gateway::GatewayConfig;
use access_tokens_host::SystemRandom;
use access_tokens_testapp::{Client, Deployment, TestApp};
use serde_json::{Value, json};
use tonic::Code;

use crate::compare::differences;
use crate::on_both_databases;

const PATH: &str = "authentication/session";

/// A user without a default unit, who may read and write.
const TILL: &str =
    r#"{"user": {"id": "TILL", "username": "till", "permissions": ["access_tokens.read", "access_tokens.write"]}}"#;

/// Returns a key of the user of [`TILL`] with its own list of permissions and its own unit, and the id of the key.
async fn narrowed_key(app: &TestApp, permissions: &str, unit: Option<&str>) -> (String, String) {
    let organisation = app.database.organisation_by_name("DEMO").await.expect("a store").expect("DEMO").key;
    let made = NewApiKey::generate(&SystemRandom, app.secrets().as_ref()).expect("a key");
    let permissions = Some(Permissions::parse(permissions).expect("permissions"));
    let terms = KeyTerms { permissions, unit: unit.map(str::to_owned), ..KeyTerms::default() };
    let key = ApiKey { id: made.id.clone(), organisation, user: "TILL".to_owned(), hash: made.hash, terms };
    app.database.add_api_key(&key, app.now()).await.expect("kept");
    (made.key.expose().to_owned(), made.id)
}

async fn answer(caller: &Client) -> Value {
    caller.ok("GetSession", json!({})).await
}

/// Returns the answer for the user of [`TILL`] with these permissions, by an API key.
fn till(permissions: &[&str]) -> Value {
    json!({
        "user_id": "TILL", "username": "till", "organisation": "DEMO", "permissions": permissions,
        "credential_kind": "API_KEY",
    })
}

/// Checks that a caller is not authenticated.
async fn refused(caller: &Client) {
    let refusal = caller.refused("GetSession", json!({}), "INVALID_TOKEN").await;
    assert_eq!(refusal.code(), Code::Unauthenticated);
}

on_both_databases! {
    async fn a_session_by_password_has_user_organisation_unit_and_permissions(app) {
        let expected = json!({
            "user_id": "tester", "username": "tester", "organisation": "DEMO", "unit_id": "test-unit",
            "permissions": [
                "access_tokens.read", "access_tokens.write", "access_tokens.lookup", "access_tokens.secrets",
                "directory.write", "admin",
            ],
            "credential_kind": "PASSWORD",
        });
        assert_eq!(answer(&app).await, expected);
        // The session needs no permission at all.
        let other = app.client("OTHER", "").await;
        let answer = answer(&other).await;
        assert_eq!((&answer["organisation"], answer.get("permissions")), (&json!("OTHER"), None));
        assert_eq!((&answer["username"], answer.get("unit_id")), (&json!("user with \"\""), None));
    }

    async fn the_names_are_those_of_now(app) {
        app.import("DEMO", r#"{"user": {"id": "tester", "username": "renamed"}}"#).await;
        let demo = app.database.organisation_by_name("DEMO").await.expect("a store").expect("DEMO");
        app.database.rename_organisation(demo.key, "RENAMED").await.expect("renamed");
        let answer = answer(&app).await;
        assert_eq!((&answer["user_id"], &answer["username"]), (&json!("tester"), &json!("renamed")));
        assert_eq!(answer["organisation"], "RENAMED");
    }

    async fn an_api_key_is_the_kind_of_its_calls_and_of_its_sessions(app) {
        app.import("DEMO", TILL).await;
        let (key, id) = narrowed_key(&app, "admin,access_tokens.write,access_tokens.read", None).await;
        // Adding the key gave its user `admin`. The second import takes it from the user, so only the list of the key has it.
        app.import("DEMO", TILL).await;
        let expected = till(&["access_tokens.read", "access_tokens.write"]);
        let session = app.login_with_api_key(&key).await.expect("logged in");
        for caller in [app.with_api_key(&key), app.with_session(&session)] {
            let answer = answer(&caller).await;
            assert_eq!(answer, expected);
            assert!(!answer.to_string().contains(&id), "the id of the key is not for its users: {answer}");
        }
    }

    async fn a_narrowed_api_key_has_its_own_permissions_and_unit(app) {
        app.import("DEMO", TILL).await;
        let (key, _) = narrowed_key(&app, "access_tokens.write", Some("test-unit")).await;
        let mut expected = till(&["access_tokens.write"]);
        expected["unit_id"] = json!("test-unit");
        let session = app.login_with_api_key(&key).await.expect("logged in");
        for caller in [app.with_api_key(&key), app.with_session(&session)] {
            assert_eq!(answer(&caller).await, expected);
        }
    }

    async fn without_a_valid_credential_there_is_no_answer(app) {
        refused(&Client::connect(app.address())).await;
        refused(&app.with_session("nonsense")).await;
        refused(&app.with_api_key("nonsense")).await;
        let released = app.logged_in_again().await;
        answer(&released).await;
        released.release().await;
        refused(&released).await;
        answer(&app).await;
    }

    async fn http_has_the_same_answers(app) {
        app.import("DEMO", TILL).await;
        let (key, _) = narrowed_key(&app, "access_tokens.read", None).await;
        let by_key = app.login_with_api_key(&key).await.expect("logged in");
        let none = app.client("OTHER", "").await;
        for deployment in [Deployment::InProcess, Deployment::Separate] {
            let http = app.gateway(deployment, GatewayConfig::default()).await.canonical();
            for caller in [app.caller().clone(), app.with_session(&by_key), none.clone()] {
                let data = http.with_session(caller.session()).get(PATH, "").await.data();
                let mut expected = answer(&caller).await;
                // The JSON of the contract leaves empty lists out.
                expected.as_object_mut().expect("an object").entry("permissions").or_insert_with(|| json!([]));
                assert_eq!(differences(&data, &expected, &[]), [""; 0], "{data}");
            }
            let sent = http.send("GET", &http.target(PATH), &[("x-api-key", &key)], "").await.data();
            assert_eq!(differences(&sent, &till(&["access_tokens.read"]), &[]), [""; 0], "{sent}");
            assert_eq!(sent["unit_id"], Value::Null);

            let refused = http.send("GET", &http.target(PATH), &[], "").await;
            assert_eq!(refused.status, 401);
            refused.refused("INVALID_TOKEN");
        }
    }

    async fn the_original_api_has_no_such_path(app) {
        let http = app.http().await;
        let unknown = http.get(PATH, "").await;
        assert_eq!((unknown.status, unknown.reason()), (404, "METHOD_NOT_FOUND"));
        let posted = http.canonical().post(PATH, json!({})).await;
        assert_eq!((posted.status, posted.reason()), (405, "METHOD_NOT_FOUND"));
    }
}
