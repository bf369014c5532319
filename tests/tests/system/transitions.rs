//! Transitions between effective and not effective, and verification.

use serde_json::{Value, json};

use crate::on_both_databases;

fn token(state: &str) -> String {
    let token = json!({"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "life_cycle_state": state, "verification_code": "073482"});
    json!({ "access_token": token }).to_string()
}

fn seven() -> Value {
    json!({"access_token_identifier": {"authentication_code": "7"}})
}

fn verify(code: &str) -> Value {
    json!({"access_token_identifier": {"authentication_code": "7"}, "verification_code": code})
}

on_both_databases! {
    async fn each_change_has_one_source_state(app) {
        let calls = [
            ("SetAsEffective", seven(), "NOT_EFFECTIVE", "EFFECTIVE"),
            ("SetAsNotEffective", seven(), "EFFECTIVE", "NOT_EFFECTIVE"),
            ("VerifyAccessToken", verify("073482"), "PENDING_VERIFICATION", "EFFECTIVE"),
            ("ResetPassCode", json!({"authentication_code": "7"}), "EFFECTIVE", "EFFECTIVE"),
            ("ResetVerificationCode", json!({"authentication_code": "7"}), "PENDING_VERIFICATION", "PENDING_VERIFICATION"),
            ("GenerateOtp", seven(), "EFFECTIVE", "EFFECTIVE"),
        ];
        for (method, request, source, target) in calls {
            for state in ["EFFECTIVE", "NOT_EFFECTIVE", "PENDING_VERIFICATION"] {
                app.import("DEMO", &token(state)).await;
                if state == source {
                    app.ok(method, request.clone()).await;
                    assert_eq!(app.ok("ShowAccessToken", seven()).await["life_cycle_state"], target, "{method}");
                } else {
                    let refusal = app.refused(method, request.clone(), "WRONG_LIFE_CYCLE_STATE").await;
                    assert_eq!(refusal.code(), tonic::Code::FailedPrecondition);
                    assert_eq!(refusal.metadata("life_cycle_state"), state, "{method}");
                    assert_eq!(refusal.metadata("expected"), source, "{method}");
                    assert_eq!(app.ok("ShowAccessToken", seven()).await["life_cycle_state"], state, "{method} wrote something");
                }
            }
        }
    }

    async fn a_change_is_stamped_with_the_caller(app) {
        app.import("DEMO", &token("EFFECTIVE")).await;
        let before = app.ok("ShowAccessToken", seven()).await;
        app.clock.advance(std::time::Duration::from_secs(90));
        let after = app.ok("SetAsNotEffective", seven()).await;
        assert_eq!(after["log_information"]["created_date"], before["log_information"]["created_date"]);
        assert_ne!(after["log_information"]["updated_date"], before["log_information"]["updated_date"]);
        assert_eq!(after["log_information"]["updated_by_user"]["username"], "tester");
        assert_eq!(after["log_information"]["updated_by_unit"]["name"], "Test unit");
        assert_eq!(after["log_information"]["updated_by_business_unit"]["name"], "Test business unit");
        assert_eq!(app.ok("ShowAccessToken", seven()).await, after);
    }

    async fn a_code_verifies_once_and_a_pass_code_may_come_with_it(app) {
        app.import("DEMO", &token("PENDING_VERIFICATION")).await;
        let refusal = app.refused("VerifyAccessToken", verify("273562"), "INVALID_VERIFICATION_CODE").await;
        assert_eq!(refusal.fields(), ["verification_code"]);
        app.refused("VerifyAccessToken", verify("0073482"), "INVALID_VERIFICATION_CODE").await;
        let mut request = verify("073482");
        request["pass_code"] = json!("new-pass");
        let verified = app.ok("VerifyAccessToken", request.clone()).await;
        assert_eq!(verified["verification_code"], "073482", "it stays readable");
        assert_eq!(verified["verified_by_user"]["username"], "tester");
        app.refused("VerifyAccessToken", request, "WRONG_LIFE_CYCLE_STATE").await;
        app.ok("ShowAccessToken", json!({"access_token_identifier": {"credential": {"identifier": "login", "pass_code": "new-pass"}}})).await;
    }

    async fn a_bad_pass_code_does_not_spend_the_code(app) {
        app.import("DEMO", &token("PENDING_VERIFICATION")).await;
        let mut request = verify("073482");
        request["pass_code"] = json!("abc");
        let refusal = app.refused("VerifyAccessToken", request, "POLICY_VIOLATION").await;
        assert_eq!(refusal.fields(), ["pass_code"]);
        app.ok("VerifyAccessToken", verify("073482")).await;
    }
}
