//! Resets of codes, and one-time passwords.

use serde_json::json;

use crate::on_both_databases;

const TOKENS: &str = r#"
{"classification": {"id": "C", "name": "long", "policy": {"otp_length": 8, "otp_lifetime_seconds": 60, "pass_code": {"min_length": 9, "min_letters": 2, "min_special": 1}}}}
{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "pass_code": "secret-1"}}
{"access_token": {"id": "U", "number": "AT2", "authentication_code": "8", "identifier": "other", "classification": {"id": "C"}}}
{"access_token": {"id": "V", "number": "AT3", "authentication_code": "9", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "111111"}}
"#;

on_both_databases! {
    async fn a_reset_pass_code_follows_the_policy_and_replaces_the_old(app) {
        app.import("DEMO", TOKENS).await;
        let reset = app.ok("ResetPassCode", json!({"identifier": "other"})).await;
        let code = reset["random_pass_code"].as_str().expect("a pass code");
        assert_eq!(code.chars().count(), 9);
        assert_eq!(code.chars().filter(char::is_ascii_alphabetic).count(), 2);
        app.ok("ShowAccessToken", json!({"access_token_identifier": {"credential": {"identifier": "other", "pass_code": code}}})).await;
        let again = app.ok("ResetPassCode", json!({"authentication_code": "8", "fields_set": "number,random_pass_code"})).await;
        assert_eq!(again.as_object().map(serde_json::Map::len), Some(2), "exactly the fields asked for: {again}");
        app.refused("ShowAccessToken", json!({"access_token_identifier": {"credential": {"identifier": "other", "pass_code": code}}}), "INVALID_CREDENTIAL").await;
    }

    async fn resets_need_exactly_one_name(app) {
        app.import("DEMO", TOKENS).await;
        for method in ["ResetPassCode", "ResetVerificationCode"] {
            let refusal = app.try_call(method, json!({})).await.expect_err("refused");
            assert!(["INVALID_IDENTIFIER", "REQUIRED_FIELD_MISSING"].contains(&refusal.reason.as_str()), "{}", refusal.reason);
            app.refused(method, json!({"identifier": "nobody"}), "ACCESS_TOKEN_NOT_FOUND").await;
        }
    }

    async fn a_new_verification_code_kills_the_old_one(app) {
        app.import("DEMO", TOKENS).await;
        let reset = app.ok("ResetVerificationCode", json!({"authentication_code": "9"})).await;
        let code = reset["verification_code"].as_str().expect("a code").to_owned();
        let verify = |code: &str| json!({"access_token_identifier": {"id": "V"}, "verification_code": code});
        if code != "111111" {
            app.refused("VerifyAccessToken", verify("111111"), "INVALID_VERIFICATION_CODE").await;
        }
        assert_eq!(app.ok("VerifyAccessToken", verify(&code)).await["life_cycle_state"], "EFFECTIVE");
    }

    async fn one_time_passwords_follow_the_policy(app) {
        app.import("DEMO", TOKENS).await;
        let issued = app.ok("GenerateOtp", json!({"access_token_identifier": {"id": "U"}})).await;
        assert_eq!(issued["one_time_password"].as_str().map(str::len), Some(8));
        let expires = access_tokens_domain::time::parse(issued["expiration_date"].as_str().expect("a date")).expect("a date");
        assert_eq!(expires - app.now(), chrono::Duration::seconds(60));
        let mut keys: Vec<_> = issued.as_object().expect("an object").keys().collect();
        keys.sort();
        assert_eq!(keys, ["expiration_date", "id", "number", "one_time_password"]);
    }
}
