//! Pass codes that owners choose, and secrets that an import stored below the policy.

use access_tokens_testapp::TestApp;
use serde_json::{Value, json};

use crate::fleet::{Door, Outcome};
use crate::on_both_databases;

const STRICT: &str = r#"{"classification": {"id": "strict", "name": "strict", "policy": {"refuse_common_codes": true, "pass_code": {"min_length": 6}}}}"#;

/// Pass codes that `strict` refuses and the definition accepts.
const EASY: [&str; 12] = [
    "123456",
    "000000",
    "password",
    "Passw0rd",
    "987654",
    "121212",
    "112233",
    "123321",
    "abcdef",
    "code of T",
    "LOGIN of T",
    "0000000071",
];

fn record(id: &str, classification: &str) -> Value {
    let mut record = json!({
        "id": id, "number": "AT0000000071", "authentication_code": format!("code of {id}"), "identifier": format!("login of {id}"),
        "pass_code": "first pass code",
    });
    if !classification.is_empty() {
        record["classification"] = json!({"id": classification});
    }
    json!({"access_token": record})
}

/// Returns the calls by which an owner chooses a pass code, and the field that contains it.
fn calls(id: &str, pass_code: &str) -> Vec<(&'static str, Value, &'static str)> {
    let by_id = json!({"id": id});
    vec![
        ("UpdateAccessToken", json!({"access_token_identifier": by_id, "pass_code": pass_code}), "pass_code"),
        (
            "UpdateAccessToken",
            json!({"access_token_identifier": by_id, "identifier": "code 7", "pass_code": if pass_code == "123456" { "Code 7" } else { pass_code }}),
            "pass_code",
        ),
        (
            "ChangePassCode",
            json!({"access_token_identifier": by_id, "pass_code": "first pass code", "new_pass_code": pass_code}),
            "new_pass_code",
        ),
    ]
}

/// Returns the guess budget of a policy: whether chosen codes are bounded, and the number of secrets below the policy by kind.
async fn budget(app: &TestApp, name: &str) -> (Value, Vec<(String, String, f64)>) {
    let listed = app.ok("ListGuessBudgets", json!({})).await;
    let budgets = listed["guess_budgets"].as_array().expect("budgets").clone();
    let of = budgets.into_iter().find(|budget| budget["classification_name"].as_str().unwrap_or_default() == name);
    let of = of.expect("the policy");
    let secrets = of["secrets"].as_array().expect("secrets").iter().map(|secret| {
        let count =
            secret["weaker_secrets"].as_str().map_or_else(|| secret["weaker_secrets"].to_string(), str::to_owned);
        let kind = secret["secret_kind"].as_str().expect("a kind").to_owned();
        (kind, count, secret["weaker_chance_per_day"].as_f64().unwrap_or_default())
    });
    (of["chosen_codes_bounded"].clone(), secrets.filter(|(_, count, _)| count != "0").collect())
}

