//! Creation of access tokens: the rules of policies, owners and uniqueness.

use access_tokens_testapp::TestApp;
use serde_json::{Value, json};

use crate::on_both_databases;

const DIRECTORY: &str = r#"
{"accounts_receivable": {"id": "A1", "number": "ACR1", "name": "Same name", "life_cycle_state": "ACTIVE"}}
{"accounts_receivable": {"id": "A2", "number": "ACR2", "name": "Same name", "life_cycle_state": "SUSPENDED"}}
{"accounts_receivable": {"id": "A3", "number": "ACR3", "name": "Gone", "life_cycle_state": "TERMINATED"}}
{"rewards_participant": {"id": "P1", "number": "RP1", "life_cycle_state": "EFFECTIVE", "accounts_receivable": {"id": "A1"}}}
{"rewards_participant": {"id": "P3", "number": "RP3", "life_cycle_state": "TERMINATED", "accounts_receivable": {"id": "A3"}}}
"#;

async fn classification(app: &TestApp, name: &str, policy: Value) {
    let record = json!({"classification": {"name": name, "alternative_code": name, "policy": policy}});
    app.import("DEMO", &record.to_string()).await;
}

fn of(name: &str) -> Value {
    json!({"classification_identifier": {"name": name}})
}

fn with(mut base: Value, more: Value) -> Value {
    base.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    base
}

