//! The documented examples: the state before each, and the paths that are left out of a comparison.
//!
//! The comparison leaves out generated ids, numbers, codes and dates, the caller, and places where an example contradicts itself. A test of
//! the gateway checks that each path that is left out needs to be.

use access_tokens_testapp::TestApp;
use serde_json::{Value, json};

/// Examples 1 and 6 show one owner twice, the second time with more fields: the fields of both are kept.
const OWNER_SHOWN_TWICE: [&str; 2] = [
    "rewards_participant.accounts_receivable.account_owner.name",
    "rewards_participant.accounts_receivable.account_owner.demographics.country_of_residence",
];

/// The caller and the time are those of the test.
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

/// Each example with the paths (prefixes) that are left out.
pub(crate) const EXAMPLES: [(&str, &[&[&str]]); 12] = [
    ("01-show", &[&OWNER_SHOWN_TWICE]),
    ("02-list", &[]),
    ("03-get_not_associated", &[]),
    ("04-create", &[&["id", "number", "log_information"]]),
    ("05-create-fields_set", &[&["id", "number"]]),
    ("06-update", &[&OWNER_SHOWN_TWICE, &CALLER]),
    ("07-verify", &[&CALLER, &CREATOR_SHOWN_TWICE, &["verified_date", "verified_by_user"]]),
    ("08-reset_pass_code", &[&CALLER, &CREATOR_SHOWN_TWICE, &["random_pass_code"]]),
    ("09-reset_verification_code", &[&CALLER, &CREATOR_SHOWN_TWICE, &["verification_code"]]),
    ("10-generate_otp", &[&["one_time_password", "expiration_date"]]),
    ("11-set_as_effective", &[]),
    ("12-set_as_not_effective", &[&CALLER, &CREATOR_SHOWN_TWICE]),
];

/// Returns the paths that are left out of the comparison with an example.
pub(crate) fn except(name: &str) -> Vec<&'static str> {
    let example = EXAMPLES.iter().find(|(known, _)| *known == name);
    example.unwrap_or_else(|| panic!("there is no example {name}")).1.concat()
}

/// Returns a file of the examples.
pub(crate) fn example(name: &str) -> Value {
    let path = format!("{}/data/examples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the example is in the repository");
    serde_json::from_str(&text).expect("the example is JSON")
}

/// Returns the documented data of an answer.
pub(crate) fn documented(name: &str) -> Value {
    example(&format!("{name}.response"))["data"].clone()
}

/// Imports the state before the call of an example.
pub(crate) async fn import_before(app: &TestApp, name: &str) {
    match name {
        "04-create" | "05-create-fields_set" => {
            let account = documented(name)["accounts_receivable"].clone();
            app.import("DEMO", &json!({"accounts_receivable": account}).to_string()).await;
            app.import("DEMO", &json!({"organisation": {"name": "DEMO", "number_prefix": "ACT"}}).to_string()).await;
        }
        "06-update" => {
            let code = "CCD4537CA4AD4EE8912FFBAE53110601";
            import_with(app, name, json!({"authentication_code": code, "identifier": "abc567!"})).await;
        }
        "07-verify" => {
            let pending = "PENDING_VERIFICATION";
            let before = json!({"life_cycle_state": pending, "verified_date": null, "verified_by_user": null});
            import_with(app, name, before).await;
        }
        "09-reset_verification_code" => {
            let definition = json!({"organisation": {"definition": {"verification_code_length": 7}}});
            app.import("DEMO", &definition.to_string()).await;
            import_answer(app, name).await;
        }
        "10-generate_otp" => import_with(app, name, json!({"authentication_code": "117"})).await,
        // The answer of this example shows neither the state nor the code.
        "11-set_as_effective" => import_answer(app, "12-set_as_not_effective").await,
        "12-set_as_not_effective" => import_with(app, name, json!({"life_cycle_state": "EFFECTIVE"})).await,
        _ => import_answer(app, name).await,
    }
}

async fn import_answer(app: &TestApp, name: &str) {
    app.import("DEMO", &example(&format!("{name}.response")).to_string()).await;
}

/// Imports a documented answer, with some members of its token as they were before the call.
async fn import_with(app: &TestApp, name: &str, before: Value) {
    let mut token = documented(name);
    let object = token.as_object_mut().expect("one token");
    object.extend(before.as_object().expect("an object").clone());
    app.import("DEMO", &json!({ "access_token": token }).to_string()).await;
}
