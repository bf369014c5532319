//! Lists: owners, order, pages, and tokens without an owner.

use serde_json::{Value, json};

use crate::on_both_databases;

const DIRECTORY: &str = r#"
{"accounts_receivable": {"id": "A1", "number": "ACR1"}}
{"accounts_receivable": {"id": "A2", "number": "ACR2", "life_cycle_state": "SUSPENDED"}}
{"accounts_receivable": {"id": "A3", "number": "ACR3", "life_cycle_state": "TERMINATED"}}
{"rewards_participant": {"id": "P1", "number": "RP1", "accounts_receivable": {"id": "A1"}}}
{"rewards_participant": {"id": "P3", "number": "RP3", "life_cycle_state": "TERMINATED", "accounts_receivable": {"id": "A1"}}}
{"classification": {"id": "C", "name": "Cards", "alternative_code": "CC"}}
"#;

fn token(id: &str, more: Value) -> String {
    let mut token = json!({"id": id, "number": format!("N{id}"), "authentication_code": format!("c{id}")});
    token.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({ "access_token": token }).to_string()
}

fn ids(list: &Value) -> Vec<String> {
    let tokens = list.get("access_tokens").and_then(Value::as_array).cloned().unwrap_or_default();
    tokens.iter().map(|token| token["id"].as_str().expect("an id").to_owned()).collect()
}

