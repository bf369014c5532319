//! A client without `access_tokens.secrets` has the number of guesses per day that the policy allows. Its other calls do not raise this
//! number.

use std::time::Duration;

use access_tokens_testapp::{Client, TestApp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::fleet::{Door, Outcome};
use crate::on_both_databases;

const ATTEMPTS_PER_DAY: usize = 12;
const POLICY: &str = r#"{"organisation": {"definition": {"lock": {"attempts": 3, "seconds": 60, "attempts_per_day": 12}, "issue": {"burst": 1000, "cooldown_seconds": 0, "per_day": 10000}}}}"#;
const SEQUENCES: usize = 4;
const STEPS_PER_SEQUENCE: usize = 60;

/// The kinds of secrets that are guessed, each with its token.
const KINDS: [(&str, &str); 3] = [("P", "PASS_CODE"), ("O", "ONE_TIME_PASSWORD"), ("V", "VERIFICATION_CODE")];

/// A call that a client with `access_tokens.write` may make between its guesses.
#[derive(Clone, Copy, Debug)]
enum Step {
    Unlock,
    UnlockOneKind,
    OffAndOn,
    NewCode,
    NewFields,
    NewPassCode,
    Forgotten,
    /// The operator issues another code.
    NewSecret,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::Unlock),
        2 => Just(Step::UnlockOneKind),
        2 => Just(Step::OffAndOn),
        1 => Just(Step::NewCode),
        1 => Just(Step::NewFields),
        1 => Just(Step::NewPassCode),
        1 => Just(Step::Forgotten),
        3 => Just(Step::NewSecret),
        1 => prop_oneof![Just(60u64), Just(3_600), Just(20_000)].prop_map(Step::Wait),
    ];
    prop::collection::vec(step, STEPS_PER_SEQUENCE)
}

fn by_id(id: &str, more: Value) -> Value {
    let mut request = json!({"access_token_identifier": {"id": id}});
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request
}

async fn guess(door: &Door, id: &str, kind: &str) {
    let (method, request, reason) = match kind {
        "PASS_CODE" => ("CheckPassCode", by_id(id, json!({"pass_code": "wrong"})), "INVALID_CREDENTIAL"),
        "ONE_TIME_PASSWORD" => ("VerifyOtp", by_id(id, json!({"one_time_password": "x"})), "INVALID_CREDENTIAL"),
        _ => ("VerifyAccessToken", by_id(id, json!({"verification_code": "x"})), "INVALID_VERIFICATION_CODE"),
    };
    assert_eq!(door.call(method, request).await, Outcome::Refused(reason.to_owned()));
}

/// Returns the number of attempts that were refused without a comparison.
async fn refused(operator: &Client, id: &str, kind: &str) -> u64 {
    let explained = operator.ok("ExplainAccessToken", by_id(id, json!({}))).await;
    let secrets = explained["secrets"].as_array().expect("secrets");
    let report = secrets.iter().find(|secret| secret["secret_kind"] == kind).expect("the kind");
    report["refused_attempts"]
        .as_str()
        .map_or_else(|| report["refused_attempts"].as_u64(), |text| text.parse().ok())
        .unwrap_or(0)
}

async fn prepare(app: &TestApp, prefix: &str) {
    let pending = json!({"verification_code": "018342", "life_cycle_state": "PENDING_VERIFICATION"});
    for (id, more) in [("P", json!({"pass_code": "secret"})), ("O", json!({"pass_code": "secret"})), ("V", pending)] {
        let id = format!("{prefix}{id}");
        let mut record = json!({"id": id, "number": id, "authentication_code": id, "identifier": id});
        record.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        app.import("DEMO", &json!({"access_token": record}).to_string()).await;
    }
}

async fn take(app: &TestApp, attacker: &Client, operator: &Client, id: &str, kind: &str, step: Step) {
    let anything = |result| drop::<Result<Value, _>>(result);
    match step {
        Step::Unlock => drop(attacker.ok("UnlockAccessToken", by_id(id, json!({}))).await),
        Step::UnlockOneKind => drop(attacker.ok("UnlockAccessToken", by_id(id, json!({"secret_kinds": [kind]}))).await),
        Step::OffAndOn => {
            anything(attacker.try_call("SetAsNotEffective", by_id(id, json!({}))).await);
            anything(attacker.try_call("SetAsEffective", by_id(id, json!({}))).await);
        }
        Step::NewCode => {
            drop(attacker.ok("UpdateAccessToken", by_id(id, json!({"update_mask": "authentication_code"}))).await)
        }
        Step::NewFields => drop(attacker.ok("UpdateAccessToken", by_id(id, json!({"udf_string_1": "x"}))).await),
        Step::NewPassCode => {
            attacker.ok("UpdateAccessToken", by_id(id, json!({"pass_code": "its own"}))).await;
            anything(attacker.try_call("CheckPassCode", by_id(id, json!({"pass_code": "its own"}))).await);
        }
        Step::Forgotten => anything(attacker.try_call("ForgotPassCode", json!({"identifier": id})).await),
        Step::NewSecret => match kind {
            "PASS_CODE" => drop(operator.ok("ResetPassCode", json!({"identifier": id})).await),
            "ONE_TIME_PASSWORD" => drop(operator.ok("GenerateOtp", by_id(id, json!({}))).await),
            _ => drop(operator.ok("ResetVerificationCode", json!({"identifier": id})).await),
        },
        Step::Wait(seconds) => app.clock.advance(Duration::from_secs(seconds)),
    }
}

