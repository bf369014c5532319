//! The description is complete, and consistent in itself.

use super::*;
use crate::route::routes;

fn described(release: Release) -> Value {
    document(&routes(release).0, release)
}

/// Every reference in a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_route_is_described() {
    let document = described(Release::default());
    let (routes, _) = routes(Release::default());
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), routes.iter().filter(|route| route.mount == Mount::Canonical).count());
    let mut ids = std::collections::HashSet::new();
    for route in routes.iter().filter(|route| route.mount == Mount::Canonical) {
        let operation = &paths[&route.path][route.verb.as_str().to_lowercase()];
        assert!(ids.insert(operation["operationId"].as_str().expect("an id").to_owned()));
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{}", route.path);
        assert!(operation["x-permission"].is_string());
        let original = routes.iter().find(|other| other.mount == Mount::Legacy && other.grpc_path == route.grpc_path);
        assert_eq!(operation.get("x-original-path"), original.map(|route| json!(route.path)).as_ref());
        assert_eq!(operation.get("requestBody").is_some(), route.verb == Method::POST);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = described(Release::default());
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference}");
    }
}

#[test]
fn identifiers_are_described_as_alternatives() {
    let document = described(Release::default());
    let identifier = &document["components"]["schemas"]["AccessTokenIdentifier"]["oneOf"];
    let keys: Vec<Vec<&String>> = identifier
        .as_array()
        .expect("alternatives")
        .iter()
        .map(|alternative| alternative["properties"].as_object().expect("properties").keys().collect())
        .collect();
    let credential = &["identifier", "one_time_password", "pass_code"][..];
    let expected = [&["authentication_code"], credential, &["id"], &["number"]];
    assert_eq!(keys, expected);
    assert_eq!(identifier[1]["required"], json!(["identifier"]));
    let show = &document["components"]["schemas"]["ShowAccessTokenRequest"];
    assert_eq!(show["required"], json!(["access_token_identifier"]));
    assert!(show["properties"]["token"].is_object());
    let reset = &document["components"]["schemas"]["ResetPassCodeRequest"];
    let given = json!({"not": {"type": "null"}});
    let expected = json!([
        {"required": ["authentication_code"], "properties": {"authentication_code": given, "identifier": {"type": "null"}}},
        {"required": ["identifier"], "properties": {"identifier": given, "authentication_code": {"type": "null"}}},
    ]);
    assert_eq!(reset["oneOf"], expected);
    assert_eq!(reset["properties"]["identifier"]["type"], json!(["string", "integer", "null"]));
}

#[test]
fn a_choice_that_need_not_be_made_has_none_as_an_alternative() {
    let document = described(Release::default());
    let schemas = &document["components"]["schemas"];
    let change = &schemas["ChangePassCodeRequest"];
    assert_eq!(change["required"], json!(["access_token_identifier", "new_pass_code"]));
    let (given, unset) = (json!({"not": {"type": "null"}}), json!({"type": "null"}));
    let expected = json!([
        {"required": ["pass_code"], "properties": {"pass_code": given, "one_time_password": unset}},
        {"required": ["one_time_password"], "properties": {"one_time_password": given, "pass_code": unset}},
        {"required": [], "properties": {"one_time_password": unset, "pass_code": unset}},
    ]);
    assert_eq!(change["oneOf"], expected);
    // A request that is nothing but a choice.
    let forgot = &schemas["ForgotPassCodeRequest"];
    assert!(forgot.get("required").is_none(), "{forgot}");
    assert_eq!(forgot["oneOf"].as_array().map(Vec::len), Some(2));
}

#[test]
fn lists_are_described_in_requests_and_answers() {
    let document = described(Release::default());
    let schemas = &document["components"]["schemas"];
    let kinds = &schemas["UnlockAccessTokenRequest"]["properties"]["secret_kinds"];
    let names = json!(["PASS_CODE", "VERIFICATION_CODE", "ONE_TIME_PASSWORD"]);
    assert_eq!(kinds["type"], json!(["array", "null"]));
    assert_eq!(kinds["items"], json!({"type": ["string"], "enum": names}));
    let data = |path: &str, verb: &str| {
        let answer = &document["paths"][path][verb]["responses"]["200"]["content"]["application/json"]["schema"];
        answer["properties"]["data"].clone()
    };
    let explained = data("/v1/access_tokens/explain", "post");
    assert_eq!(explained, json!({"$ref": "#/components/schemas/ExplainAccessTokenResponse"}));
    assert_eq!(schemas["ExplainAccessTokenResponse"]["properties"]["obstacles"]["type"], "array");
    let budgets = data("/v1/access_tokens/configuration/guess_budgets/list", "get");
    assert_eq!(budgets, json!({"type": "array", "items": {"$ref": "#/components/schemas/GuessBudget"}}));
    assert_eq!(data("/v1/access_tokens/forgot_pass_code", "post"), Value::Null);
}

#[test]
fn what_an_update_empties_is_told() {
    let document = described(Release::default());
    let update = &document["components"]["schemas"]["UpdateAccessTokenRequest"]["properties"];
    assert_eq!(update["udf_string_1"]["type"], json!(["string", "integer", "null"]));
    assert!(update["udf_string_1"]["x-null"].is_string());
    assert!(update.get("update_mask").is_none() && update["fields_set"].get("x-null").is_none());
}

#[test]
fn an_earlier_release_is_described_as_it_was() {
    let token = |release| described(release)["components"]["schemas"]["AccessToken"]["properties"].clone();
    let early = token(Release::new(9, 0, 0));
    assert!(early.get("reward_participant").is_some() && early.get("udf_string_1").is_none());
    let last = token(Release::default());
    assert!(last.get("rewards_participant").is_some() && last.get("reward_participant").is_none());
    assert_eq!(last["card_last_4_digits"]["deprecated"], json!(true));
}

#[test]
fn a_created_access_token_leads_to_what_can_be_done_with_it() {
    let document = described(Release::default());
    let links = &document["paths"]["/v1/access_tokens/create"]["post"]["responses"]["200"]["links"];
    for method in ["ShowAccessToken", "UpdateAccessToken", "SetAsNotEffective", "GenerateOtp", "ExplainAccessToken"] {
        assert_eq!(links[method]["operationId"], method);
    }
    assert!(document["paths"]["/v1/access_tokens/show"]["post"]["responses"]["200"].get("links").is_none());
}