on_both_databases! {
    async fn an_owner_without_tokens_is_empty_and_an_unknown_one_an_error(app) {
        app.import("DEMO", DIRECTORY).await;
        let list = app.ok("ListAccessTokens", json!({"accounts_receivable_identifier": {"number": "ACR2"}})).await;
        assert!(ids(&list).is_empty());
        app.refused("ListAccessTokens", json!({"accounts_receivable_identifier": {"number": "x"}}), "ACCOUNTS_RECEIVABLE_NOT_FOUND").await;
        app.refused("ListAccessTokens", json!({"rewards_participant_identifier": {"id": "x"}}), "REWARDS_PARTICIPANT_NOT_FOUND").await;
        let refusal = app.try_call("ListAccessTokens", json!({})).await.expect_err("no owner");
        assert!(refusal.text().contains("accounts_receivable_identifier") && refusal.text().contains("rewards_participant_identifier"), "{}", refusal.text());
    }

    async fn ids_ascend_by_bytes_on_every_database(app) {
        app.import("DEMO", DIRECTORY).await;
        let mut expected = ["a", "B", "_", "0", "é", "Z", "aa", "A", "10", "9", "~"];
        for id in expected {
            app.import("DEMO", &token(id, json!({"accounts_receivable": {"id": "A1"}}))).await;
        }
        expected.sort_unstable();
        let list = app.ok("ListAccessTokens", json!({"accounts_receivable_identifier": {"id": "A1"}})).await;
        assert_eq!(ids(&list), expected);
    }

    async fn pages_cover_everything_once(app) {
        app.import("DEMO", DIRECTORY).await;
        let lines: Vec<_> = (0..25).map(|i| token(&format!("T{i:02}"), json!({"rewards_participant": {"id": "P1"}}))).collect();
        app.import("DEMO", &lines.join("\n")).await;
        let owner = json!({"rewards_participant_identifier": {"number": "RP1"}});
        let request = |more: Value| {
            let mut request = owner.clone();
            request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            request
        };
        let mut seen = Vec::new();
        let mut page = app.ok("ListAccessTokens", request(json!({"number_of_results": 10}))).await;
        let first_token = page["next_page_token"].clone();
        loop {
            seen.extend(ids(&page));
            let Some(token) = page.get("next_page_token").cloned() else { break };
            page = app.ok("ListAccessTokens", request(json!({"number_of_results": 10, "page_token": token}))).await;
        }
        let expected: Vec<_> = (0..25).map(|i| format!("T{i:02}")).collect();
        assert_eq!(seen, expected);
        let offset = app.ok("ListAccessTokens", request(json!({"number_of_results": 3, "offset": 20}))).await;
        assert_eq!(ids(&offset), ["T20", "T21", "T22"]);
        assert!(ids(&app.ok("ListAccessTokens", request(json!({"offset": 25}))).await).is_empty());

        for (bad, reason) in [
            (json!({"number_of_results": 0}), "INVALID_FIELD_VALUE"),
            (json!({"number_of_results": 1001}), "INVALID_FIELD_VALUE"),
            (json!({"offset": -1}), "INVALID_FIELD_VALUE"),
            (json!({"offset": 1, "page_token": first_token}), "INVALID_FIELD_VALUE"),
            (json!({"page_token": "nonsense"}), "INVALID_PAGE_TOKEN"),
            (json!({"page_token": first_token, "classification_identifier": {"name": "Cards"}}), "INVALID_PAGE_TOKEN"),
        ] {
            app.refused("ListAccessTokens", request(bad), reason).await;
        }
    }

    async fn a_classification_narrows_the_list(app) {
        app.import("DEMO", DIRECTORY).await;
        app.import("DEMO", &token("1", json!({"accounts_receivable": {"id": "A1"}, "classification": {"id": "C"}}))).await;
        app.import("DEMO", &token("2", json!({"accounts_receivable": {"id": "A1"}}))).await;
        for classification in [json!({"id": "C"}), json!({"name": "Cards"}), json!({"alternative_code": "CC"})] {
            let request = json!({"accounts_receivable_identifier": {"id": "A1"}, "classification_identifier": classification});
            assert_eq!(ids(&app.ok("ListAccessTokens", request).await), ["1"]);
        }
        let request = json!({"accounts_receivable_identifier": {"id": "A1"}, "classification_identifier": {"id": "x"}});
        app.refused("ListAccessTokens", request, "CLASSIFICATION_NOT_FOUND").await;
        let classifications = app.ok("ListClassifications", json!({})).await;
        assert_eq!(classifications["classifications"], json!([{"id": "C", "name": "Cards", "alternative_code": "CC"}]));
    }

    async fn a_terminated_owner_does_not_count_and_a_suspended_one_does(app) {
        app.import("DEMO", DIRECTORY).await;
        let tokens = [
            token("1", json!({})),
            token("2", json!({"accounts_receivable": {"id": "A1"}})),
            token("3", json!({"accounts_receivable": {"id": "A2"}})),
            token("4", json!({"accounts_receivable": {"id": "A3"}})),
            token("5", json!({"rewards_participant": {"id": "P1"}})),
            token("6", json!({"rewards_participant": {"id": "P3"}, "life_cycle_state": "NOT_EFFECTIVE"})),
            token("7", json!({"rewards_participant": {"id": "P3"}, "accounts_receivable": {"id": "A1"}})),
            token("8", json!({"rewards_participant": {"id": "P1"}, "accounts_receivable": {"id": "A3"}})),
            token("9", json!({"rewards_participant": {"id": "P3"}, "accounts_receivable": {"id": "A3"}})),
        ];
        app.import("DEMO", &tokens.join("\n")).await;
        let list = |more: Value| {
            let mut request = json!({"number": 1000});
            request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            request
        };
        assert_eq!(ids(&app.ok("GetNotAssociatedAccessTokens", list(json!({}))).await), ["1", "4", "6", "9"]);
        assert_eq!(ids(&app.ok("GetNotAssociatedAccessTokens", list(json!({"life_cycle_state": "NOT_EFFECTIVE"}))).await), ["6"]);
        assert_eq!(ids(&app.ok("GetNotAssociatedAccessTokens", json!({"number": 2})).await), ["1", "4"]);
        for (bad, reason) in [(json!({}), "REQUIRED_FIELD_MISSING"), (json!({"number": 0}), "INVALID_FIELD_VALUE"), (json!({"number": 1001}), "INVALID_FIELD_VALUE")] {
            let refusal = app.refused("GetNotAssociatedAccessTokens", bad, reason).await;
            assert_eq!(refusal.fields(), ["number"]);
        }
    }

    async fn fields_set_is_exact(app) {
        app.import("DEMO", DIRECTORY).await;
        app.import("DEMO", &token("1", json!({"accounts_receivable": {"id": "A1"}, "rewards_participant": {"id": "P1"}}))).await;
        let show = |fields: &str| json!({"access_token_identifier": {"id": "1"}, "fields_set": fields});
        assert_eq!(app.ok("ShowAccessToken", show("number")).await, json!({"number": "N1"}));
        assert_eq!(app.ok("ShowAccessToken", show("accounts_receivable.number")).await, json!({"accounts_receivable": {"number": "ACR1"}}));
        let both = app.ok("ShowAccessToken", show("rewards_participant.accounts_receivable.id,rewards_participant.number")).await;
        assert_eq!(both, json!({"rewards_participant": {"number": "RP1", "accounts_receivable": {"id": "A1"}}}));
        let refusal = app.refused("ShowAccessToken", show("number,nmae"), "UNKNOWN_FIELD").await;
        assert_eq!(refusal.fields(), ["fields_set"]);
        assert!(refusal.text().contains("life_cycle_state"), "the known names are listed: {}", refusal.text());
    }
}
