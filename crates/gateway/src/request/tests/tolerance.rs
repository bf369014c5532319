//! Spellings of clients of the original API that `/v1` refuses: empty texts for absent values, `[]` for `{}`.

use serde_json::json;

use super::*;

#[test]
fn an_empty_text_is_no_value_below_the_original_paths_only() {
    let create = json!({
        "authentication_code": "", "identifier": "", "pass_code": "", "udf_string_1": "", "udf_float_1": "",
        "udf_date_1": "", "card_masked_number": "", "accounts_receivable_identifier": "", "fields_set": "",
        "classification_identifier": {"id": "C", "name": "", "alternative_code": ""},
    });
    let created: v1::CreateAccessTokenRequest = legacy("access_tokens/create").body(create.clone());
    let classification = created.classification_identifier.clone();
    assert_eq!(
        created,
        v1::CreateAccessTokenRequest { classification_identifier: classification, ..Default::default() }
    );
    assert!(method("access_tokens/create").read("", &create.to_string()).is_err());

    let query = "accounts_receivable_identifier=id=A&rewards_participant_identifier=&classification_identifier=\
                 &number_of_results=&offset=&page_token=&fields_set=&token=";
    let listed: v1::ListAccessTokensRequest = legacy("access_tokens/list").query(query);
    assert!(listed.owner.is_some() && listed.number_of_results.is_none() && listed.offset.is_none());
    assert!(method("access_tokens/list").read(query, "").is_err());
    let free: v1::GetNotAssociatedAccessTokensRequest =
        legacy("access_tokens/get_not_associated").query("number=5&life_cycle_state=");
    assert_eq!((free.number, free.life_cycle_state), (Some(5), None));
    let verify: v1::VerifyAccessTokenRequest = legacy("access_tokens/verify")
        .body(json!({TOKEN_ID: {"id": "T", "number": ""}, "verification_code": "1", "pass_code": ""}));
    assert_eq!(verify.pass_code, None);
}

#[test]
fn an_empty_secret_beside_an_identifier_stays_a_wrong_one() {
    use v1::access_token_identifier::{Credential, Identifier};
    let show = legacy("access_tokens/show");
    let named = |identifier: serde_json::Value| {
        let request: v1::ShowAccessTokenRequest = show.body(json!({ TOKEN_ID: identifier }));
        request.access_token_identifier.and_then(|identifier| identifier.identifier)
    };
    let credential = |identifier: &str, pass_code: Option<&str>, one_time_password: Option<&str>| {
        let [pass_code, one_time_password] = [pass_code, one_time_password].map(|secret| secret.map(str::to_owned));
        Some(Identifier::Credential(Credential { identifier: identifier.to_owned(), pass_code, one_time_password }))
    };
    let of_shop =
        |code: &str, identifier: &str| json!({"authentication_code": code, "identifier": identifier, "pass_code": ""});
    assert_eq!(named(of_shop("", "a")), credential("a", Some(""), None));
    assert_eq!(named(json!({"identifier": "a", "one_time_password": ""})), credential("a", None, Some("")));
    assert_eq!(named(json!({"identifier": "", "pass_code": "p"})), credential("", Some("p"), None));
    assert_eq!(named(of_shop("180581", "")), Some(Identifier::AuthenticationCode("180581".to_owned())));
    assert!(show.read("", &json!({ TOKEN_ID: of_shop("", "") }).to_string()).is_err(), "nothing is named");
    assert!(show.read("", &json!({ TOKEN_ID: of_shop("180581", "a") }).to_string()).is_err(), "two are");
}

#[test]
fn an_update_takes_empty_texts_as_they_are() {
    let update = legacy("access_tokens/update");
    let body = json!({TOKEN_ID: {"id": "T"}, "udf_string_1": "", "identifier": null});
    let request: v1::UpdateAccessTokenRequest = update.body(body);
    assert_eq!(request.udf_string_1.as_deref(), Some(""));
    assert_eq!(request.update_mask.expect("a mask").paths, ["identifier", "udf_string_1"]);
    for field in ["udf_float_1", "udf_date_1"] {
        let (reason, text) = update.refused("", &json!({TOKEN_ID: {"id": "T"}, field: ""}).to_string());
        assert!(reason == "INVALID_FIELD_VALUE" && text.starts_with(field), "{text}");
    }
}

#[test]
fn an_empty_array_is_an_empty_object_below_the_original_paths_only() {
    let release = legacy("authentication/token/release");
    let _: v1::ReleaseTokenRequest = release.message("token=t", "[]");
    assert!(method("authentication/token/release").read("", "[]").is_err());
    for body in ["[1]", "[[]]", "[{}]", "[null]"] {
        assert!(release.read("", body).is_err(), "{body}");
    }
    for path in ["access_tokens/show", "access_tokens/update"] {
        let body = json!({ TOKEN_ID: [] }).to_string();
        let (reason, text) = legacy(path).refused("", &body);
        assert!(reason == "INVALID_IDENTIFIER" && text.contains("has none"), "{text}");
        assert_eq!(method(path).refused("", &body).0, "INVALID_FIELD_VALUE");
        assert_eq!(legacy(path).refused("", &json!({ TOKEN_ID: [{}] }).to_string()).0, "INVALID_FIELD_VALUE");
    }
    let text = legacy("access_tokens/create").refused("", r#"{"identifier":[]}"#).1;
    assert!(text.contains("identifier: must be a string"), "{text}");
}

#[test]
fn a_log_in_reads_no_credential_from_the_query() {
    for login in [legacy("authentication/token"), method("authentication/token")] {
        let body = json!({"username": "u", "password": "p", "organisation": "o"}).to_string();
        for query in ["username=u&password=p&organisation=o", "password=p", "%70assword=p", "unit=1", "nonsense=1"] {
            let (reason, text) = login.refused(query, "");
            assert!(reason == "INVALID_FIELD_VALUE" && text.contains("must be in the body"), "{query}: {text}");
            assert_eq!(login.refused(query, &body).0, "INVALID_FIELD_VALUE", "{query}");
        }
        let request: v1::LoginRequest = login.message("token=old", &body);
        assert_eq!(request.password, "p");
    }
    let key = legacy("authentication/web_api_key/token");
    assert_eq!(key.refused("api_key=atk_1_x", "").0, "INVALID_FIELD_VALUE");
    let release: v1::ReleaseTokenRequest = legacy("authentication/token/release").query("token=t");
    assert_eq!(release, v1::ReleaseTokenRequest {});
}
