//! The twelve documented examples: import the state before, make the documented call, get the documented answer.
//!
//! What is left out of a comparison is listed with each example: generated ids, numbers, codes and dates, the caller,
//! and the places where an example contradicts itself.

use access_tokens_testkit::app::TestApp;
use serde_json::{Value, json};

use crate::compare::differences;
use crate::on_both_databases;

/// Examples 1 and 6 show one owner twice, the second time with more: what either says is kept.
const OWNER_SHOWN_TWICE: [&str; 2] = [
    "rewards_participant.accounts_receivable.account_owner.name",
    "rewards_participant.accounts_receivable.account_owner.demographics.country_of_residence",
];

/// The caller is ours, and so is the moment.
const CALLER: [&str; 4] = [
    "log_information.updated_by_user",
    "log_information.updated_by_unit",
    "log_information.updated_by_business_unit",
    "log_information.updated_date",
];

/// Examples 7, 8, 9 and 12 show user 1 with two names in one answer; 8 and 9 show one unit with and without its group.
const CREATOR_SHOWN_TWICE: [&str; 3] = [
    "log_information.created_by_user.person_name",
    "log_information.created_by_unit.group_name",
    "log_information.created_by_unit.community_name",
];

fn caller_and(more: &[&'static str]) -> Vec<&'static str> {
    [CALLER.as_slice(), &CREATOR_SHOWN_TWICE, more].concat()
}

fn example(name: &str) -> Value {
    let path = format!("{}/data/examples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the example is in the repository");
    serde_json::from_str(&text).expect("the example is JSON")
}

fn documented(name: &str) -> Value {
    example(&format!("{name}.response"))["data"].clone()
}

/// Imports a documented answer, with some members of its token as they were before the call.
async fn import_before(app: &TestApp, name: &str, before: Value) {
    let mut token = documented(name);
    let object = token.as_object_mut().expect("one token");
    object.extend(before.as_object().expect("an object").clone());
    app.import("DEMO", &json!({ "access_token": token }).to_string()).await;
}

fn same(documented: &Value, ours: &Value, except: &[&str]) {
    let found = differences(documented, ours, except);
    assert!(found.is_empty(), "{found:#?}");
}

on_both_databases! {
    async fn all_twelve_answers_import_as_they_are(app) {
        for name in [
            "01-show", "02-list", "03-get_not_associated", "04-create", "05-create-fields_set", "06-update",
            "07-verify", "08-reset_pass_code", "09-reset_verification_code", "10-generate_otp",
            "11-set_as_effective", "12-set_as_not_effective",
        ] {
            let text = example(&format!("{name}.response")).to_string();
            app.import("DEMO", &text).await;
            let (created, updated, unchanged) = app.import("DEMO", &text).await;
            assert_eq!((created, updated), (0, 0), "{name} changed something the second time");
            assert!(unchanged > 0, "{name}");
        }
    }

    async fn example_01_show(app) {
        app.import("DEMO", &example("01-show.response").to_string()).await;
        let request = example("01-show.request");
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": request["access_token_identifier"]})).await;
        same(&documented("01-show"), &shown, &OWNER_SHOWN_TWICE);
    }

    async fn example_02_list(app) {
        app.import("DEMO", &example("02-list.response").to_string()).await;
        for owner in [
            json!({"rewards_participant_identifier": {"number": "115"}}),
            json!({"accounts_receivable_identifier": {"number": "ACR001018"}}),
        ] {
            let listed = app.ok("ListAccessTokens", owner).await;
            same(&documented("02-list"), &listed["access_tokens"], &[]);
        }
    }

    async fn example_03_get_not_associated(app) {
        app.import("DEMO", &example("03-get_not_associated.response").to_string()).await;
        let listed = app.ok("GetNotAssociatedAccessTokens", json!({"number": 5})).await;
        same(&documented("03-get_not_associated"), &listed["access_tokens"], &[]);
    }

    async fn example_04_create(app) {
        let account = documented("04-create")["accounts_receivable"].clone();
        app.import("DEMO", &json!({"accounts_receivable": account}).to_string()).await;
        app.import("DEMO", &json!({"organisation": {"name": "DEMO", "number_prefix": "ACT"}}).to_string()).await;
        let mut request = example("04-create.request");
        request.as_object_mut().expect("an object").remove("token");
        let created = app.ok("CreateAccessToken", request).await;
        same(&documented("04-create"), &created, &["id", "number", "log_information"]);
        assert_eq!(created["number"].as_str().expect("a number").len(), "ACT0000000142".len());
        assert_eq!(created["log_information"]["created_by_user"]["username"], "tester");
        assert_eq!(created["log_information"]["created_date"], created["log_information"]["updated_date"]);
    }

    async fn example_05_create_with_fields_set(app) {
        let account = documented("05-create-fields_set")["accounts_receivable"].clone();
        app.import("DEMO", &json!({"accounts_receivable": account}).to_string()).await;
        let mut request = example("05-create-fields_set.request");
        request.as_object_mut().expect("an object").remove("token");
        let created = app.ok("CreateAccessToken", request).await;
        same(&documented("05-create-fields_set"), &created, &["id", "number"]);
        let keys: Vec<_> = created.as_object().expect("an object").keys().collect();
        assert_eq!(
            keys,
            ["accounts_receivable", "authentication_code", "id", "identifier", "life_cycle_state", "number"]
        );
    }

    async fn example_06_update(app) {
        let code = "CCD4537CA4AD4EE8912FFBAE53110601";
        let before = json!({"authentication_code": code, "identifier": "abc567!"});
        import_before(&app, "06-update", before).await;
        let mut request = example("06-update.request");
        request.as_object_mut().expect("an object").remove("token");
        let updated = app.ok("UpdateAccessToken", request).await;
        same(&documented("06-update"), &updated, &[OWNER_SHOWN_TWICE.as_slice(), &CALLER].concat());
        assert_eq!(updated["log_information"]["updated_by_user"]["username"], "tester");
        app.refused("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": code}}), "ACCESS_TOKEN_NOT_FOUND").await;
        let login = json!({"access_token_identifier": {"credential": {"identifier": "api1test12up", "pass_code": "api11112"}}});
        app.ok("ShowAccessToken", login).await;
    }

    async fn example_07_verify(app) {
        let before = json!({"life_cycle_state": "PENDING_VERIFICATION", "verified_date": null, "verified_by_user": null});
        import_before(&app, "07-verify", before).await;
        let mut request = example("07-verify.request");
        request.as_object_mut().expect("an object").remove("token");
        let verified = app.ok("VerifyAccessToken", request).await;
        same(&documented("07-verify"), &verified, &caller_and(&["verified_date", "verified_by_user"]));
        assert_eq!(verified["verified_by_user"]["username"], "tester");
        assert_eq!(verified["verified_date"], verified["log_information"]["updated_date"]);
    }

    async fn example_08_reset_pass_code(app) {
        app.import("DEMO", &example("08-reset_pass_code.response").to_string()).await;
        let reset = app.ok("ResetPassCode", json!({"authentication_code": "7"})).await;
        same(&documented("08-reset_pass_code"), &reset, &caller_and(&["random_pass_code"]));
        let pass_code = reset["random_pass_code"].as_str().expect("a pass code");
        assert!(pass_code.len() == 6 && pass_code.bytes().all(|b| b.is_ascii_digit()), "six digits");
        let credential = |pass_code: &str| json!({"access_token_identifier": {"credential": {"identifier": "lpapap@example.com", "pass_code": pass_code}}});
        app.ok("ShowAccessToken", credential(pass_code)).await;
        app.refused("ShowAccessToken", credential("967412"), "INVALID_CREDENTIAL").await;
    }

    async fn example_09_reset_verification_code(app) {
        let definition = json!({"organisation": {"definition": {"verification_code_length": 7}}});
        app.import("DEMO", &definition.to_string()).await;
        app.import("DEMO", &example("09-reset_verification_code.response").to_string()).await;
        let reset = app.ok("ResetVerificationCode", json!({"identifier": "36"})).await;
        same(&documented("09-reset_verification_code"), &reset, &caller_and(&["verification_code"]));
        let code = reset["verification_code"].as_str().expect("a code");
        assert!(code.len() == 7 && code != "2264365", "seven new digits");
        let verify = |code: &str| json!({"access_token_identifier": {"authentication_code": "ET"}, "verification_code": code});
        app.refused("VerifyAccessToken", verify("2264365"), "INVALID_VERIFICATION_CODE").await;
        app.ok("VerifyAccessToken", verify(code)).await;
    }

    async fn example_10_generate_otp(app) {
        import_before(&app, "10-generate_otp", json!({"authentication_code": "117"})).await;
        let request = json!({"access_token_identifier": {"authentication_code": "117"}});
        let issued = app.ok("GenerateOtp", request).await;
        same(&documented("10-generate_otp"), &issued, &["one_time_password", "expiration_date"]);
        let code = issued["one_time_password"].as_str().expect("a string");
        assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "six digits");
        let expires = access_tokens_domain::time::parse(issued["expiration_date"].as_str().expect("a date"));
        assert_eq!(expires.expect("a date") - app.now(), chrono::Duration::seconds(300));
    }

    async fn example_11_set_as_effective(app) {
        import_before(&app, "12-set_as_not_effective", json!({})).await;
        let mut request = example("11-set_as_effective.request");
        request.as_object_mut().expect("an object").remove("token");
        let set = app.ok("SetAsEffective", request).await;
        same(&documented("11-set_as_effective"), &set, &[]);
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"number": "AT0000000671"}})).await;
        assert_eq!(shown["life_cycle_state"], "EFFECTIVE");
    }

    async fn example_12_set_as_not_effective(app) {
        import_before(&app, "12-set_as_not_effective", json!({"life_cycle_state": "EFFECTIVE"})).await;
        let request = json!({"access_token_identifier": {"authentication_code": "99021047380"}});
        let set = app.ok("SetAsNotEffective", request).await;
        same(&documented("12-set_as_not_effective"), &set, &caller_and(&[]));
        assert_eq!(set["log_information"]["updated_by_user"]["username"], "tester");
    }
}
