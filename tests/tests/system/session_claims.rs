//! The claims of a session token, and their effect: names are informative, and ids decide.

use std::time::Duration;

use access_tokens_domain::directory::Organisation;
use access_tokens_testapp::TestApp;
use access_tokens_testkit::postgres as cluster;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::on_both_databases;

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON")
}

on_both_databases! {
    async fn the_documented_claims_are_names(app) {
        let claims = claims(app.session());
        assert_eq!((&claims["usr"], &claims["org"], &claims["oun"]), (&json!("tester"), &json!("DEMO"), &json!("Test unit")));
        assert_eq!((&claims["uid"], &claims["oid"], &claims["nid"]), (&json!("tester"), &json!("ID OF DEMO"), &json!("test-unit")));
        let lifetime = claims["exp"].as_i64().expect("seconds") - claims["iat"].as_i64().expect("seconds");
        assert_eq!((lifetime, claims["jti"].as_str().map(str::len)), (7_200, Some(32)));
        let key = app.add_api_key("till", "access_tokens.read").await;
        let by_key = app.login_with_api_key(&key).await.expect("logged in");
        assert_eq!(self::claims(&by_key)["usr"], "till");
        assert!(self::claims(&by_key).get("oun").is_none(), "it has no unit");
    }

    async fn names_decide_nothing(app) {
        use access_tokens_domain::store::AccountStore;
        let mine = app.ok("CreateAccessToken", json!({"authentication_code": "mine", "fields_set": "id"})).await;
        let named = json!({"access_token_identifier": {"authentication_code": "mine"}});
        // Another organisation takes the name and has a user with the same name; the first user gets another name.
        let demo = app.database.organisation_by_name("DEMO").await.expect("a store").expect("DEMO");
        app.database.rename_organisation(demo.key, "RENAMED").await.expect("renamed");
        let newcomer = Organisation::new("ANOTHER ID".to_owned(), "DEMO");
        app.database.ensure_organisation(&newcomer).await.expect("created");
        let user = json!({"user": {"username": "tester", "password": "correct horse", "permissions": ["access_tokens.read"]}});
        app.import("DEMO", &user.to_string()).await;
        app.import("RENAMED", &json!({"user": {"id": "tester", "username": "other name"}}).to_string()).await;

        assert_eq!(app.ok("ShowAccessToken", named.clone()).await["id"], mine["id"], "the session is what it was");
        let newcomer = app.login("DEMO", "tester", "correct horse", None).await.expect("logged in");
        assert_eq!((&claims(&newcomer)["usr"], &claims(&newcomer)["org"]), (&claims(app.session())["usr"], &claims(app.session())["org"]));
        let newcomer = app.with_session(&newcomer);
        newcomer.refused("ShowAccessToken", named, "ACCESS_TOKEN_NOT_FOUND").await;
        newcomer.refused("CreateAccessToken", json!({}), "PERMISSION_DENIED").await;
        let again = app.login("RENAMED", "other name", "correct horse", None).await.expect("logged in");
        assert_eq!((&claims(&again)["usr"], &claims(&again)["org"]), (&json!("other name"), &json!("RENAMED")));
        assert_eq!(claims(&again)["uid"], "tester");
    }
}

/// A connection with the application name of version 0.2.0, for two seconds, of another role than that of the server.
const FORMER: &str = "SET application_name = 'access-tokens'; SELECT pg_sleep(2)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_servers_of_the_last_release_the_documented_claims_are_ids() {
    let app = TestApp::postgres().await;
    let login = async || {
        app.clock.advance(Duration::from_secs(5));
        claims(&app.login("DEMO", "tester", "correct horse", None).await.expect("logged in"))
    };
    assert_eq!(login().await["org"], "DEMO");
    let name = app.url().rsplit('/').next().and_then(|name| name.split('?').next()).expect("a name").to_owned();
    let former = tokio::spawn(async move { tokio::task::block_in_place(|| cluster::shared().psql(&name, FORMER)) });
    let mut beside = login().await;
    while !former.is_finished() && beside["org"] == "DEMO" {
        beside = login().await;
    }
    let ids = (&json!("tester"), &json!("ID OF DEMO"), &json!("test-unit"));
    assert_eq!((&beside["usr"], &beside["org"], &beside["oun"]), ids);
    assert!(beside.get("oid").is_none() && beside.get("uid").is_none());
    former.await.expect("no panic").expect("slept");
    assert_eq!(login().await["org"], "DEMO", "they are gone");
}
