//! Pass codes and one-time passwords as clients use them: check, change, use, reset.

use std::time::Duration;

use access_tokens_testapp::TestApp;
use serde_json::{Value, json};

use crate::on_both_databases;

const TOKENS: &str = r#"
{"classification": {"id": "C", "name": "digits", "policy": {"pass_code": {"format": "NUMBER", "min_length": 6}}}}
{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "pass_code": "secret", "classification": {"id": "C"}, "log_information": {"updated_date": "2020-01-02T03:04:05"}}}
{"access_token": {"id": "U", "number": "AT2", "authentication_code": "8", "identifier": "off", "pass_code": "secret", "life_cycle_state": "NOT_EFFECTIVE"}}
"#;

fn named(pass_code: &str) -> Value {
    json!({"credential": {"identifier": "login", "pass_code": pass_code}})
}

async fn new_otp(app: &TestApp) -> String {
    let issued = app.ok("GenerateOtp", json!({"access_token_identifier": {"id": "T"}})).await;
    issued["one_time_password"].as_str().expect("a password").to_owned()
}

on_both_databases! {
    async fn a_pass_code_is_checked_beside_or_within_its_identifier(app) {
        app.import("DEMO", TOKENS).await;
        let beside = [json!({"id": "T"}), json!({"number": "AT1"}), json!({"authentication_code": "7"}), json!({"credential": {"identifier": "login"}})];
        for identifier in beside {
            let request = json!({"access_token_identifier": identifier, "pass_code": "secret", "fields_set": "id"});
            assert_eq!(app.ok("CheckPassCode", request).await, json!({"id": "T"}));
        }
        app.ok("CheckPassCode", json!({"access_token_identifier": named("secret")})).await;
        app.refused("CheckPassCode", json!({"access_token_identifier": named("Secret")}), "INVALID_CREDENTIAL").await;
        app.refused("CheckPassCode", json!({"access_token_identifier": {"id": "U"}, "pass_code": "secret"}), "INVALID_CREDENTIAL").await;
        let missing = app.refused("CheckPassCode", json!({"access_token_identifier": {"id": "T"}}), "REQUIRED_FIELD_MISSING").await;
        assert_eq!(missing.fields(), ["pass_code"]);
        let twice = json!({"access_token_identifier": named("secret"), "pass_code": "secret"});
        assert_eq!(app.refused("CheckPassCode", twice, "INVALID_FIELD_VALUE").await.fields(), ["pass_code"]);
    }

    async fn a_pass_code_is_changed_by_the_old_one_or_by_a_one_time_password(app) {
        app.import("DEMO", TOKENS).await;
        let change = |proof: &str, value: &str, new: &str| {
            json!({"access_token_identifier": {"id": "T"}, proof: value, "new_pass_code": new})
        };
        app.refused("ChangePassCode", change("pass_code", "wrong", "123456"), "INVALID_CREDENTIAL").await;
        let refusal = app.refused("ChangePassCode", change("pass_code", "secret", "letters"), "POLICY_VIOLATION").await;
        assert_eq!(refusal.fields(), ["new_pass_code"]);
        let changed = app.ok("ChangePassCode", change("pass_code", "secret", "123456")).await;
        assert_eq!(changed["log_information"]["updated_by_user"]["id"], "tester");
        app.refused("ShowAccessToken", json!({"access_token_identifier": named("secret")}), "INVALID_CREDENTIAL").await;
        app.ok("ShowAccessToken", json!({"access_token_identifier": named("123456")})).await;

        let otp = new_otp(&app).await;
        app.refused("ChangePassCode", change("one_time_password", &otp, "letters"), "POLICY_VIOLATION").await;
        app.ok("ChangePassCode", change("one_time_password", &otp, "654321")).await;
        app.refused("ChangePassCode", change("one_time_password", &otp, "111111"), "INVALID_CREDENTIAL").await;
        app.ok("ShowAccessToken", json!({"access_token_identifier": named("654321")})).await;
        let request = json!({"access_token_identifier": {"id": "T"}, "new_pass_code": "123456"});
        app.refused("ChangePassCode", request, "REQUIRED_FIELD_MISSING").await;
        let request = json!({"access_token_identifier": {"id": "U"}, "pass_code": "secret", "new_pass_code": "123456"});
        app.refused("ChangePassCode", request, "INVALID_CREDENTIAL").await;
    }

    async fn a_one_time_password_is_used_once_and_in_time(app) {
        app.import("DEMO", TOKENS).await;
        let verify = |otp: &str| json!({"access_token_identifier": {"id": "T"}, "one_time_password": otp});
        let show = |otp: &str| json!({"access_token_identifier": {"credential": {"identifier": "login", "one_time_password": otp}}});
        let before = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await;

        let otp = new_otp(&app).await;
        let issued = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await;
        assert_eq!(app.ok("VerifyOtp", verify(&otp)).await["id"], "T");
        app.refused("VerifyOtp", verify(&otp), "INVALID_CREDENTIAL").await;
        app.refused("ShowAccessToken", show(&otp), "INVALID_CREDENTIAL").await;
        let used = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await;
        assert_ne!(before["log_information"], issued["log_information"], "issuing is a change");
        assert_eq!(used["log_information"], issued["log_information"], "using is none");

        let otp = new_otp(&app).await;
        app.ok("ShowAccessToken", show(&otp)).await;
        app.refused("VerifyOtp", verify(&otp), "INVALID_CREDENTIAL").await;

        let old = new_otp(&app).await;
        let new = new_otp(&app).await;
        if old != new {
            app.refused("VerifyOtp", verify(&old), "INVALID_CREDENTIAL").await;
        }
        app.clock.advance(Duration::from_secs(300));
        app.refused("VerifyOtp", verify(&new), "INVALID_CREDENTIAL").await;
        let otp = new_otp(&app).await;
        app.clock.advance(Duration::from_micros(299_999_999));
        app.ok("VerifyOtp", verify(&otp)).await;
    }

    async fn codes_are_issued_with_a_cooldown_and_a_cap_a_day(app) {
        app.import("DEMO", TOKENS).await;
        app.import("DEMO", r#"{"classification": {"id": "C", "policy": {"issue": {"burst": 2, "cooldown_seconds": 60, "per_day": 6}}}}"#).await;
        let request = json!({"access_token_identifier": {"id": "T"}});
        for _ in 0..2 {
            app.ok("GenerateOtp", request.clone()).await;
        }
        let refusal = app.refused("GenerateOtp", request.clone(), "TOO_MANY_CODES").await;
        assert_eq!(refusal.code(), tonic::Code::ResourceExhausted);
        app.ok("ResetPassCode", json!({"identifier": "login"})).await;
        app.clock.advance(Duration::from_secs(60));
        app.ok("GenerateOtp", request.clone()).await;
        app.clock.advance(Duration::from_secs(3_600));
        app.refused("GenerateOtp", request.clone(), "TOO_MANY_CODES").await;
        app.clock.advance(Duration::from_secs(24 * 3_600));
        app.logged_in_again().await.ok("GenerateOtp", request).await;
    }

    async fn without_delivery_a_forgotten_pass_code_is_refused(app) {
        app.import("DEMO", TOKENS).await;
        for identifier in ["login", "nobody"] {
            app.refused("ForgotPassCode", json!({"identifier": identifier}), "NOTIFICATIONS_DISABLED").await;
        }
    }

    async fn the_gateway_speaks_of_the_same_credentials(app) {
        app.import("DEMO", TOKENS).await;
        let http = app.http().await;
        let login = |secret: &str, value: &str| json!({"access_token_identifier": {"identifier": "login", secret: value}, "fields_set": "number"});
        assert_eq!(http.post("access_tokens/check_pass_code", login("pass_code", "secret")).await.data(), json!({"number": "AT1"}));
        let otp = new_otp(&app).await;
        assert_eq!(http.post("access_tokens/show", login("one_time_password", &otp)).await.data(), json!({"number": "AT1"}));
        let used = http.post("access_tokens/verify_otp", login("one_time_password", &otp)).await;
        assert_eq!(used.code(), "COM.CRM.EXCEPTION.ACCESSTOKENS.INVALIDCREDENTIALEXCEPTION");
        assert_eq!(used.header("x-error-cause"), "NOT_SET", "the caller may know secrets");
        let writer = http.with_session(app.client("DEMO", "access_tokens.write").await.session());
        let untold = writer.post("access_tokens/verify_otp", login("one_time_password", &otp)).await;
        assert_eq!((untold.reason(), untold.header("x-error-cause")), ("INVALID_CREDENTIAL", ""));
        let change = json!({"access_token_identifier": {"authentication_code": "7"}, "pass_code": "secret", "new_pass_code": "123456", "fields_set": "number"});
        assert_eq!(http.post("access_tokens/change_pass_code", change).await.data(), json!({"number": "AT1"}));
        app.ok("ShowAccessToken", json!({"access_token_identifier": named("123456")})).await;
    }

    async fn an_imported_hash_is_made_anew_when_it_was_right(app) {
        // echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -e
        let foreign = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        app.import("DEMO", &json!({"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "pass_code_hash": foreign}}).to_string()).await;
        let stored = async || {
            let (key, caller) = (access_tokens_domain::identifier::TokenKey::Id("T"), app.direct_caller("").await);
            let joins = access_tokens_domain::store::OwnerJoins::NONE;
            let found = access_tokens_domain::store::Store::find_token(&*app.database, caller.organisation, key, joins, access_tokens_domain::store::ReadOptions::STRONG).await;
            found.expect("a store").found.expect("a token").token.pass_code.expect("a hash").as_stored().to_owned()
        };
        app.refused("ShowAccessToken", json!({"access_token_identifier": named("wrong")}), "INVALID_CREDENTIAL").await;
        assert_eq!(stored().await, foreign);
        app.ok("ShowAccessToken", json!({"access_token_identifier": named("password")})).await;
        let anew = stored().await;
        assert!(anew.contains("keyid="), "peppered");
        app.ok("ShowAccessToken", json!({"access_token_identifier": named("password")})).await;
        assert_eq!(stored().await, anew);
    }
}
