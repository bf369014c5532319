//! Updates of access tokens: null, absence, and immutable fields.

use serde_json::{Value, json};

use crate::on_both_databases;

const TOKEN: &str = r#"{"access_token": {"id": "T", "number": "AT1", "authentication_code": "7", "identifier": "login", "pass_code": "secret", "card_masked_number": "************4242", "udf_string_1": "one", "udf_string_2": "two", "udf_float_1": 1.5, "udf_date_1": "2024-01-02T03:04:05"}}"#;

fn update(more: Value) -> Value {
    let mut request = json!({"access_token_identifier": {"id": "T"}});
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request
}

fn credential(pass_code: &str) -> Value {
    json!({"access_token_identifier": {"credential": {"identifier": "login", "pass_code": pass_code}}})
}

on_both_databases! {
    async fn absent_stays_and_null_clears(app) {
        app.import("DEMO", TOKEN).await;
        let updated = app.ok("UpdateAccessToken", update(json!({"udf_string_1": "new", "update_mask": "udf_string_1,udf_string_2,udf_date_1,card_masked_number"}))).await;
        assert_eq!(updated["udf_string_1"], "new");
        for cleared in ["udf_string_2", "udf_date_1", "card_masked_number", "card_last_4_digits"] {
            assert_eq!(updated.get(cleared), None, "{cleared}");
        }
        assert_eq!((&updated["udf_float_1"], &updated["identifier"], &updated["authentication_code"]), (&json!(1.5), &json!("login"), &json!("7")));
        app.ok("ShowAccessToken", credential("secret")).await;
        assert_eq!(app.ok("ShowAccessToken", json!({"access_token_identifier": {"id": "T"}})).await, updated);
    }

    async fn without_a_mask_what_is_set_is_written(app) {
        app.import("DEMO", TOKEN).await;
        let updated = app.ok("UpdateAccessToken", update(json!({"udf_string_2": "", "udf_float_4": 0.0}))).await;
        assert_eq!((&updated["udf_string_1"], &updated["udf_string_2"], &updated["udf_float_4"]), (&json!("one"), &json!(""), &json!(0.0)));
    }

    async fn a_mask_and_the_fields_must_agree(app) {
        app.import("DEMO", TOKEN).await;
        let refusal = app.refused("UpdateAccessToken", update(json!({"udf_string_1": "x", "update_mask": "udf_string_2"})), "INVALID_FIELD_VALUE").await;
        assert_eq!(refusal.fields(), ["udf_string_1"]);
        for path in ["life_cycle_state", "accounts_receivable", "classification", "number", "id", "verified_date", "nonsense", "access_token_identifier"] {
            let refusal = app.refused("UpdateAccessToken", update(json!({"update_mask": path})), "UNKNOWN_FIELD").await;
            assert!(refusal.text().contains("udf_string_8"), "the known fields are listed: {}", refusal.text());
        }
        assert_eq!(app.ok("ShowAccessToken", credential("secret")).await["udf_string_1"], "one");
    }

    async fn a_null_authentication_code_is_regenerated(app) {
        app.import("DEMO", TOKEN).await;
        let updated = app.ok("UpdateAccessToken", update(json!({"update_mask": "authentication_code"}))).await;
        assert_eq!(updated["authentication_code"].as_str().map(str::len), Some(32));
        app.refused("ShowAccessToken", json!({"access_token_identifier": {"authentication_code": "7"}}), "ACCESS_TOKEN_NOT_FOUND").await;
    }

    async fn an_identifier_needs_its_pass_code_in_the_same_call(app) {
        app.import("DEMO", TOKEN).await;
        let refusal = app.refused("UpdateAccessToken", update(json!({"identifier": "other"})), "REQUIRED_FIELD_MISSING").await;
        assert_eq!(refusal.fields(), ["pass_code"]);
        app.ok("UpdateAccessToken", update(json!({"pass_code": "changed"}))).await;
        app.refused("ShowAccessToken", credential("secret"), "INVALID_CREDENTIAL").await;
        app.ok("ShowAccessToken", credential("changed")).await;
        let refusal = app.refused("UpdateAccessToken", update(json!({"update_mask": "pass_code"})), "IDENTIFIER_REQUIRED").await;
        assert_eq!(refusal.fields(), ["pass_code"]);
    }

    async fn a_null_identifier_takes_the_pass_code_with_it(app) {
        app.import("DEMO", TOKEN).await;
        let updated = app.ok("UpdateAccessToken", update(json!({"update_mask": "identifier"}))).await;
        assert_eq!(updated.get("identifier"), None);
        app.refused("ShowAccessToken", credential("secret"), "INVALID_CREDENTIAL").await;
        // A pass code that stays would be valid for the next owner of the identifier.
        let refusal = app.refused("UpdateAccessToken", update(json!({"identifier": "login"})), "REQUIRED_FIELD_MISSING").await;
        assert_eq!(refusal.fields(), ["pass_code"]);
    }

    async fn a_policy_may_forbid_to_clear_the_identifier(app) {
        app.import("DEMO", TOKEN).await;
        app.import("DEMO", r#"{"organisation": {"definition": {"allow_without_identifier_and_pass_code": false}}}"#).await;
        let refusal = app.refused("UpdateAccessToken", update(json!({"update_mask": "identifier"})), "IDENTIFIER_REQUIRED").await;
        assert_eq!(refusal.code(), tonic::Code::FailedPrecondition);
        app.ok("ShowAccessToken", credential("secret")).await;
    }

    async fn duplicates_change_nothing(app) {
        app.import("DEMO", TOKEN).await;
        app.import("DEMO", r#"{"access_token": {"id": "U", "number": "AT2", "authentication_code": "8", "identifier": "other"}}"#).await;
        let request = update(json!({"authentication_code": "8", "udf_string_1": "half"}));
        app.refused("UpdateAccessToken", request, "AUTHENTICATION_CODE_ALREADY_EXISTS").await;
        let request = update(json!({"identifier": "other", "pass_code": "1234", "udf_string_1": "half"}));
        app.refused("UpdateAccessToken", request, "IDENTIFIER_ALREADY_EXISTS").await;
        let shown = app.ok("ShowAccessToken", credential("secret")).await;
        assert_eq!((&shown["udf_string_1"], &shown["authentication_code"]), (&json!("one"), &json!("7")));
    }

    async fn all_fields_at_fault_are_named(app) {
        app.import("DEMO", TOKEN).await;
        let request = update(json!({
            "authentication_code": "a\nb", "udf_string_3": "x".repeat(4_001), "card_masked_number": "4111111111111111",
            "pass_code": "abc", "udf_string_1": "half",
        }));
        let refusal = app.try_call("UpdateAccessToken", request).await.expect_err("refused");
        assert_eq!(refusal.fields(), ["authentication_code", "pass_code", "card_masked_number", "udf_string_3"]);
        assert_eq!(app.ok("ShowAccessToken", credential("secret")).await["udf_string_1"], "one");
    }
}
