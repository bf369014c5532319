//! Locks after wrong attempts, as clients see them: their duration, their scope, the calls that they affect, and their end.

use std::time::Duration;

use access_tokens_testapp::{Client, TestApp};
use serde_json::{Value, json};

use crate::on_both_databases;

const TOKENS: &str = r#"
{"classification": {"id": "C", "name": "card", "policy": {"verification_required": true}}}
{"accounts_receivable": {"id": "A", "number": "ACR1", "life_cycle_state": "TERMINATED"}}
{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "pass_code": "secret"}}
{"access_token": {"id": "P", "number": "AT2", "authentication_code": "9", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "000000"}}
{"access_token": {"id": "X", "number": "AT3", "authentication_code": "8", "accounts_receivable": {"id": "A"}}}
"#;

fn check(pass_code: &str) -> Value {
    json!({"access_token_identifier": {"credential": {"identifier": "login", "pass_code": pass_code}}, "fields_set": "id"})
}

async fn guess(client: &Client, times: usize) {
    for _ in 0..times {
        client.refused("ShowAccessToken", check("wrong"), "INVALID_CREDENTIAL").await;
    }
}

/// Returns whether the right pass code is accepted.
async fn open(client: &Client) -> bool {
    client.try_call("ShowAccessToken", check("secret")).await.is_ok()
}

async fn lock_of(app: &TestApp, token: &str, kind: &str) -> Value {
    let explained = app.ok("ExplainAccessToken", json!({"access_token_identifier": {"id": token}})).await;
    let secrets = explained["secrets"].as_array().expect("secrets").clone();
    secrets.into_iter().find(|secret| secret["secret_kind"] == kind).expect("the kind")["lock"].take()
}