const ATTACKER: &str = "access_tokens.read,access_tokens.write";

on_both_databases! {
    async fn nothing_that_writing_allows_brings_more_guesses_a_day(app) {
        app.import("DEMO", POLICY).await;
        let mut runner = TestRunner::deterministic();
        for sequence in 0..SEQUENCES {
            let prefix = format!("{sequence}-");
            prepare(&app, &prefix).await;
            let (token, kind) = KINDS[sequence % KINDS.len()];
            let id = format!("{prefix}{token}");
            let (mut attacker, mut operator) = (app.client("DEMO", ATTACKER).await, app.logged_in_again().await);
            let mut compared = Vec::new();
            let steps = steps().new_tree(&mut runner).expect("steps").current();
            for step in steps {
                if kind == "ONE_TIME_PASSWORD" {
                    operator.ok("GenerateOtp", by_id(&id, json!({}))).await;
                }
                for _ in 0..2 {
                    let before = refused(&operator, &id, kind).await;
                    guess(&Door::Grpc(attacker.clone()), &id, kind).await;
                    if refused(&operator, &id, kind).await == before {
                        compared.push(app.now());
                    }
                }
                take(&app, &attacker, &operator, &id, kind, step).await;
                if matches!(step, Step::Wait(_)) {
                    (attacker, operator) = (app.client("DEMO", ATTACKER).await, app.logged_in_again().await);
                }
            }
            assert!(compared.len() >= ATTEMPTS_PER_DAY / 2, "{kind}: {} were compared", compared.len());
            for first in &compared {
                let day = compared.iter().filter(|at| *at >= first && **at < *first + chrono::Duration::hours(24));
                let day = day.count();
                assert!(day <= ATTEMPTS_PER_DAY, "{kind}: {day} guesses in a day");
            }
        }
    }

    async fn unlocking_begins_a_new_day_only_with_the_right_to_secrets(app) {
        app.import("DEMO", POLICY).await;
        let (grpc, http) = (app.client("DEMO", ATTACKER).await, app.http().await);
        let doors = [Door::Grpc(grpc.clone()), Door::Http(http.with_session(grpc.session()))];
        for (n, door) in doors.iter().enumerate() {
            prepare(&app, &n.to_string()).await;
            for (token, kind) in KINDS {
                let id = format!("{n}{token}");
                if kind == "ONE_TIME_PASSWORD" {
                    app.ok("GenerateOtp", by_id(&id, json!({}))).await;
                }
                let guesses = 40;
                for _ in 0..guesses {
                    guess(door, &id, kind).await;
                    assert_eq!(door.call("UnlockAccessToken", by_id(&id, json!({}))).await, Outcome::Right);
                }
                let compared = guesses - refused(&app, &id, kind).await;
                assert_eq!(compared, ATTEMPTS_PER_DAY as u64 / 2, "{kind}: half of a day's guesses at once");
                app.ok("UnlockAccessToken", by_id(&id, json!({}))).await;
                let before = refused(&app, &id, kind).await;
                guess(door, &id, kind).await;
                assert_eq!(refused(&app, &id, kind).await, before, "a new day");
            }
        }
    }

    /// A token that was imported without an id receives one: its counts stay.
    async fn a_new_id_brings_no_more_guesses(app) {
        app.import("DEMO", POLICY).await;
        let token = json!({"number": "V1", "authentication_code": "V1", "identifier": "v1", "pass_code": "secret"});
        app.import("DEMO", &json!({ "access_token": token }).to_string()).await;
        let named = json!({"access_token_identifier": {"number": "V1"}, "fields_set": "id"});
        let id = app.ok("ShowAccessToken", named).await["id"].as_str().expect("an id").to_owned();
        let record = [json!({"access_token": {"id": "OWN", "number": "V1"}})];
        let door = Door::Grpc(app.client("DEMO", ATTACKER).await);
        for _ in 0..ATTEMPTS_PER_DAY {
            guess(&door, &id, "PASS_CODE").await;
        }
        let before = refused(&app, &id, "PASS_CODE").await;
        assert!(before > 0, "it is locked");
        let writer = app.client("DEMO", "access_tokens.read,directory.write").await;
        let answer = writer.import_directory(&record).await.expect("an answer");
        assert_eq!(answer.results[0].reason().as_str_name(), "PERMISSION_DENIED", "{:?}", answer.results);
        let answer = app.caller().import_directory(&record).await.expect("an answer");
        assert_eq!(answer.updated, 1, "{:?}", answer.results);
        assert_eq!(refused(&app, "OWN", "PASS_CODE").await, before);
        guess(&door, "OWN", "PASS_CODE").await;
        assert_eq!(refused(&app, "OWN", "PASS_CODE").await, before + 1);
    }
}
