//! A one-time password ends with every change of a code, a secret or the state, and with nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_domain::identifier::{AccessTokenIdentifier, Proof, ResetIdentifier};
use access_tokens_domain::notification::{Notification, Notifier};
use access_tokens_domain::service::{AccessTokens, Presented};
use access_tokens_host::SystemRandom;
use access_tokens_proto::descriptor_pool;
use access_tokens_proto::options::methods;
use access_tokens_testapp::TestApp;
use serde_json::{Value, json};

use crate::fleet::{Door, Outcome};
use crate::on_both_databases;

/// The one-time password that an import gives to every token of these tests.
const PASSWORD: &str = "012345";
/// bcrypt of `secret` with cost 4, which is rehashed at its first use.
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// The names of the token of a case.
struct Names {
    id: String,
    code: String,
    login: String,
}

impl Names {
    fn of(case: &str) -> Self {
        Self { id: format!("T-{case}"), code: format!("code {case}"), login: format!("login {case}") }
    }

    fn record(&self, state: &str) -> Value {
        json!({
            "id": self.id, "number": format!("AT {}", self.id), "authentication_code": self.code, "identifier": self.login,
            "pass_code": "secret", "verification_code": "018342", "life_cycle_state": state,
            "one_time_password": PASSWORD, "expiration_date": "2100-01-01T00:00:00",
            "log_information": {"updated_date": "2020-01-01T00:00:00"},
        })
    }

    fn by_id(&self, more: Value) -> Value {
        let mut request = json!({"access_token_identifier": {"id": self.id}});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    }

    fn by_credential(&self, proof: &str, secret: &str) -> Value {
        json!({"access_token_identifier": {"credential": {"identifier": self.login, proof: secret}}})
    }
}

/// The effect of a call on the one-time password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Ends,
    Stays,
}

/// A call and its effect. `refused` is the reason if it does not succeed.
struct Case {
    method: &'static str,
    state: &'static str,
    request: fn(&Names) -> Value,
    refused: &'static str,
    then: Then,
}

const fn case(method: &'static str, state: &'static str, request: fn(&Names) -> Value, then: Then) -> Case {
    Case { method, state, request, refused: "", then }
}

const ON: &str = "EFFECTIVE";
const OFF: &str = "NOT_EFFECTIVE";
const PENDING: &str = "PENDING_VERIFICATION";

/// Every method that has a body and names one token, with every change that it can make.
const CASES: &[Case] = &[
    case("ResetPassCode", ON, |t| json!({"identifier": t.login}), Then::Ends),
    case("ChangePassCode", ON, |t| t.by_id(json!({"pass_code": "secret", "new_pass_code": "another"})), Then::Ends),
    case(
        "ChangePassCode",
        ON,
        |t| t.by_id(json!({"one_time_password": PASSWORD, "new_pass_code": "other"})),
        Then::Ends,
    ),
    case("SetAsNotEffective", ON, |t| t.by_id(json!({})), Then::Ends),
    case("SetAsNotEffective", ON, |t| t.by_credential("pass_code", "secret"), Then::Ends),
    case("SetAsEffective", OFF, |t| t.by_id(json!({})), Then::Ends),
    case("VerifyAccessToken", PENDING, |t| t.by_id(json!({"verification_code": "018342"})), Then::Ends),
    case(
        "VerifyAccessToken",
        PENDING,
        |t| t.by_id(json!({"verification_code": "018342", "pass_code": "another"})),
        Then::Ends,
    ),
    case("ResetVerificationCode", PENDING, |t| json!({"authentication_code": t.code}), Then::Ends),
    case("UpdateAccessToken", ON, |t| t.by_id(json!({"authentication_code": format!("new {}", t.code)})), Then::Ends),
    case("UpdateAccessToken", ON, |t| t.by_id(json!({"update_mask": "authentication_code"})), Then::Ends),
    case("UpdateAccessToken", ON, |t| t.by_id(json!({"pass_code": "another"})), Then::Ends),
    case("UpdateAccessToken", ON, |t| t.by_id(json!({"update_mask": "identifier"})), Then::Ends),
    case(
        "UpdateAccessToken",
        ON,
        |t| t.by_id(json!({"identifier": format!("new {}", t.login), "pass_code": "another"})),
        Then::Ends,
    ),
    case(
        "UpdateAccessToken",
        ON,
        |t| json!({"access_token_identifier": {"credential": {"identifier": t.login, "pass_code": "secret"}}, "udf_string_1": "x", "pass_code": "another"}),
        Then::Ends,
    ),
    case("GenerateOtp", ON, |t| t.by_id(json!({})), Then::Ends),
    case("VerifyOtp", ON, |t| t.by_id(json!({"one_time_password": PASSWORD})), Then::Ends),
    case("ShowAccessToken", ON, |t| t.by_credential("one_time_password", PASSWORD), Then::Ends),
    case("ShowAccessToken", ON, |t| t.by_id(json!({})), Then::Stays),
    case("ShowAccessToken", ON, |t| t.by_credential("pass_code", "secret"), Then::Stays),
    case("CheckPassCode", ON, |t| t.by_id(json!({"pass_code": "secret"})), Then::Stays),
    case("ExplainAccessToken", ON, |t| t.by_id(json!({})), Then::Stays),
    case("UnlockAccessToken", ON, |t| t.by_id(json!({})), Then::Stays),
    case("UpdateAccessToken", ON, |t| t.by_id(json!({"udf_string_1": "x", "udf_float_1": 1.0})), Then::Stays),
    case("UpdateAccessToken", ON, |t| t.by_id(json!({"card_masked_number": "************4242"})), Then::Stays),
    case("UpdateAccessToken", ON, |t| t.by_id(json!({"update_mask": "udf_string_1,card_masked_number"})), Then::Stays),
    case("CreateAccessToken", ON, |_| json!({}), Then::Stays),
    refused("ForgotPassCode", |t| json!({"identifier": t.login}), "NOTIFICATIONS_DISABLED"),
    refused("SetAsEffective", |t| t.by_id(json!({})), "WRONG_LIFE_CYCLE_STATE"),
    refused("ResetVerificationCode", |t| json!({"identifier": t.login}), "WRONG_LIFE_CYCLE_STATE"),
    refused("VerifyAccessToken", |t| t.by_id(json!({"verification_code": "018342"})), "WRONG_LIFE_CYCLE_STATE"),
    refused("CheckPassCode", |t| t.by_id(json!({"pass_code": "wrong"})), "INVALID_CREDENTIAL"),
    refused("VerifyOtp", |t| t.by_id(json!({"one_time_password": "999999"})), "INVALID_CREDENTIAL"),
    refused("ChangePassCode", |t| t.by_id(json!({"pass_code": "secret", "new_pass_code": "no"})), "POLICY_VIOLATION"),
    refused(
        "ChangePassCode",
        |t| t.by_id(json!({"one_time_password": PASSWORD, "new_pass_code": "no"})),
        "POLICY_VIOLATION",
    ),
    refused("UpdateAccessToken", |t| t.by_id(json!({"identifier": "x"})), "REQUIRED_FIELD_MISSING"),
    refused(
        "UpdateAccessToken",
        |t| t.by_id(json!({"authentication_code": "taken"})),
        "AUTHENTICATION_CODE_ALREADY_EXISTS",
    ),
];