on_both_databases! {
    async fn five_wrong_pass_codes_lock_for_a_quarter_of_an_hour_then_twice_as_long(app) {
        app.import("DEMO", TOKENS).await;
        for minutes in [15, 30, 60] {
            guess(&app, 4).await;
            assert_eq!(lock_of(&app, "T", "PASS_CODE").await["state"], "OPEN");
            guess(&app, 1).await;
            let lock = lock_of(&app, "T", "PASS_CODE").await;
            assert_eq!((&lock["state"], &lock["cause"]), (&json!("LOCKED"), &json!("ATTEMPTS_IN_A_ROW")));
            assert!(!open(&app).await);
            app.clock.advance(Duration::from_secs(60 * minutes) - Duration::from_micros(1));
            assert!(!open(&app).await, "a microsecond too early after {minutes} minutes");
            app.clock.advance(Duration::from_micros(1));
        }
        let client = app.logged_in_again().await;
        assert!(open(&client).await);
        guess(&client, 5).await;
        app.clock.advance(Duration::from_secs(900));
        assert!(open(&client).await, "a success begins a new row");
    }

    async fn every_way_to_a_token_shares_one_count(app) {
        app.import("DEMO", TOKENS).await;
        let (replica, http) = (app.second_replica().await, app.http().await);
        guess(&replica, 1).await;
        let wrong = |identifier: Value| json!({"access_token_identifier": identifier, "pass_code": "wrong"});
        app.refused("CheckPassCode", wrong(json!({"id": "T"})), "INVALID_CREDENTIAL").await;
        replica.refused("CheckPassCode", wrong(json!({"authentication_code": "7"})), "INVALID_CREDENTIAL").await;
        let by_number = json!({"access_token_identifier": {"number": "AT1"}, "pass_code": "wrong", "new_pass_code": "another"});
        app.refused("ChangePassCode", by_number, "INVALID_CREDENTIAL").await;
        let refused = http.post("access_tokens/show", json!({"access_token_identifier": {"identifier": "login", "pass_code": "wrong"}})).await;
        assert_eq!(refused.reason(), "INVALID_CREDENTIAL");
        assert!(!open(&app).await && !open(&replica).await);
    }

    async fn other_kinds_of_secrets_have_their_own_count(app) {
        app.import("DEMO", TOKENS).await;
        guess(&app, 5).await;
        let issued = app.ok("GenerateOtp", json!({"access_token_identifier": {"id": "T"}})).await;
        let change = json!({"access_token_identifier": {"id": "T"}, "one_time_password": issued["one_time_password"], "new_pass_code": "another"});
        app.ok("ChangePassCode", change).await;
        let shown = app.try_call("ShowAccessToken", check("another")).await;
        assert!(shown.is_ok(), "who proved it otherwise does not wait");
    }

    async fn a_new_code_brings_no_new_attempts(app) {
        app.import("DEMO", TOKENS).await;
        let verify = |code: &str| json!({"access_token_identifier": {"id": "P"}, "verification_code": code});
        for _ in 0..2 {
            app.refused("VerifyAccessToken", verify("111111"), "INVALID_VERIFICATION_CODE").await;
        }
        let mut code = String::new();
        for _ in 0..3 {
            let reset = app.ok("ResetVerificationCode", json!({"authentication_code": "9"})).await;
            code = reset["verification_code"].as_str().expect("a code").to_owned();
            let wrong = if code == "222222" { "333333" } else { "222222" };
            app.refused("VerifyAccessToken", verify(wrong), "INVALID_VERIFICATION_CODE").await;
        }
        let refusal = app.refused("VerifyAccessToken", verify(&code), "INVALID_VERIFICATION_CODE").await;
        assert_eq!(refusal.metadata("cause"), "LOCKED");
        app.clock.advance(Duration::from_secs(900));
        app.ok("VerifyAccessToken", verify(&code)).await;
    }

    async fn unlocking_ends_a_lock_and_explaining_tells_of_it(app) {
        app.import("DEMO", TOKENS).await;
        let explain = json!({"access_token_identifier": {"id": "T"}});
        assert_eq!(app.ok("ExplainAccessToken", explain.clone()).await["usable"], true);
        guess(&app, 5).await;
        assert!(!open(&app).await);
        let explained = app.ok("ExplainAccessToken", explain.clone()).await;
        assert_eq!(explained["usable"], false);
        let obstacle = &explained["obstacles"][0];
        assert_eq!((&obstacle["kind"], &obstacle["secret_kind"], &obstacle["mended_by"]), (&json!("LOCKED"), &json!("PASS_CODE"), &json!("UnlockAccessToken")));
        let until = access_tokens_domain::time::parse(obstacle["until"].as_str().expect("a date")).expect("a date");
        assert_eq!(until - app.now(), chrono::Duration::seconds(900));
        let actions: Vec<_> = explained["actions"].as_array().expect("actions").iter().map(|a| a["method"].clone()).collect();
        assert!(actions.contains(&json!("UnlockAccessToken")) && !actions.contains(&json!("SetAsEffective")), "{actions:?}");

        let reader = app.client("DEMO", "access_tokens.read").await;
        let seen = reader.ok("ExplainAccessToken", explain.clone()).await;
        assert_eq!((&seen["locks_disclosed"], &seen["usable"]), (&json!(false), &json!(true)), "a lock is a secret");
        reader.refused("UnlockAccessToken", explain.clone(), "PERMISSION_DENIED").await;

        app.ok("UnlockAccessToken", json!({"access_token_identifier": {"id": "T"}, "secret_kinds": ["ONE_TIME_PASSWORD"]})).await;
        assert!(!open(&app).await, "another kind");
        app.ok("UnlockAccessToken", explain.clone()).await;
        assert!(open(&app).await);
        assert_eq!(app.ok("ExplainAccessToken", explain).await["usable"], true);
    }

    async fn an_explanation_names_what_stands_in_the_way_and_since_when(app) {
        app.import("DEMO", TOKENS).await;
        let began = app.now();
        app.ok("SetAsNotEffective", json!({"access_token_identifier": {"id": "T"}})).await;
        app.clock.advance(Duration::from_secs(3_600));
        app.ok("UpdateAccessToken", json!({"access_token_identifier": {"id": "T"}, "udf_string_1": "later"})).await;
        let kinds = async |token: &str| {
            let explained = app.ok("ExplainAccessToken", json!({"access_token_identifier": {"id": token}})).await;
            assert_eq!(explained["usable"], false);
            explained["obstacles"][0].clone()
        };
        let off = kinds("T").await;
        assert_eq!((&off["kind"], &off["mended_by"]), (&json!("NOT_EFFECTIVE"), &json!("SetAsEffective")));
        assert_eq!(access_tokens_domain::time::parse(off["since"].as_str().expect("a date")), Some(began), "not the last update");
        let pending = kinds("P").await;
        assert_eq!((&pending["kind"], &pending["mended_by"]), (&json!("PENDING_VERIFICATION"), &json!("VerifyAccessToken")));
        assert_eq!(kinds("X").await["kind"], "ACCOUNTS_RECEIVABLE_TERMINATED");
    }

    async fn policies_that_could_be_guessed_are_refused_with_the_arithmetic(app) {
        let card = |length: u32| json!({"classification": {"name": "card", "policy": {"pass_code": {"format": "NUMBER", "min_length": length}}}}).to_string();
        let refused = app.import_results("DEMO", &card(4)).await.remove(0).expect_err("refused");
        assert_eq!(refused.reason, "GUESS_BUDGET_EXCEEDED");
        assert_eq!(refused.fields(), ["classification.policy"]);
        assert!(refused.text().contains("100 guesses a day / 10^4.0 codes = 1.0e-2"), "{}", refused.text());
        app.import("DEMO", &card(6)).await;
        let listed = app.ok("ListGuessBudgets", json!({})).await;
        let budgets = listed["guess_budgets"].as_array().expect("budgets");
        assert_eq!(budgets.len(), 2);
        assert_eq!(budgets[1]["classification_name"], "card");
        for budget in budgets {
            let chance = budget["chance_per_day"].as_f64().expect("a number");
            assert!(chance > 0.0 && chance <= 1e-3, "{budget}");
        }
    }

    async fn spellings_of_an_identifier_bring_no_new_attempts(app) {
        app.import("DEMO", TOKENS).await;
        let full_width = |text: &str| text.chars().map(|c| char::from_u32(c as u32 + 0xFEE0).unwrap_or(c)).collect::<String>();
        let spellings = ["login", "LOGIN", "Login", " login", "login ", "lo gin", "login\u{a0}", "l\u{200b}ogin", &full_width("login"), "7", "AT1", "T"];
        let mut right = 0;
        for round in 0..20 {
            for spelling in spellings {
                // The right pass code is among the guesses of each round twice.
                let pass_code = if round % 10 == 9 { "secret" } else { "wrong" };
                let request = json!({"access_token_identifier": {"credential": {"identifier": spelling, "pass_code": pass_code}}});
                right += usize::from(app.try_call("ShowAccessToken", request).await.is_ok());
            }
        }
        assert_eq!(right, 0, "only one spelling is the token, and it is locked after five");
        assert_eq!(lock_of(&app, "T", "PASS_CODE").await["failed_attempts"], 5);
    }
}