on_both_databases! {
    async fn easy_pass_codes_are_refused_where_the_policy_says_so(app) {
        app.import("DEMO", STRICT).await;
        app.import("DEMO", &record("T", "strict").to_string()).await;
        let http = app.http().await;
        for easy in EASY {
            for (method, request, field) in calls("T", easy) {
                let refusal = app.refused(method, request.clone(), "POLICY_VIOLATION").await;
                assert_eq!(refusal.fields(), [field], "{method} {easy}");
                assert!(!refusal.text().contains(easy), "{}", refusal.text());
                let path = if method == "ChangePassCode" { "change_pass_code" } else { "update" };
                let answer = http.post(&format!("access_tokens/{path}"), request).await;
                assert_eq!(answer.reason(), "POLICY_VIOLATION", "{easy}");
                assert!(answer.description().starts_with(&format!("{field}: ")), "{}", answer.text);
                assert!(!answer.text.contains(easy), "{}", answer.text);
            }
            let create = json!({"authentication_code": "code of T", "identifier": "login of T", "pass_code": easy, "classification_identifier": {"id": "strict"}});
            if easy != "0000000071" {
                let refusal = app.refused("CreateAccessToken", create, "POLICY_VIOLATION").await;
                assert_eq!(refusal.fields(), ["pass_code"], "{easy}");
            }
            let id = format!("V {easy}");
            let pending = json!({"access_token": {"id": id, "number": id, "authentication_code": id, "classification": {"id": "strict"}, "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "018342"}});
            app.import("DEMO", &pending.to_string()).await;
            if easy.contains(" of ") || easy == "0000000071" {
                continue;
            }
            let verify = json!({"access_token_identifier": {"id": id}, "verification_code": "018342", "pass_code": easy});
            assert_eq!(app.refused("VerifyAccessToken", verify, "POLICY_VIOLATION").await.fields(), ["pass_code"], "{easy}");
        }
        app.ok("UpdateAccessToken", json!({"access_token_identifier": {"id": "T"}, "pass_code": "520813"})).await;
        app.ok("ResetPassCode", json!({"identifier": "login of T"})).await;
    }

    async fn without_the_option_they_are_accepted_as_before(app) {
        app.import("DEMO", &record("T", "").to_string()).await;
        let doors = [Door::Grpc(app.caller().clone()), Door::Http(app.http().await)];
        for easy in EASY {
            for door in &doors {
                let update = json!({"access_token_identifier": {"id": "T"}, "pass_code": easy});
                assert_eq!(door.call("UpdateAccessToken", update).await, Outcome::Right, "{easy}");
            }
        }
    }

    async fn a_policy_that_bounds_chosen_codes_counts_free_text_as_digits(app) {
        let policy = |length: u32| json!({"classification": {"name": "strict", "policy": {"refuse_common_codes": true, "pass_code": {"min_length": length}}}}).to_string();
        let refused = app.import_results("DEMO", &policy(4)).await.remove(0).expect_err("refused");
        assert_eq!(refused.reason, "GUESS_BUDGET_EXCEEDED");
        assert!(refused.text().contains("10^4.0 codes"), "{}", refused.text());
        app.import("DEMO", &policy(6)).await;
        assert_eq!(budget(&app, "strict").await, (json!(true), Vec::new()));
        assert_eq!(budget(&app, "").await.0, json!(false), "the definition makes no promise of what people choose");
    }

    async fn what_an_import_stores_below_the_policy_is_in_the_budget_until_it_is_replaced(app) {
        app.import("DEMO", STRICT).await;
        let tokens = [
            json!({"id": "one", "pass_code": "7"}),
            json!({"id": "two", "pass_code": "42"}),
            json!({"id": "four", "pass_code": "8305"}),
            json!({"id": "strict-short", "pass_code": "83051", "classification": {"id": "strict"}}),
            json!({"id": "strict-common", "pass_code": "password", "classification": {"id": "strict"}}),
            json!({"id": "strict-good", "pass_code": "830517", "classification": {"id": "strict"}}),
            json!({"id": "digit", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "7"}),
            json!({"id": "used", "verification_code": "7"}),
            json!({"id": "full", "life_cycle_state": "PENDING_VERIFICATION", "verification_code": "018342"}),
        ];
        for mut token in tokens {
            token["number"] = token["id"].clone();
            token["authentication_code"] = token["id"].clone();
            app.import("DEMO", &json!({"access_token": token}).to_string()).await;
        }
        let of = |kind: &str, count: &str, chance: f64| (kind.to_owned(), count.to_owned(), chance);
        assert_eq!(budget(&app, "").await.1, [of("PASS_CODE", "2", 1.0), of("VERIFICATION_CODE", "1", 1.0)]);
        assert_eq!(budget(&app, "strict").await.1, [of("PASS_CODE", "2", 1.0)]);
        let explain = async |id: &str| {
            let explained = app.ok("ExplainAccessToken", json!({"access_token_identifier": {"id": id}})).await;
            explained["guess_budget"]["secrets"][0].clone()
        };
        for (id, count, chance) in [("one", "1", 1.0), ("four", "0", 0.0), ("strict-short", "1", 1e-3), ("strict-good", "0", 0.0)] {
            let told = explain(id).await;
            let found = told["weaker_secrets"].as_str().map_or_else(|| told["weaker_secrets"].to_string(), str::to_owned);
            assert_eq!((found.as_str(), told["weaker_chance_per_day"].as_f64()), (count, Some(chance)), "{id}");
        }
        let reader = app.client("DEMO", "access_tokens.read").await;
        let listed = reader.ok("ListGuessBudgets", json!({})).await;
        assert_eq!(listed["guess_budgets"][0]["secrets"][0].get("weaker_secrets"), None, "it says something of secrets");

        app.ok("CheckPassCode", json!({"access_token_identifier": {"id": "one"}, "pass_code": "7"})).await;
        assert_eq!(explain("one").await["weaker_chance_per_day"], 1.0, "using it does not end it");
        app.ok("ChangePassCode", json!({"access_token_identifier": {"id": "one"}, "pass_code": "7", "new_pass_code": "1234"})).await;
        app.ok("ResetPassCode", json!({"authentication_code": "two"})).await;
        app.ok("ResetVerificationCode", json!({"authentication_code": "digit"})).await;
        assert_eq!(budget(&app, "").await.1, []);
    }

    async fn a_hash_of_another_system_is_noted_when_it_is_hashed_anew(app) {
        // bcrypt of `a`.
        let hash = "$2b$04$abcdefghijklmnopqrstuuMFdJu9yVgmagVAIC24fOZkaFqd3s9JC";
        app.import("DEMO", &json!({"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "pass_code_hash": hash}}).to_string()).await;
        assert_eq!(budget(&app, "").await.1, [], "nothing is known of it");
        app.ok("CheckPassCode", json!({"access_token_identifier": {"id": "T"}, "pass_code": "a"})).await;
        assert_eq!(budget(&app, "").await.1, [("PASS_CODE".to_owned(), "1".to_owned(), 1.0)]);
    }

    async fn a_one_time_password_of_an_import_has_the_length_of_one(app) {
        let record = |code: &str| json!({"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "one_time_password": code}}).to_string();
        for short in ["", "7", "12345"] {
            let refused = app.import_results("DEMO", &record(short)).await.remove(0).expect_err("refused");
            assert_eq!(refused.fields(), ["access_token.one_time_password"], "{short}");
        }
        app.import("DEMO", &record("012345")).await;
    }
}