const fn refused(method: &'static str, request: fn(&Names) -> Value, reason: &'static str) -> Case {
    Case { method, state: ON, request, refused: reason, then: Then::Stays }
}

/// A record that changes a token, with its name and its effect on the one-time password.
type RecordCase = (&'static str, fn(&Names) -> Value, Then);

/// The effects of records. Their date is later than that of the stored token.
const RECORDS: &[RecordCase] = &[
    ("state", |_| json!({"life_cycle_state": OFF}), Then::Ends),
    ("pass code", |_| json!({"pass_code": "another"}), Then::Ends),
    ("hash", |_| json!({"pass_code_hash": BCRYPT}), Then::Ends),
    ("verification code", |_| json!({"verification_code": "555555"}), Then::Ends),
    ("authentication code", |t| json!({"authentication_code": format!("new {}", t.code)}), Then::Ends),
    ("identifier", |t| json!({"identifier": format!("new {}", t.login)}), Then::Ends),
    ("fields", |_| json!({"udf_string_1": "x", "card_masked_number": "************4242"}), Then::Stays),
    ("the same", |t| json!({"authentication_code": t.code, "life_cycle_state": ON}), Then::Stays),
    // The effect must not reveal whether a secret is the stored one.
    ("the same pass code", |_| json!({"pass_code": "secret"}), Then::Ends),
    (
        "its own",
        |_| json!({"pass_code": "another", "one_time_password": PASSWORD, "expiration_date": "2100-01-01T00:00:00"}),
        Then::Stays,
    ),
];

/// Checks the effect of a case, by presenting the one-time password.
async fn end_of(app: &TestApp, door: &Door, names: &Names, then: Then, case: &str) {
    let explained = app.ok("ExplainAccessToken", names.by_id(json!({}))).await;
    let secrets = explained["secrets"].as_array().expect("secrets");
    let report = secrets.iter().find(|secret| secret["secret_kind"] == "ONE_TIME_PASSWORD").expect("the kind");
    // After GenerateOtp a new one has replaced it.
    if case != "GenerateOtp" {
        let set = report.get("set").and_then(Value::as_bool).unwrap_or_default();
        assert_eq!(set, then == Then::Stays, "after {case}");
    }
    // The token is effective again, so that the one-time password would be accepted if it were still valid.
    let on = json!({"access_token": {"id": names.id, "life_cycle_state": ON, "log_information": {"updated_date": "2099-01-01T00:00:00"}}});
    if then == Then::Ends {
        app.import("DEMO", &on.to_string()).await;
    }
    let outcome = door.call("VerifyOtp", names.by_id(json!({"one_time_password": PASSWORD}))).await;
    let expected = match then {
        Then::Ends => Outcome::Refused("INVALID_CREDENTIAL".to_owned()),
        Then::Stays => Outcome::Right,
    };
    assert_eq!(outcome, expected, "after {case}");
}

#[derive(Default)]
struct Outbox(Mutex<Vec<Notification>>);

impl Notifier for Outbox {
    fn delivers(&self) -> bool {
        true
    }

    fn notify(&self, notification: Notification) {
        self.0.lock().expect("not poisoned").push(notification);
    }
}

#[test]
fn every_method_is_in_the_table() {
    let names_a_token = |message: &str| {
        let message = descriptor_pool().get_message_by_name(message).expect("a message of the contract");
        ["access_token_identifier", "authentication_code"].iter().any(|name| message.get_field_by_name(name).is_some())
    };
    let all = methods().iter().filter(|method| names_a_token(&method.input));
    let all: BTreeSet<_> =
        all.filter_map(|m| m.grpc_path.strip_prefix("/accesstoken.v1.AccessTokenService/")).collect();
    let tested: BTreeSet<_> = CASES.iter().map(|case| case.method).collect();
    assert_eq!(all, tested, "say of each new method whether it ends a one-time password");
}

on_both_databases! {
    async fn a_change_of_a_code_a_secret_or_the_state_ends_a_one_time_password(app) {
        app.import("DEMO", r#"{"access_token": {"id": "other", "number": "AT other", "authentication_code": "taken"}}"#).await;
        let doors = [("gRPC", Door::Grpc(app.caller().clone())), ("HTTP", Door::Http(app.http().await))];
        for (n, case) in CASES.iter().enumerate() {
            for (name, door) in &doors {
                let names = Names::of(&format!("{n}-{name}"));
                app.import("DEMO", &json!({"access_token": names.record(case.state)}).to_string()).await;
                let outcome = door.call(case.method, (case.request)(&names)).await;
                let expected = match case.refused {
                    "" => Outcome::Right,
                    reason => Outcome::Refused(reason.to_owned()),
                };
                let told = format!("case {n}, {} over {name}", case.method);
                assert_eq!(outcome, expected, "{told}");
                let told = if case.method == "GenerateOtp" { case.method } else { &told };
                end_of(&app, door, &names, case.then, told).await;
            }
        }
    }

    async fn a_record_that_changes_a_code_or_the_state_ends_it_too(app) {
        let door = Door::Grpc(app.caller().clone());
        for (n, (what, change, then)) in RECORDS.iter().enumerate() {
            let names = Names::of(&format!("record-{n}"));
            app.import("DEMO", &json!({"access_token": names.record(ON)}).to_string()).await;
            let mut record = change(&names);
            record["id"] = json!(names.id);
            record["log_information"] = json!({"updated_date": "2098-01-01T00:00:00"});
            app.import("DEMO", &json!({"access_token": record}).to_string()).await;
            end_of(&app, &door, &names, *then, what).await;
        }
    }

    async fn hashing_a_pass_code_anew_is_no_change(app) {
        let names = Names::of("anew");
        let mut record = names.record(ON);
        record.as_object_mut().expect("an object").remove("pass_code");
        record["pass_code_hash"] = json!(BCRYPT);
        app.import("DEMO", &json!({"access_token": record}).to_string()).await;
        app.ok("CheckPassCode", names.by_id(json!({"pass_code": "secret"}))).await;
        end_of(&app, &Door::Grpc(app.caller().clone()), &names, Then::Stays, "hashing anew").await;
    }

    async fn one_that_was_sent_to_the_owner_ends_likewise(app) {
        let names = Names::of("forgotten");
        app.import("DEMO", &json!({"access_token": names.record(ON)}).to_string()).await;
        let outbox = Arc::new(Outbox::default());
        let tokens = AccessTokens::new(app.database.clone(), app.clock.clone(), Arc::new(SystemRandom), app.secrets());
        let tokens = tokens.with_notifier(outbox.clone());
        let caller = app.direct_caller("access_tokens.write").await;
        let verify = async || {
            let sent = outbox.0.lock().expect("not poisoned").pop().expect("one was sent");
            let proof = Some(Proof::OneTimePassword(sent.secret));
            let presented = Presented { identifier: AccessTokenIdentifier::Id(names.id.clone()), proof };
            tokens.verify_otp(&caller, &presented, &FieldSelection::All).await.is_ok()
        };
        let forget = async || {
            let identifier = ResetIdentifier::Identifier(names.login.clone());
            tokens.forgot_pass_code(&caller, &identifier).await.expect("sent");
        };
        forget().await;
        assert!(verify().await);
        for (method, request) in [
            ("ResetPassCode", json!({"identifier": names.login})),
            ("UpdateAccessToken", names.by_id(json!({"update_mask": "authentication_code"}))),
        ] {
            forget().await;
            app.ok(method, request).await;
            assert!(!verify().await, "after {method}");
        }
    }
}
