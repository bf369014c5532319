//! The life cycle of one token, called over gRPC in random sequences, against a plain model of its rules.

use std::time::Duration;

use access_tokens_domain::policy::LockPolicy;
use access_tokens_testapp::Client;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::plain_lock::{Moment, PlainLock};

const TOKEN_COUNT: usize = 24;
const CALLS_PER_TOKEN: usize = 40;

#[derive(Clone, Copy, Debug)]
enum Call {
    Verify { right: bool },
    ResetVerificationCode,
    SetAsEffective,
    SetAsNotEffective,
    CheckPassCode { right: bool },
    ChangePassCode { right: bool },
    ResetPassCode,
    GenerateOtp,
    VerifyOtp { right: bool },
    ChangeByOtp { right: bool },
    Unlock,
    Wait(u64),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let right = || prop::bool::weighted(0.4);
    let call = prop_oneof![
        4 => right().prop_map(|right| Call::Verify { right }),
        1 => Just(Call::ResetVerificationCode),
        2 => Just(Call::SetAsEffective),
        2 => Just(Call::SetAsNotEffective),
        4 => right().prop_map(|right| Call::CheckPassCode { right }),
        3 => right().prop_map(|right| Call::ChangePassCode { right }),
        1 => Just(Call::ResetPassCode),
        3 => Just(Call::GenerateOtp),
        5 => right().prop_map(|right| Call::VerifyOtp { right }),
        2 => right().prop_map(|right| Call::ChangeByOtp { right }),
        1 => Just(Call::Unlock),
        2 => prop_oneof![Just(60u64), Just(299), Just(300), Just(900), Just(100_000)].prop_map(Call::Wait),
    ];
    prop::collection::vec(call, CALLS_PER_TOKEN)
}

/// The token according to the rules.
struct Model {
    now: Moment,
    state: &'static str,
    verification_code: String,
    pass_code: String,
    otp: Option<(String, Moment)>,
    verification_lock: PlainLock,
    pass_code_lock: PlainLock,
    otp_lock: PlainLock,
}

/// The expected result of a call: success, or the reason of the refusal.
type Expected = Result<(), &'static str>;

impl Model {
    fn attempt(lock: &mut PlainLock, now: Moment, right: bool) -> bool {
        lock.attempt(&LockPolicy::default(), now, right) && right
    }

    fn require(&self, state: &str) -> Expected {
        if self.state == state { Ok(()) } else { Err("WRONG_LIFE_CYCLE_STATE") }
    }

    fn verify(&mut self, right: bool) -> Expected {
        self.require("PENDING_VERIFICATION")?;
        if !Self::attempt(&mut self.verification_lock, self.now, right) {
            return Err("INVALID_VERIFICATION_CODE");
        }
        self.state = "EFFECTIVE";
        self.otp = None;
        Ok(())
    }

    fn present_pass_code(&mut self, right: bool) -> Expected {
        // A one-time password of a token that is not effective is not compared, and so not counted.
        let accepted = self.state == "EFFECTIVE" && Self::attempt(&mut self.pass_code_lock, self.now, right);
        if accepted { Ok(()) } else { Err("INVALID_CREDENTIAL") }
    }

    fn present_otp(&mut self, right: bool) -> Expected {
        let live = self.otp.as_ref().is_some_and(|(_, expires)| self.now < *expires);
        let comparable = live && self.state == "EFFECTIVE";
        if !comparable || !Self::attempt(&mut self.otp_lock, self.now, right) {
            return Err("INVALID_CREDENTIAL");
        }
        self.otp = None;
        Ok(())
    }
}

/// Returns a code that is not the right one.
fn other(right: &str) -> &'static str {
    if right == "111111" { "222222" } else { "111111" }
}

fn text(answer: &Value, key: &str) -> String {
    answer[key].as_str().expect("a code").to_owned()
}

