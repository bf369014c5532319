//! Sessions over HTTP, as clients of the original API keep, lose and renew them; and the data that each session can see.

use std::time::Duration;

use access_tokens_gateway::GatewayConfig;
use access_tokens_testapp::{Deployment, TestApp};
use access_tokens_testkit::http::{HttpAnswer, HttpClient};
use serde_json::{Value, json};

use crate::on_both_databases;

const RENEW: &str = "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION";
const TOKEN: &str = r#"{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7"}}"#;

fn seven() -> Value {
    json!({"access_token_identifier": {"authentication_code": "7"}, "fields_set": "number"})
}

async fn log_in(http: &HttpClient, request: Value) -> HttpAnswer {
    http.post_text("authentication/token", &request.to_string()).await
}

async fn both(app: &TestApp) -> [HttpClient; 2] {
    [
        app.gateway(Deployment::InProcess, GatewayConfig::default()).await,
        app.gateway(Deployment::Separate, GatewayConfig::default()).await,
    ]
}

/// Checks that the session is refused with the words that clients expect, on both mounts.
async fn refused_as_invalid(http: &HttpClient) {
    let answer = http.post("access_tokens/show", seven()).await;
    assert_eq!((answer.status, answer.code().as_str()), (200, RENEW));
    answer.refused("INVALID_TOKEN");
    let answer = http.get("access_tokens/get_not_associated", "number=1").await;
    assert_eq!((answer.status, answer.code().as_str()), (200, RENEW));
    let answer = http.canonical().post("access_tokens/show", seven()).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, RENEW));
    assert_eq!((answer.reason(), answer.header("www-authenticate")), ("INVALID_TOKEN", "Bearer"));
    assert_eq!(answer.header("cache-control"), "no-store");
}

