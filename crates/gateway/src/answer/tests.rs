//! The documented answers, written from their messages.

use std::collections::BTreeSet;
use std::path::Path;

use access_tokens_proto::descriptor_pool;
use access_tokens_proto::json::from_value;
use access_tokens_proto::v1::{
    AccessToken, GenerateOtpResponse, GetNotAssociatedAccessTokensResponse, ListAccessTokensResponse, LoginResponse,
    ReleaseTokenResponse, ResetPassCodeResponse, ResetVerificationCodeResponse,
};
use prost::{Message, Name};
use serde_json::{Value, json};

use super::*;

fn example(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/examples").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// One form for dates, as the documentation has two.
fn with_one_form_of_dates(value: &mut Value) {
    match value {
        Value::String(text) if text == "Fri Nov 27 16:08:55 EET 2015" => *text = "2015-11-27T14:08:55".to_owned(),
        Value::Object(members) => members.values_mut().for_each(with_one_form_of_dates),
        Value::Array(items) => items.iter_mut().for_each(with_one_form_of_dates),
        _ => {}
    }
}

/// The same value with the names and the dates of the contract.
fn in_terms_of_the_contract(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() == 19 && text.as_bytes()[10] == b'T' => json!(format!("{text}Z")),
        Value::Object(members) => {
            let name = |key: &str| if key == "reward_participant" { "rewards_participant" } else { key }.to_owned();
            members.iter().map(|(key, value)| (name(key), in_terms_of_the_contract(value))).collect()
        }
        Value::Array(items) => items.iter().map(in_terms_of_the_contract).collect(),
        other => other.clone(),
    }
}

fn message<M: Message + Name + Default>(data: &Value) -> M {
    from_value(&in_terms_of_the_contract(data)).expect("a message of the contract")
}

fn envelope<M: Message + Name>(message: &M, release: Release, zone: Tz, paths: &[&str]) -> Envelope {
    let descriptor = descriptor_pool().get_message_by_name(&M::full_name()).expect("in the contract");
    let mut plans = Plans::default();
    let plan = AnswerPlan::new(&descriptor, &mut plans, release);
    let paths: Vec<_> = paths.iter().map(|path| find(&plans, plan.item, path).expect("known")).collect();
    let wire = message.encode_to_vec();
    plan.envelope(&plans, zone, &wire, &select(&paths)).expect("well-formed")
}

fn written<M: Message + Name>(message: &M, release: Release, paths: &[&str]) -> Value {
    serde_json::from_slice(&envelope(message, release, Tz::UTC, paths).json).expect("JSON")
}

/// Everything that is documented must be written as documented. Returns the paths of what is written besides, all of
/// which is null.
fn besides(documented: &Value, written: &Value, path: &str, found: &mut BTreeSet<String>) {
    match (documented, written) {
        (Value::Object(documented), Value::Object(written)) => {
            for (key, value) in documented {
                besides(value, &written[key], &format!("{path}.{key}"), found);
            }
            for (key, value) in written.iter().filter(|(key, _)| !documented.contains_key(*key)) {
                assert!(value.is_null(), "{path}.{key} is not documented, but {value}");
                found.insert(format!("{path}.{key}"));
            }
        }
        (Value::Array(documented), Value::Array(written)) => {
            assert_eq!(documented.len(), written.len());
            documented.iter().zip(written).for_each(|(d, w)| besides(d, w, path, found));
        }
        _ => assert_eq!(documented, written, "{path}"),
    }
}

/// Checks one example in the release that it shows. `gaps` are the keys that it leaves out of what its release has.
fn check<M: Message + Name + Default>(name: &str, release: &str, list: Option<&str>, paths: &[&str], gaps: &[&str]) {
    let mut documented = example(&format!("{name}.response"));
    with_one_form_of_dates(&mut documented);
    let data = list.map_or_else(|| documented["data"].clone(), |field| json!({ field: documented["data"].clone() }));
    let written = written(&message::<M>(&data), release.parse().expect("a release"), paths);
    let mut found = BTreeSet::new();
    besides(&documented, &written, "", &mut found);
    let found: Vec<_> = found.into_iter().collect();
    assert_eq!(found, gaps, "{name}");
}

#[test]
fn the_documented_answers_are_written_as_documented() {
    check::<AccessToken>("01-show", "R8", None, &[], &[
        ".data.reward_participant.accounts_receivable.account_owner.demographics.country_of_residence",
    ]);
    check::<ListAccessTokensResponse>("02-list", "R10", Some("access_tokens"), &[], &[]);
    check::<GetNotAssociatedAccessTokensResponse>("03-get_not_associated", "R8", Some("access_tokens"), &[], &[]);
    check::<AccessToken>("04-create", "R8", None, &[], &[]);
    let set = ["id", "number", "life_cycle_state", "authentication_code", "identifier", "accounts_receivable"];
    check::<AccessToken>("05-create-fields_set", "R10", None, &set, &[]);
    check::<AccessToken>("06-update", "R8", None, &[], &[]);
    check::<AccessToken>("07-verify", "R9", None, &[], &[]);
    check::<ResetPassCodeResponse>("08-reset_pass_code", "R9", None, &[], &[]);
    check::<ResetVerificationCodeResponse>("09-reset_verification_code", "R12", None, &[], &[]);
    check::<GenerateOtpResponse>("10-generate_otp", "R13", None, &[], &[]);
    let set = ["verified_by_user", "number", "rewards_participant", "accounts_receivable"];
    check::<AccessToken>("11-set_as_effective", "R13.1", None, &set, &[]);
    check::<AccessToken>("12-set_as_not_effective", "R13.1", None, &[], &[]);
}