async fn call(app: &Client, token: &str, model: &mut Model, call: Call, count: usize) {
    let identifier = json!({"id": token});
    let verification_code = |model: &Model, right| match right {
        true => model.verification_code.clone(),
        false => other(&model.verification_code).to_owned(),
    };
    let otp = |model: &Model, right| match (&model.otp, right) {
        (Some((code, _)), true) => code.clone(),
        (Some((code, _)), false) => other(code).to_owned(),
        (None, _) => "111111".to_owned(),
    };
    let pass_code = |model: &Model, right: bool| if right { model.pass_code.clone() } else { "wrong".to_owned() };
    let new = format!("pass code {count}");
    let (method, request, expected) = match call {
        Call::Wait(_) => return,
        Call::Verify { right } => {
            let code = verification_code(model, right);
            let request = json!({"access_token_identifier": identifier, "verification_code": code});
            ("VerifyAccessToken", request, model.verify(right))
        }
        Call::ResetVerificationCode => {
            let expected = model.require("PENDING_VERIFICATION");
            ("ResetVerificationCode", json!({"authentication_code": token}), expected)
        }
        Call::SetAsEffective | Call::SetAsNotEffective => {
            let (method, from, to) = match call {
                Call::SetAsEffective => ("SetAsEffective", "NOT_EFFECTIVE", "EFFECTIVE"),
                _ => ("SetAsNotEffective", "EFFECTIVE", "NOT_EFFECTIVE"),
            };
            let expected = model.require(from);
            if expected.is_ok() {
                model.state = to;
                model.otp = None;
            }
            (method, json!({"access_token_identifier": identifier}), expected)
        }
        Call::CheckPassCode { right } => {
            let request = json!({"access_token_identifier": identifier, "pass_code": pass_code(model, right)});
            ("CheckPassCode", request, model.present_pass_code(right))
        }
        Call::ChangePassCode { right } => {
            let request = json!({"access_token_identifier": identifier, "pass_code": pass_code(model, right), "new_pass_code": new});
            let expected = model.present_pass_code(right);
            if expected.is_ok() {
                model.pass_code = new;
                model.otp = None;
            }
            ("ChangePassCode", request, expected)
        }
        Call::ResetPassCode => ("ResetPassCode", json!({"authentication_code": token}), model.require("EFFECTIVE")),
        Call::GenerateOtp => {
            ("GenerateOtp", json!({"access_token_identifier": identifier}), model.require("EFFECTIVE"))
        }
        Call::VerifyOtp { right } => {
            let request = json!({"access_token_identifier": identifier, "one_time_password": otp(model, right)});
            ("VerifyOtp", request, model.present_otp(right))
        }
        Call::ChangeByOtp { right } => {
            let request = json!({"access_token_identifier": identifier, "one_time_password": otp(model, right), "new_pass_code": new});
            let expected = model.present_otp(right);
            if expected.is_ok() {
                model.pass_code = new;
                model.pass_code_lock.forgive();
            }
            ("ChangePassCode", request, expected)
        }
        Call::Unlock => {
            for lock in [&mut model.verification_lock, &mut model.pass_code_lock, &mut model.otp_lock] {
                lock.unlock();
            }
            ("UnlockAccessToken", json!({"access_token_identifier": identifier}), Ok(()))
        }
    };
    let answer = match (app.try_call(method, request).await, expected) {
        (Ok(answer), Ok(())) => answer,
        (Err(refusal), Err(reason)) => return assert_eq!(refusal.reason, reason, "call {count}, {call:?}"),
        (answer, expected) => panic!("call {count}, {call:?}: {expected:?} was expected, got {answer:?}"),
    };
    match call {
        Call::ResetVerificationCode => model.verification_code = text(&answer, "verification_code"),
        Call::ResetPassCode => {
            model.pass_code = text(&answer, "random_pass_code");
            model.otp = None;
        }
        Call::GenerateOtp => {
            model.otp = Some((text(&answer, "one_time_password"), model.now + 300_000_000));
        }
        _ => {}
    }
}

on_both_databases! {
    async fn the_life_of_a_token_follows_its_rules(app) {
        // Other tests cover the limits of issuing.
        app.import("DEMO", r#"{"organisation": {"definition": {"issue": {"burst": 1000, "cooldown_seconds": 0, "per_day": 10000}}}}"#).await;
        let mut runner = TestRunner::deterministic();
        let mut client = app.caller().clone();
        for life in 0..TOKEN_COUNT {
            let token = format!("T{life}");
            let states = ["PENDING_VERIFICATION", "EFFECTIVE", "NOT_EFFECTIVE"];
            let state = states[life % states.len()];
            let record = json!({"access_token": {
                "id": token, "number": format!("AT{life}"), "authentication_code": token, "identifier": format!("login {life}"),
                "pass_code": "first", "verification_code": "018342", "life_cycle_state": state,
            }});
            app.import("DEMO", &record.to_string()).await;
            let mut model = Model {
                now: app.now().timestamp_micros(),
                state,
                verification_code: "018342".to_owned(),
                pass_code: "first".to_owned(),
                otp: None,
                verification_lock: PlainLock::default(),
                pass_code_lock: PlainLock::default(),
                otp_lock: PlainLock::default(),
            };
            let sequence = calls().new_tree(&mut runner).expect("calls").current();
            for (count, next) in sequence.into_iter().enumerate() {
                if let Call::Wait(seconds) = next {
                    app.clock.advance(Duration::from_secs(seconds));
                    model.now += Moment::try_from(seconds).expect("few") * 1_000_000;
                    client = app.logged_in_again().await;
                }
                call(&client, &token, &mut model, next, count).await;
                let shown = client.ok("ShowAccessToken", json!({"access_token_identifier": {"id": token}, "fields_set": "life_cycle_state"})).await;
                assert_eq!(shown["life_cycle_state"], model.state, "life {life}, after call {count}, {next:?}");
            }
        }
    }
}