on_both_databases! {
    async fn a_session_is_opened_used_expired_and_renewed(app) {
        app.import("DEMO", TOKEN).await;
        for http in both(&app).await {
            let credentials = json!({"username": "tester", "password": "correct horse", "organisation": "DEMO"});
            let answer = log_in(&http, credentials.clone()).await;
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.data().as_object().map(|data| data.len()), Some(1));
            let session = http.with_session(answer.data()["token"].as_str().expect("a token"));
            assert_eq!(session.post("access_tokens/show", seven()).await.data(), json!({"number": "AT1"}));
            app.clock.advance(Duration::from_secs(2 * 3600 + 1));
            refused_as_invalid(&session).await;
            let renewed = log_in(&http, credentials).await.data();
            let session = http.with_session(renewed["token"].as_str().expect("a token"));
            assert_eq!(session.post("access_tokens/show", seven()).await.data(), json!({"number": "AT1"}));
            let released = session.post("authentication/token/release", json!({})).await;
            assert_eq!(released.json(), json!({"status": {"code": "OK", "description": "", "message": ""}}));
            refused_as_invalid(&session).await;
            for nonsense in ["", "null", "641070EA9DF042E48CDA1B6414ACABC5", "a.b.c"] {
                refused_as_invalid(&http.with_session(nonsense)).await;
            }
        }
    }

    async fn a_failed_login_is_no_invalid_session(app) {
        let http = app.http().await;
        for request in [
            json!({"username": "tester", "password": "wrong", "organisation": "DEMO"}),
            json!({"username": "nobody", "password": "correct horse", "organisation": "DEMO"}),
            json!({"username": "tester", "password": "correct horse", "organisation": "NOWHERE"}),
        ] {
            let answer = log_in(&http, request).await;
            // A client that took this for an expired session would log in again without end.
            assert_ne!(answer.code(), RENEW);
            assert_eq!(answer.status, 200);
            answer.refused("INVALID_LOGIN");
        }
        let answer = log_in(&http, json!({})).await;
        assert!(answer.refused("REQUIRED_FIELD_MISSING").contains("username: "), "{}", answer.text);
    }

    async fn an_api_key_comes_by_basic_with_and_without_the_colon(app) {
        app.import("DEMO", TOKEN).await;
        let key = app.add_api_key("till", "access_tokens.read").await;
        for http in both(&app).await {
            let login = http.target("authentication/web_api_key/token");
            let show = http.target("access_tokens/show");
            for credentials in [key.clone(), format!("{key}:")] {
                let basic = format!("Basic {}", base64(&credentials));
                let headers = [("authorization", basic.as_str())];
                let answer = http.send("POST", &login, &headers, "").await;
                let session = http.with_session(answer.data()["token"].as_str().expect("a token"));
                assert_eq!(session.post("access_tokens/show", seven()).await.data()["number"], "AT1");
                // The key itself authenticates a call, too.
                let answer = http.send("POST", &show, &headers, &seven().to_string()).await;
                assert_eq!(answer.data()["number"], "AT1");
                session.post("access_tokens/create", json!({})).await.refused("PERMISSION_DENIED");
            }
            // A user name with a password is no API key, and neither is an unreadable header.
            for (wrong, reason) in [
                (base64("atk_nonsense"), "INVALID_LOGIN"),
                (base64(&format!("{key}:password")), "REQUIRED_FIELD_MISSING"),
                ("%%%".to_owned(), "REQUIRED_FIELD_MISSING"),
            ] {
                let basic = format!("Basic {wrong}");
                let answer = http.send("POST", &login, &[("authorization", basic.as_str())], "").await;
                answer.refused(reason);
                assert!(!answer.text.contains(&key));
            }
        }
    }

    async fn a_session_in_a_header_serves_as_well(app) {
        app.import("DEMO", TOKEN).await;
        let http = app.http().await;
        let bearer = format!("Bearer {}", app.session());
        let target = http.target("access_tokens/show");
        let answer = http.send("POST", &target, &[("authorization", &bearer)], &seven().to_string()).await;
        assert_eq!(answer.data()["number"], "AT1");
        let mut request = seven();
        request["token"] = json!("expired");
        let answer = http.send("POST", &target, &[("authorization", &bearer)], &request.to_string()).await;
        assert_eq!(answer.code(), RENEW, "the token in the body counts");
    }

    async fn organisations_never_meet(app) {
        app.import("DEMO", TOKEN).await;
        app.import("OTHER", &TOKEN.replace("AT1", "AT9").replace(r#""T""#, r#""U""#)).await;
        app.import("OTHER", r#"{"user": {"username": "tester", "password": "other horse", "permissions": ["access_tokens.read", "access_tokens.write"]}}"#).await;
        for http in both(&app).await {
            let refused = log_in(&http, json!({"username": "tester", "password": "correct horse", "organisation": "OTHER"})).await;
            refused.refused("INVALID_LOGIN");
            let data = log_in(&http, json!({"username": "tester", "password": "other horse", "organisation": "OTHER"})).await.data();
            let other = http.with_session(data["token"].as_str().expect("a token"));
            assert_eq!(other.post("access_tokens/show", seven()).await.data()["number"], "AT9");
            assert_eq!(http.post("access_tokens/show", seven()).await.data()["number"], "AT1");
            let by_id = |id: &str| json!({"access_token_identifier": {"id": id}});
            for (caller, foreign) in [(&other, "T"), (&http, "U")] {
                caller.post("access_tokens/show", by_id(foreign)).await.refused("ACCESS_TOKEN_NOT_FOUND");
                caller.post("access_tokens/set_as_not_effective", by_id(foreign)).await.refused("ACCESS_TOKEN_NOT_FOUND");
                let free = caller.get("access_tokens/get_not_associated", "number=10&fields_set=number").await.data();
                assert_eq!(free.as_array().map(Vec::len), Some(1));
            }
        }
    }

    async fn a_secret_is_null_for_callers_without_permission(app) {
        app.import("DEMO", r#"{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "0123456"}}"#).await;
        let http = app.http().await;
        let request = json!({"access_token_identifier": {"id": "T"}, "fields_set": "verification_code"});
        assert_eq!(http.post("access_tokens/show", request.clone()).await.data(), json!({"verification_code": "0123456"}));
        let reader = app.client("DEMO", "access_tokens.read").await;
        let reader = http.with_session(reader.session());
        assert_eq!(reader.post("access_tokens/show", request).await.data(), json!({"verification_code": null}));
        let refused = reader.canonical().post("access_tokens/reset_pass_code", json!({"authentication_code": "7"})).await;
        assert_eq!(refused.status, 403);
        refused.refused("PERMISSION_DENIED");
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | chunk.get(at).map_or(0, |byte| u32::from(*byte)));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
