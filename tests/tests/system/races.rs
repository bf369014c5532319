//! 64 concurrent callers: exactly one wins each change.

use std::collections::HashSet;

use access_tokens_testapp::{Client, Refusal, TestApp};
use serde_json::{Value, json};

use crate::on_both_databases;

const CALLERS: usize = 64;

/// Makes the same call from many callers concurrently. Returns the winners, and the reasons of the others.
async fn race(app: &TestApp, method: &'static str, request: impl Fn(usize) -> Value) -> (Vec<Value>, Vec<Refusal>) {
    let calls = (0..CALLERS).map(|i| {
        let (client, request): (Client, Value) = (app.caller().clone(), request(i));
        tokio::spawn(async move { client.try_call(method, request).await })
    });
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for call in calls.collect::<Vec<_>>() {
        match call.await.expect("no panic") {
            Ok(answer) => won.push(answer),
            Err(refusal) => lost.push(refusal),
        }
    }
    (won, lost)
}

fn one_winner(method: &str, (won, lost): (Vec<Value>, Vec<Refusal>), reason: &str) {
    assert_eq!(won.len(), 1, "{method}");
    for refusal in &lost {
        assert_eq!(refusal.reason, reason, "{method}: {}", refusal.text());
    }
}

fn token(state: &str) -> String {
    json!({"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "life_cycle_state": state, "verification_code": "073482"}}).to_string()
}

on_both_databases! {
    async fn each_change_of_state_has_one_winner(app) {
        let seven = |_| json!({"access_token_identifier": {"authentication_code": "7"}});
        for round in 0..5 {
            app.import("DEMO", &token("PENDING_VERIFICATION")).await;
            let verify = |_| json!({"access_token_identifier": {"authentication_code": "7"}, "verification_code": "073482"});
            one_winner(&format!("verify, round {round}"), race(&app, "VerifyAccessToken", verify).await, "WRONG_LIFE_CYCLE_STATE");
            one_winner(&format!("off, round {round}"), race(&app, "SetAsNotEffective", seven).await, "WRONG_LIFE_CYCLE_STATE");
            one_winner(&format!("on, round {round}"), race(&app, "SetAsEffective", seven).await, "WRONG_LIFE_CYCLE_STATE");
        }
    }

    async fn equal_codes_have_one_winner(app) {
        let code = |_| json!({"authentication_code": "same"});
        one_winner("code", race(&app, "CreateAccessToken", code).await, "AUTHENTICATION_CODE_ALREADY_EXISTS");
        let identifier = |_| json!({"identifier": "same", "pass_code": "1234"});
        one_winner("identifier", race(&app, "CreateAccessToken", identifier).await, "IDENTIFIER_ALREADY_EXISTS");
        let list = app.ok("GetNotAssociatedAccessTokens", json!({"number": 1000, "fields_set": "id"})).await;
        assert_eq!(list["access_tokens"].as_array().map(Vec::len), Some(2));
    }

    async fn concurrent_creations_have_different_ids_and_numbers(app) {
        let (won, lost) = race(&app, "CreateAccessToken", |_| json!({"fields_set": "id,number"})).await;
        assert!(lost.is_empty(), "{}", lost[0].text());
        for key in ["id", "number"] {
            let different: HashSet<_> = won.iter().map(|token| token[key].to_string()).collect();
            assert_eq!(different.len(), CALLERS, "{key}");
        }
    }

    /// If several callers run out of numbers together, only one of them takes the next block: otherwise each round would leave thousands of
    /// numbers unused.
    async fn concurrent_creations_leave_no_gaps(app) {
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let (won, lost) = race(&app, "CreateAccessToken", |_| json!({"fields_set": "number"})).await;
            assert!(lost.is_empty(), "{}", lost[0].text());
            numbers.extend(won.iter().map(|token| token["number"].as_str().and_then(|n| n[2..].parse::<usize>().ok()).expect("a number")));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=4 * CALLERS).collect::<Vec<_>>());
    }

    async fn an_owner_limit_holds_against_concurrent_creations(app) {
        app.import("DEMO", r#"{"accounts_receivable": {"id": "A", "number": "ACR"}}"#).await;
        app.import("DEMO", r#"{"organisation": {"definition": {"max_per_owner": 3}}}"#).await;
        let (won, lost) = race(&app, "CreateAccessToken", |_| json!({"accounts_receivable_identifier": {"id": "A"}})).await;
        assert_eq!(won.len(), 3);
        assert!(lost.iter().all(|refusal| refusal.reason == "OWNER_LIMIT_REACHED"));
    }

    async fn of_concurrent_resets_the_last_code_alone_verifies(app) {
        app.import("DEMO", &token("PENDING_VERIFICATION")).await;
        // The policy allows as many codes and attempts as there are callers; the codes are longer, so that the guess budget is kept.
        app.import("DEMO", r#"{"organisation": {"definition": {"verification_code_length": 10, "otp_length": 8, "pass_code": {"min_length": 8}, "issue": {"burst": 100, "per_day": 200}, "lock": {"attempts": 100, "hard_limit": 1000, "attempts_per_day": 1000}}}}"#).await;
        let (won, lost) = race(&app, "ResetVerificationCode", |_| json!({"authentication_code": "7"})).await;
        assert!(lost.is_empty(), "{}", lost[0].text());
        let codes: HashSet<_> = won.iter().filter_map(|answer| answer["verification_code"].as_str()).collect();
        let mut verified = 0;
        for code in &codes {
            let request = json!({"access_token_identifier": {"id": "T"}, "verification_code": code});
            verified += usize::from(app.try_call("VerifyAccessToken", request).await.is_ok());
        }
        assert_eq!(verified, 1);
    }

    async fn updates_of_different_fields_do_not_undo_each_other(app) {
        app.import("DEMO", &token("EFFECTIVE")).await;
        let (_, lost) = race(&app, "UpdateAccessToken", |i| {
            let mut request = json!({"access_token_identifier": {"id": "T"}});
            request[format!("udf_string_{}", i % 8 + 1)] = json!(format!("value {}", i % 8));
            request
        })
        .await;
        assert!(lost.is_empty(), "{}", lost[0].text());
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await;
        for i in 0..8 {
            assert_eq!(shown[format!("udf_string_{}", i + 1)], format!("value {i}"));
        }
    }
}
