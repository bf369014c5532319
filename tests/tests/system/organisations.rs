//! Two organisations with equal codes never see each other.

use serde_json::json;

use crate::on_both_databases;

const RECORDS: &str = r#"
{"accounts_receivable": {"id": "A", "number": "ACR1", "name": "Account"}}
{"rewards_participant": {"id": "P", "number": "RP1", "accounts_receivable": {"id": "A"}}}
{"classification": {"id": "C", "name": "Cards"}}
{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "pass_code": "PASSCODE", "accounts_receivable": {"id": "A"}, "classification": {"id": "C"}}}
"#;

on_both_databases! {
    async fn equal_codes_live_side_by_side(app) {
        app.import("DEMO", &RECORDS.replace("PASSCODE", "demo-pass")).await;
        app.import("OTHER", &RECORDS.replace("PASSCODE", "other-pass").replace("Account", "Other account")).await;
        let other = app.client("OTHER", "access_tokens.read,access_tokens.write,access_tokens.lookup,access_tokens.secrets").await;
        let names = [
            json!({"authentication_code": "7"}), json!({"id": "T"}), json!({"number": "AT1"}),
            json!({"credential": {"identifier": "login"}}),
        ];
        for name in names {
            let request = json!({"access_token_identifier": name});
            assert_eq!(app.ok("ShowAccessToken", request.clone()).await["accounts_receivable"]["name"], "Account");
            assert_eq!(other.ok("ShowAccessToken", request).await["accounts_receivable"]["name"], "Other account");
        }
        let credential = |pass_code: &str| json!({"access_token_identifier": {"credential": {"identifier": "login", "pass_code": pass_code}}});
        app.ok("ShowAccessToken", credential("demo-pass")).await;
        other.refused("ShowAccessToken", credential("demo-pass"), "INVALID_CREDENTIAL").await;

        let seven = json!({"access_token_identifier": {"authentication_code": "7"}});
        other.ok("SetAsNotEffective", seven.clone()).await;
        other.ok("UpdateAccessToken", json!({"access_token_identifier": {"id": "T"}, "udf_string_1": "theirs"})).await;
        let ours = app.ok("ShowAccessToken", seven).await;
        assert_eq!((ours["life_cycle_state"].as_str(), ours.get("udf_string_1")), (Some("EFFECTIVE"), None));
    }

    async fn nothing_of_another_organisation_is_found(app) {
        app.import("DEMO", &RECORDS.replace("PASSCODE", "demo-pass")).await;
        let other = app.client("OTHER", "access_tokens.read,access_tokens.write,access_tokens.lookup,access_tokens.secrets").await;
        let token = json!({"access_token_identifier": {"id": "T"}});
        for method in ["ShowAccessToken", "SetAsEffective", "SetAsNotEffective", "GenerateOtp", "UpdateAccessToken"] {
            other.refused(method, token.clone(), "ACCESS_TOKEN_NOT_FOUND").await;
        }
        for method in ["ResetPassCode", "ResetVerificationCode"] {
            other.refused(method, json!({"authentication_code": "7"}), "ACCESS_TOKEN_NOT_FOUND").await;
        }
        other.refused("ListAccessTokens", json!({"accounts_receivable_identifier": {"id": "A"}}), "ACCOUNTS_RECEIVABLE_NOT_FOUND").await;
        other.refused("CreateAccessToken", json!({"rewards_participant_identifier": {"id": "P"}}), "REWARDS_PARTICIPANT_NOT_FOUND").await;
        other.refused("CreateAccessToken", json!({"classification_identifier": {"id": "C"}}), "CLASSIFICATION_NOT_FOUND").await;
        assert_eq!(other.ok("GetNotAssociatedAccessTokens", json!({"number": 10})).await.get("access_tokens"), None);
        assert_eq!(other.ok("ListClassifications", json!({})).await.get("classifications"), None);
    }

    async fn legacy_compatibility_is_a_setting_of_the_organisation(app) {
        app.import("DEMO", &RECORDS.replace("PASSCODE", "demo-pass")).await;
        app.import("DEMO", r#"{"unit": {"id": "test-unit", "group_name": "Group", "community_name": "Community"}}"#).await;
        let request = json!({"access_token_identifier": {"id": "T"}, "udf_string_1": "x"});
        let log = app.ok("UpdateAccessToken", request.clone()).await["log_information"].clone();
        assert_eq!(log["updated_by_unit"]["group_name"], "Group");
        assert_eq!(log["updated_by_user"]["person_name"], "Test user");
        app.import("DEMO", r#"{"organisation": {"legacy_compatibility": false}}"#).await;
        let log = app.ok("UpdateAccessToken", request).await["log_information"].clone();
        for (object, key) in [("updated_by_unit", "group_name"), ("updated_by_unit", "community_name"), ("updated_by_user", "person_name"), ("updated_by_user", "email")] {
            assert_eq!(log[object].get(key), None, "{object}.{key}");
        }
        assert_eq!(log["updated_by_unit"]["name"], "Test unit");
    }
}