on_both_databases! {
    async fn without_anything_the_default_policy_creates_a_code(app) {
        let created = app.ok("CreateAccessToken", json!({})).await;
        let code = created["authentication_code"].as_str().expect("a code");
        assert!(code.len() == 32 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()), "32 hex digits");
        assert_eq!(created["life_cycle_state"], "EFFECTIVE");
        let id = created["id"].as_str().expect("an id");
        assert!(id.len() == 32 && id.as_bytes()[12] == b'7', "a UUIDv7 in upper-case hex: {id}");
        let number = created["number"].as_str().expect("a number");
        assert!(number.len() == 12 && number.starts_with("AT"), "{number}");
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": id}})).await;
        assert_eq!(shown, created, "the answer of a creation is what is read afterwards");
    }

    async fn ids_and_numbers_ascend_and_never_repeat(app) {
        let mut seen = Vec::new();
        for _ in 0..200 {
            let created = app.ok("CreateAccessToken", json!({"fields_set": "id,number"})).await;
            seen.push((created["number"].as_str().expect("a number").to_owned(), created["id"].as_str().expect("an id").to_owned()));
        }
        let mut numbers: Vec<_> = seen.iter().map(|(number, _)| number).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 200);
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "one process hands out its numbers in order");
    }

    async fn everything_given_is_kept(app) {
        app.import("DEMO", DIRECTORY).await;
        let given = json!({
            "authentication_code": "card é 7", "identifier": "somebody", "pass_code": "secret-7",
            "card_masked_number": "411111******1111",
            "udf_string_1": "one", "udf_string_8": "", "udf_float_1": -0.5, "udf_float_4": 1e300,
            "udf_date_1": "2024-02-29T23:59:59.123456Z", "udf_date_4": "0001-01-01T00:00:00Z",
            "accounts_receivable_identifier": {"number": "ACR1"}, "rewards_participant_identifier": {"number": "RP1"},
        });
        let created = app.ok("CreateAccessToken", given.clone()).await;
        for field in ["authentication_code", "identifier", "card_masked_number", "udf_string_1", "udf_string_8", "udf_float_1", "udf_float_4", "udf_date_1", "udf_date_4"] {
            assert_eq!(created[field], given[field], "{field}");
        }
        assert_eq!(created["card_last_4_digits"], "1111");
        assert_eq!(created["accounts_receivable"]["id"], "A1");
        assert_eq!(created["rewards_participant"]["accounts_receivable"]["id"], "A1");
        assert!(created.get("pass_code").is_none(), "a pass code is never returned");
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"credential": {"identifier": "somebody", "pass_code": "secret-7"}}})).await;
        assert_eq!(shown, created);
    }

    async fn the_policy_of_the_classification_wins_over_the_definition(app) {
        let strict = json!({
            "authentication_code": {"creation": "NONE", "format": "NUMBER", "min_length": 4},
            "identifier": {"format": "EMAIL"}, "pass_code": {"min_length": 6, "min_digits": 2, "min_special": 1},
            "allow_without_identifier_and_pass_code": false,
        });
        classification(&app, "strict", strict).await;
        let refusal = app.refused("CreateAccessToken", of("strict"), "REQUIRED_FIELD_MISSING").await;
        assert_eq!(refusal.fields(), ["authentication_code", "identifier", "pass_code"]);
        let bad = json!({"authentication_code": "12x", "identifier": "not-an-address", "pass_code": "short"});
        let refusal = app.refused("CreateAccessToken", with(of("strict"), bad), "POLICY_VIOLATION").await;
        assert_eq!(refusal.fields(), ["authentication_code", "identifier", "pass_code"]);
        assert!(!refusal.text().contains("12x") && !refusal.text().contains("short"), "a value was repeated");
        let good = json!({"authentication_code": "1234", "identifier": "a@example.com", "pass_code": "long-12"});
        let created = app.ok("CreateAccessToken", with(of("strict"), good)).await;
        assert_eq!(created["classification"]["name"], "strict");
        // The definition has none of these rules.
        app.ok("CreateAccessToken", json!({"authentication_code": "12x"})).await;
    }

    async fn what_the_policy_creates(app) {
        app.import("DEMO", DIRECTORY).await;
        let policy = json!({
            "authentication_code": {"creation": "AUTO_NUMBER"}, "identifier": {"creation": "AUTO_ID"},
            "pass_code": {"creation": "AUTO_NUMBER"}, "allow_without_identifier_and_pass_code": false,
        });
        classification(&app, "auto", policy).await;
        app.refused("CreateAccessToken", of("auto"), "OWNER_REQUIRED").await;
        let owned = with(of("auto"), json!({"accounts_receivable_identifier": {"id": "A1"}}));
        let first = app.ok("CreateAccessToken", owned.clone()).await;
        let second = app.ok("CreateAccessToken", owned).await;
        let number = |token: &Value| token["authentication_code"].as_str().and_then(|c| c.parse::<u64>().ok()).expect("digits");
        assert_eq!(number(&second), number(&first) + 1);
        assert_eq!(first["identifier"].as_str().map(str::len), Some(32));
        assert_ne!(first["identifier"], second["identifier"]);
    }

    async fn a_token_that_must_be_verified_waits(app) {
        classification(&app, "verified", json!({"verification_required": true, "verification_code_length": 8})).await;
        let created = app.ok("CreateAccessToken", of("verified")).await;
        assert_eq!(created["life_cycle_state"], "PENDING_VERIFICATION");
        assert_eq!(created["verification_code"].as_str().map(str::len), Some(8));
        assert!(created.get("verified_date").is_none());
    }

    async fn owners_must_exist_live_and_belong_together(app) {
        app.import("DEMO", DIRECTORY).await;
        let cases = [
            (json!({"accounts_receivable_identifier": {"number": "ACR3"}}), "OWNER_TERMINATED", "accounts_receivable_identifier"),
            (json!({"rewards_participant_identifier": {"id": "P3"}}), "OWNER_TERMINATED", "rewards_participant_identifier"),
            (json!({"accounts_receivable_identifier": {"number": "none"}}), "ACCOUNTS_RECEIVABLE_NOT_FOUND", "accounts_receivable_identifier"),
            (json!({"rewards_participant_identifier": {"number": "none"}}), "REWARDS_PARTICIPANT_NOT_FOUND", "rewards_participant_identifier"),
            (json!({"classification_identifier": {"alternative_code": "none"}}), "CLASSIFICATION_NOT_FOUND", "classification_identifier"),
            (json!({"accounts_receivable_identifier": {"name": "Same name"}}), "AMBIGUOUS_NAME", "accounts_receivable_identifier"),
            (
                json!({"accounts_receivable_identifier": {"id": "A2"}, "rewards_participant_identifier": {"id": "P1"}}),
                "OWNER_MISMATCH",
                "rewards_participant_identifier",
            ),
        ];
        for (request, reason, field) in cases {
            let refusal = app.refused("CreateAccessToken", request, reason).await;
            assert_eq!(refusal.fields(), [field], "{reason}");
        }
        app.refused("CreateAccessToken", json!({"accounts_receivable_identifier": {"name": "Gone"}}), "OWNER_TERMINATED").await;
        app.ok("CreateAccessToken", json!({"accounts_receivable_identifier": {"number": "ACR2"}})).await;
        let all = app.ok("GetNotAssociatedAccessTokens", json!({"number": 1000})).await;
        assert_eq!(all.get("access_tokens"), None, "a refused creation wrote something");
    }

    async fn duplicates_name_the_field(app) {
        app.ok("CreateAccessToken", json!({"authentication_code": "one", "identifier": "login", "pass_code": "1234"})).await;
        let refusal = app.refused("CreateAccessToken", json!({"authentication_code": "one"}), "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
        assert_eq!((refusal.fields(), refusal.code()), (vec!["authentication_code"], tonic::Code::AlreadyExists));
        let request = json!({"identifier": "login", "pass_code": "1234"});
        let refusal = app.refused("CreateAccessToken", request, "IDENTIFIER_ALREADY_EXISTS").await;
        assert_eq!(refusal.fields(), ["identifier"]);
        // Codes are compared as they are: case and blanks between words matter.
        app.ok("CreateAccessToken", json!({"authentication_code": "One"})).await;
        app.ok("CreateAccessToken", json!({"authentication_code": "o ne"})).await;
        // No two codes may look the same: blanks at the ends and invisible characters are refused, and accents have one form.
        for unseen in ["one ", "\u{a0}one", "o\u{200b}ne", "one\u{202e}", "\u{feff}one"] {
            let refusal = app.refused("CreateAccessToken", json!({"authentication_code": unseen}), "INVALID_FIELD_VALUE").await;
            assert_eq!(refusal.fields(), ["authentication_code"], "{unseen:?}");
        }
        app.ok("CreateAccessToken", json!({"authentication_code": "caf\u{e9}"})).await;
        app.refused("CreateAccessToken", json!({"authentication_code": "cafe\u{301}"}), "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
        let shown = app.ok("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": "cafe\u{301}"}})).await;
        assert_eq!(shown["authentication_code"], "caf\u{e9}");
    }

    async fn an_owner_has_at_most_as_many_as_the_policy_allows(app) {
        app.import("DEMO", DIRECTORY).await;
        classification(&app, "few", json!({"max_per_owner": 2})).await;
        let request = with(of("few"), json!({"accounts_receivable_identifier": {"id": "A1"}}));
        app.ok("CreateAccessToken", request.clone()).await;
        app.ok("CreateAccessToken", request.clone()).await;
        app.refused("CreateAccessToken", request, "OWNER_LIMIT_REACHED").await;
        app.ok("CreateAccessToken", with(of("few"), json!({"accounts_receivable_identifier": {"id": "A2"}}))).await;
        app.ok("CreateAccessToken", of("few")).await;
    }

    async fn a_number_that_an_import_took_is_skipped(app) {
        let first = app.ok("CreateAccessToken", json!({})).await;
        let number: u64 = first["number"].as_str().and_then(|n| n[2..].parse().ok()).expect("a number");
        let taken = (number + 1..number + 40).map(|n| json!({"access_token": {"id": format!("T{n}"), "number": format!("AT{n:010}"), "authentication_code": format!("c{n}")}}).to_string());
        app.import("DEMO", &taken.collect::<Vec<_>>().join("\n")).await;
        for _ in 0..5 {
            let created = app.ok("CreateAccessToken", json!({})).await;
            let drawn: u64 = created["number"].as_str().and_then(|n| n[2..].parse().ok()).expect("a number");
            assert!(drawn >= number + 40, "{drawn}");
        }
    }

    async fn whole_card_numbers_are_refused(app) {
        for number in ["4111111111111111", "4111 1111 1111 1111", "411111111*1111"] {
            let refusal = app.refused("CreateAccessToken", json!({"card_masked_number": number}), "CARD_NUMBER_NOT_MASKED").await;
            assert_eq!(refusal.fields(), ["card_masked_number"]);
            assert!(!refusal.text().contains(number));
        }
    }
}
