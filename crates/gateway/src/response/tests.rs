//! The documented answers, written from their messages.

use std::collections::BTreeSet;
use std::path::Path;

use access_tokens_proto::descriptor_pool;
use access_tokens_proto::json::from_value;
use access_tokens_proto::v1::{
    AccessToken, ExplainAccessTokenResponse, ForgotPassCodeResponse, GenerateOtpResponse,
    GetNotAssociatedAccessTokensResponse, ListAccessTokensResponse, ListGuessBudgetsResponse, LoginResponse,
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

/// Returns the value with the names and the form of dates of the contract.
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

fn envelope<M: Message + Name>(message: &M, release: Release, zone: TimeZone, paths: &[&str]) -> Envelope {
    let descriptor = descriptor_pool().get_message_by_name(&M::full_name()).expect("in the contract");
    let mut plans = Plans::default();
    let plan = ResponsePlan::new(&descriptor, &mut plans, release);
    let paths: Vec<_> = paths.iter().map(|path| find(&plans, plan.item, path).expect("known")).collect();
    let wire = message.encode_to_vec();
    plan.envelope(&plans, zone, &wire, &select(&paths)).expect("well-formed")
}

fn written<M: Message + Name>(message: &M, release: Release, paths: &[&str]) -> Value {
    serde_json::from_slice(&envelope(message, release, TimeZone::UTC, paths).json).expect("JSON")
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

/// Checks one documented example in its release. `gaps` are the keys that the release has and the example lacks.
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
    const RESIDENCE: &str = "account_owner.demographics.country_of_residence";
    let residence = |owner: &str| format!(".data.{owner}.{RESIDENCE}");
    let (participant, account) =
        (residence("reward_participant.accounts_receivable"), residence("accounts_receivable"));
    let creator = ".data.log_information.created_by_user.email";
    let updater = ".data.log_information.updated_by_user.email";
    let verifier = ".data.verified_by_user.email";
    let community = ".data.log_information.created_by_unit.community_name";
    let group = ".data.log_information.created_by_unit.group_name";

    check::<AccessToken>("01-show", "R8", None, &[], &[&participant]);
    check::<ListAccessTokensResponse>("02-list", "R10", Some("access_tokens"), &[], &[]);
    check::<GetNotAssociatedAccessTokensResponse>("03-get_not_associated", "R8", Some("access_tokens"), &[], &[]);
    check::<AccessToken>("04-create", "R8", None, &[], &[&account, creator, updater]);
    let set = ["id", "number", "life_cycle_state", "authentication_code", "identifier", "accounts_receivable"];
    check::<AccessToken>("05-create-fields_set", "R10", None, &set, &[]);
    check::<AccessToken>("06-update", "R8", None, &[], &[updater, &participant]);
    check::<AccessToken>("07-verify", "R9", None, &[], &[updater, verifier]);
    let gaps = [community, group, creator, updater];
    check::<ResetPassCodeResponse>("08-reset_pass_code", "R9", None, &[], &gaps);
    check::<ResetVerificationCodeResponse>("09-reset_verification_code", "R12", None, &[], &gaps);
    check::<GenerateOtpResponse>("10-generate_otp", "R13", None, &[], &[]);
    let set = ["verified_by_user", "number", "rewards_participant", "accounts_receivable"];
    check::<AccessToken>("11-set_as_effective", "R13.1", None, &set, &[]);
    check::<AccessToken>("12-set_as_not_effective", "R13.1", None, &[], &[]);
}

const LAST: Release = Release::new(18, 0, 0);

#[test]
fn every_documented_key_is_there_and_null_where_nothing_is_set() {
    let empty = written(&AccessToken::default(), LAST, &[]);
    let token = descriptor_pool().get_message_by_name("accesstoken.v1.AccessToken").expect("the token");
    let nulls: Value = token.fields().map(|field| (field.name().to_owned(), Value::Null)).collect();
    assert_eq!(empty["data"], nulls);
    assert_eq!(empty["status"], json!({"code": "OK", "description": "", "message": ""}));
}

#[test]
fn dates_of_which_parts_may_be_unknown_are_never_null() {
    let person = message::<AccessToken>(&json!({"accounts_receivable": {"account_owner": {"demographics": {}}}}));
    let demographics = &written(&person, LAST, &[])["data"]["accounts_receivable"]["account_owner"]["demographics"];
    assert_eq!(demographics["date_of_birth"], json!({"day": null, "month": null, "year": null}));
    assert_eq!(demographics["name_day"], json!({"day": null, "month": null}));
    assert_eq!(demographics["industry"], Value::Null);
    let company = message::<AccessToken>(&json!({"accounts_receivable": {"account_owner": {"type": "COMPANY"}}}));
    let owner = &written(&company, LAST, &[])["data"]["accounts_receivable"]["account_owner"];
    assert_eq!((&owner["demographics"], &owner["type"]), (&Value::Null, &json!("COMPANY")));
}

#[test]
fn exactly_the_selected_keys_are_written() {
    let token = message::<AccessToken>(&json!({
        "id": "1", "number": "AT1", "accounts_receivable": {"number": "ACR1", "account_owner": {"name": "N"}},
    }));
    let data = |paths: &[&str]| written(&token, LAST, paths)["data"].clone();
    assert_eq!(data(&["number", "verified_date"]), json!({"number": "AT1", "verified_date": null}));
    assert_eq!(
        data(&["accounts_receivable.account_owner.name"]),
        json!({"accounts_receivable": {"account_owner": {"name": "N"}}})
    );
    assert_eq!(data(&["rewards_participant.number"]), json!({"rewards_participant": null}));
    let inner = json!({"demographics": null});
    assert_eq!(
        data(&["accounts_receivable.account_owner.demographics.name_day"])["accounts_receivable"]["account_owner"],
        inner
    );
    let list = ListAccessTokensResponse { access_tokens: vec![token.clone(), token], ..Default::default() };
    assert_eq!(written(&list, LAST, &["id"])["data"], json!([{"id": "1"}, {"id": "1"}]));
}

#[test]
fn data_is_a_list_an_object_or_absent() {
    assert_eq!(written(&ListAccessTokensResponse::default(), LAST, &[])["data"], json!([]));
    let login = LoginResponse { token: "t".to_owned() };
    assert_eq!(written(&login, LAST, &[])["data"], json!({"token": "t"}));
    let released = envelope(&ReleaseTokenResponse {}, LAST, TimeZone::UTC, &[]).json;
    assert_eq!(released, br#"{"status":{"code":"OK","description":"","message":""}}"#);
    assert_eq!(envelope(&ForgotPassCodeResponse {}, LAST, TimeZone::UTC, &[]).json, released);
}

#[test]
fn an_answer_with_lists_among_other_fields_is_an_object() {
    let explained = ExplainAccessTokenResponse::default();
    let data = written(&explained, LAST, &[])["data"].clone();
    let nothing = json!({
        "access_token": null, "explained_date": null, "usable": null, "obstacles": [], "locks_disclosed": null,
        "secrets": [], "actions": [], "guess_budget": null,
    });
    assert_eq!(data, nothing);
    let explained = message::<ExplainAccessTokenResponse>(&json!({
        "access_token": {"number": "AT1"},
        "explained_date": "2024-01-02T03:04:05",
        "obstacles": [{"kind": "LOCKED", "secret_kind": "PASS_CODE", "affects": ["PASS_CODE"], "description": "d"}],
        "secrets": [{
            "secret_kind": "PASS_CODE",
            "set": true,
            "lock": {"state": "LOCKED_UNTIL_UNLOCKED", "cause": "HARD_LIMIT", "failed_attempts": 100},
            "recent_attempts": [{"date": "2024-01-02T03:04:05"}],
        }],
    }));
    let written = |paths: &[&str]| written(&explained, LAST, paths)["data"].clone();
    let lock =
        json!({"state": "LOCKED_UNTIL_UNLOCKED", "cause": "HARD_LIMIT", "failed_attempts": 100, "locked_until": null});
    assert_eq!(written(&["secrets"])["secrets"][0]["lock"], lock);
    let attempt = json!({"date": "2024-01-02T03:04:05", "right": null, "user_id": null});
    assert_eq!(written(&["secrets"])["secrets"][0]["recent_attempts"], json!([attempt]));
    let obstacle = json!({
        "kind": "LOCKED", "secret_kind": "PASS_CODE", "affects": ["PASS_CODE"], "since": null, "until": null,
        "mended_by": null, "description": "d",
    });
    assert_eq!(written(&["obstacles"]), json!({"obstacles": [obstacle]}));
    let some = written(&["access_token.number", "usable"]);
    assert_eq!(some, json!({"access_token": {"number": "AT1"}, "usable": null}));
}

#[test]
fn a_list_may_hold_lists() {
    let list = message::<ListGuessBudgetsResponse>(&json!({
        "guess_budgets": [{"chance_per_day": 3e-4, "limit": 1e-3, "secrets": [{"secret_kind": "PASS_CODE", "codes": 1e6}]}],
    }));
    let secret = json!({
        "secret_kind": "PASS_CODE", "guesses_per_day": 0, "codes": 1e6, "chance_per_day": 0, "weaker_secrets": null,
        "weaker_chance_per_day": null,
    });
    let expected = json!([{
        "classification_id": null, "classification_name": null, "chance_per_day": 3e-4, "limit": 1e-3,
        "secrets": [secret], "arithmetic": null, "chosen_codes_bounded": null,
    }]);
    assert_eq!(written(&list, LAST, &[])["data"], expected);
    assert_eq!(written(&list, LAST, &["limit"])["data"], json!([{"limit": 1e-3}]));
}

#[test]
fn what_gets_the_next_page_is_not_in_the_envelope() {
    let page = |token: &str| {
        let list = ListAccessTokensResponse { next_page_token: token.to_owned(), ..Default::default() };
        let envelope = envelope(&list, LAST, TimeZone::UTC, &[]);
        assert_eq!(envelope.json, br#"{"data":[],"status":{"code":"OK","description":"","message":""}}"#);
        envelope.next_page
    };
    assert_eq!((page("more").as_deref(), page("")), (Some("more"), None));
}

#[test]
fn values_have_their_documented_forms() {
    let mut token = message::<AccessToken>(&json!({
        "udf_float_1": 1.5, "udf_float_2": -0.0, "udf_string_1": "\"\u{1}\u{2028}é\u{1f600}",
        "accounts_receivable": {"account_owner": {"company_profile": {"profile_year": -1, "number_of_employees": 9007199254740993_i64}}},
    }));
    token.udf_float_3 = Some(f64::NAN);
    token.life_cycle_state = 99;
    let data = &written(&token, LAST, &[])["data"];
    assert_eq!((&data["udf_float_1"], &data["udf_float_3"]), (&json!(1.5), &Value::Null));
    assert_eq!(data["udf_string_1"], "\"\u{1}\u{2028}é\u{1f600}");
    assert_eq!(data["life_cycle_state"], Value::Null, "a state that this contract does not know");
    let profile = &data["accounts_receivable"]["account_owner"]["company_profile"];
    assert_eq!(
        (&profile["profile_year"], &profile["number_of_employees"]),
        (&json!(-1), &json!(9_007_199_254_740_993_i64))
    );
}

#[test]
fn dates_are_written_in_the_zone() {
    let token = message::<AccessToken>(&json!({"verified_date": "2015-05-27T12:03:05"}));
    let json =
        String::from_utf8(envelope(&token, LAST, TimeZone::Asia__Nicosia, &["verified_date"]).json).expect("UTF-8");
    assert!(json.contains(r#""verified_date":"2015-05-27T15:03:05""#), "{json}");
}

#[test]
fn fields_of_a_later_contract_are_skipped_and_broken_bytes_refused() {
    let descriptor = descriptor_pool().get_message_by_name("accesstoken.v1.AccessToken").expect("the token");
    let mut plans = Plans::default();
    let plan = ResponsePlan::new(&descriptor, &mut plans, LAST);
    let write = |wire: &[u8]| plan.envelope(&plans, TimeZone::UTC, wire, &Selection::All).map(|envelope| envelope.json);
    let mut later = AccessToken { id: "1".to_owned(), ..Default::default() }.encode_to_vec();
    let plain = write(&later).expect("well-formed");
    // Field 1000 as a varint, 1001 as a text, 1002 as 32 bits.
    later.extend([0xc0, 0x3e, 7, 0xca, 0x3e, 1, b'x', 0xd5, 0x3e, 1, 2, 3, 4]);
    assert_eq!(write(&later).expect("well-formed"), plain);
    for broken in [&[0x0a, 5, b'x'][..], &[0x0a], &[0x08, 1], &[0x0a, 1, 0xff], &[0x03], &[0xff; 11], &[0]] {
        assert_eq!(write(broken), Err(Malformed), "{broken:?}");
    }
}

/// Everything that is not null.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let set = members.iter().filter(|(_, value)| !value.is_null());
            set.map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

proptest::proptest! {
    /// Two ways to JSON, made apart, agree on every value.
    #[test]
    fn what_is_written_is_what_the_message_says(
        text in "\\PC*", code: Option<String>, float in proptest::option::of(-1e300f64..1e300), state in 0..4i32,
        seconds in proptest::option::of(-62_135_596_800i64..253_402_300_799), employees: Option<i64>, year: Option<i32>,
    ) {
        use access_tokens_proto::v1::{AccountsReceivable, CompanyProfile, ContactInformation};
        let profile = CompanyProfile { number_of_employees: employees, profile_year: year, ..Default::default() };
        let profile = Some(Box::new(profile));
        let owner = ContactInformation { name: Some(text.clone()), company_profile: profile, ..Default::default() };
        let account = AccountsReceivable { account_owner: Some(Box::new(owner)), ..Default::default() };
        let token = AccessToken {
            id: text,
            identifier: code,
            udf_float_1: float,
            life_cycle_state: state,
            verified_date: seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            accounts_receivable: Some(Box::new(account)),
            ..Default::default()
        };
        let mut expected = access_tokens_proto::json::to_value(&token);
        if let Some(date) = expected.get_mut("verified_date") {
            *date = json!(date.as_str().expect("text").trim_end_matches('Z'));
        }
        // The parser of serde_json rounds the last digit of some numbers; so both sides go through it.
        let expected: Value = serde_json::from_str(&expected.to_string()).expect("JSON");
        proptest::prop_assert_eq!(without_nulls(&written(&token, LAST, &[])["data"]), expected);
    }

    #[test]
    fn any_bytes_are_written_or_refused(wire: Vec<u8>) {
        let descriptor = descriptor_pool().get_message_by_name("accesstoken.v1.ListAccessTokensResponse").expect("the list");
        let mut plans = Plans::default();
        let plan = ResponsePlan::new(&descriptor, &mut plans, LAST);
        if let Ok(envelope) = plan.envelope(&plans, TimeZone::UTC, &wire, &Selection::All) {
            proptest::prop_assert!(serde_json::from_slice::<Value>(&envelope.json).is_ok());
        }
    }
}
