//! Requests of every form, as messages of the contract.

use access_tokens_proto::v1;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use serde_json::json;

use super::*;
use crate::route::{Mount, routes};

/// A gateway's side of one method: what is read of a query and a body.
struct Method {
    route: Route,
    plans: Plans,
    config: GatewayConfig,
}

fn method(path: &str) -> Method {
    method_in(path, Release::default())
}

fn method_in(path: &str, release: Release) -> Method {
    mounted(&format!("/v1/{path}"), release)
}

/// The method below the paths of the original API.
fn legacy(path: &str) -> Method {
    mounted(&format!("/crmapi/rest/v2/{path}"), Release::default())
}

fn mounted(path: &str, release: Release) -> Method {
    let (routes, plans) = routes(release);
    let route = routes.into_iter().find(|route| route.path == path);
    Method { route: route.expect("a route"), plans, config: GatewayConfig { release, ..Default::default() } }
}

impl Method {
    fn read(&self, query: &str, body: &str) -> Result<Request, ApiError> {
        super::read(&self.route, &self.plans, &self.config, Some(query), body.as_bytes())
    }

    fn body<M: Message + Default>(&self, body: serde_json::Value) -> M {
        self.message("", &body.to_string())
    }

    fn query<M: Message + Default>(&self, query: &str) -> M {
        self.message(query, "")
    }

    fn message<M: Message + Default>(&self, query: &str, body: &str) -> M {
        let request = self.read(query, body).unwrap_or_else(|error| panic!("{query} {body}: {error:?}"));
        M::decode(request.message).expect("a message")
    }

    /// Reason and description of a refusal.
    fn refused(&self, query: &str, body: &str) -> (String, String) {
        let Err(error) = self.read(query, body) else { panic!("{query} {body} was read") };
        let response = error.into_response(Mount::Canonical);
        let reason = response.headers()[crate::error::ERROR_REASON].to_str().expect("text").to_owned();
        let body = http_body_util::BodyExt::collect(response.into_body());
        let body = tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(body);
        let envelope: serde_json::Value = serde_json::from_slice(&body.expect("bytes").to_bytes()).expect("JSON");
        let status = &envelope["status"];
        let text = format!(
            "{} | {}",
            status["description"].as_str().expect("text"),
            status["message"].as_str().expect("text")
        );
        (reason, text)
    }
}

const TOKEN_ID: &str = "access_token_identifier";

#[test]
fn an_access_token_is_named_in_four_ways() {
    use v1::access_token_identifier::{Credential, Identifier};
    let show = method("access_tokens/show");
    let named = |identifier: serde_json::Value| {
        let request: v1::ShowAccessTokenRequest = show.body(json!({ TOKEN_ID: identifier }));
        request.access_token_identifier.and_then(|identifier| identifier.identifier)
    };
    let code = Some(Identifier::AuthenticationCode("180581".to_owned()));
    assert_eq!(named(json!({"authentication_code": "180581"})), code);
    assert_eq!(named(json!({"authentication_code": 180581})), code);
    assert_eq!(named(json!({"authentication_code": "180581", "number": null, "pass_code": null})), code);
    assert_eq!(named(json!({"id": "1"})), Some(Identifier::Id("1".to_owned())));
    assert_eq!(named(json!({"number": "AT1"})), Some(Identifier::Number("AT1".to_owned())));
    let credential = |pass_code: Option<&str>, one_time_password: Option<&str>| {
        let [pass_code, one_time_password] = [pass_code, one_time_password].map(|secret| secret.map(str::to_owned));
        Some(Identifier::Credential(Credential { identifier: "a".to_owned(), pass_code, one_time_password }))
    };
    assert_eq!(named(json!({"identifier": "a", "pass_code": "b"})), credential(Some("b"), None));
    assert_eq!(named(json!({"pass_code": 12, "identifier": "a"})), credential(Some("12"), None));
    assert_eq!(named(json!({"identifier": "a"})), credential(None, None));
    assert_eq!(named(json!({"identifier": "a", "one_time_password": "012"})), credential(None, Some("012")));
    let null = json!({"identifier": "a", "pass_code": null, "one_time_password": 12});
    assert_eq!(named(null), credential(None, Some("12")));
    // The gateway forwards both members; the service decides which one it accepts.
    let both = json!({"identifier": "a", "pass_code": "b", "one_time_password": "c"});
    assert_eq!(named(both), credential(Some("b"), Some("c")));
}

#[test]
fn a_secret_beside_the_name_is_not_the_one_within() {
    use v1::access_token_identifier::{Credential, Identifier};
    let credential = |identifier: Option<v1::AccessTokenIdentifier>| match identifier.and_then(|name| name.identifier) {
        Some(Identifier::Credential(credential)) => credential,
        other => panic!("{other:?}"),
    };
    let alone = Credential { identifier: "a".to_owned(), ..Default::default() };

    let check = method("access_tokens/check_pass_code");
    let beside: v1::CheckPassCodeRequest = check.body(json!({TOKEN_ID: {"identifier": "a"}, "pass_code": "b"}));
    assert_eq!((credential(beside.access_token_identifier), beside.pass_code), (alone.clone(), Some("b".to_owned())));
    let within: v1::CheckPassCodeRequest = check.body(json!({TOKEN_ID: {"identifier": "a", "pass_code": "b"}}));
    let expected = Credential { pass_code: Some("b".to_owned()), ..alone.clone() };
    assert_eq!((credential(within.access_token_identifier), within.pass_code), (expected, None));
    assert_eq!(check.refused("", r#"{"one_time_password":"1"}"#).0, "UNKNOWN_FIELD");

    let otp = method("access_tokens/verify_otp");
    let beside: v1::VerifyOtpRequest = otp.body(json!({TOKEN_ID: {"number": "AT1"}, "one_time_password": 12}));
    assert_eq!(beside.one_time_password.as_deref(), Some("12"));
    assert_eq!(otp.refused("", r#"{"pass_code":"1"}"#).0, "UNKNOWN_FIELD");

    use v1::change_pass_code_request::Proof;
    let change = method("access_tokens/change_pass_code");
    let proof = |proof: serde_json::Value| {
        let mut body = json!({TOKEN_ID: {"identifier": "a"}, "new_pass_code": "n"});
        body.as_object_mut().expect("an object").extend(proof.as_object().expect("an object").clone());
        let request: v1::ChangePassCodeRequest = change.body(body);
        assert_eq!((credential(request.access_token_identifier), request.new_pass_code.as_str()), (alone.clone(), "n"));
        request.proof
    };
    assert_eq!(proof(json!({"pass_code": "b"})), Some(Proof::PassCode("b".to_owned())));
    let null = json!({"pass_code": null, "one_time_password": "c"});
    assert_eq!(proof(null), Some(Proof::OneTimePassword("c".to_owned())));
    assert_eq!(proof(json!({})), None);
    let (reason, text) = change.refused("", r#"{"pass_code":"s3cret","one_time_password":"s3cret"}"#);
    assert_eq!(reason, "INVALID_FIELD_VALUE");
    assert!(text.contains("pass_code: only one of pass_code, one_time_password may be given"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn a_list_of_names_is_an_array() {
    let unlock = method("access_tokens/unlock");
    let kinds = |kinds: serde_json::Value| {
        let request: v1::UnlockAccessTokenRequest = unlock.body(json!({TOKEN_ID: {"id": "1"}, "secret_kinds": kinds}));
        request.secret_kinds
    };
    assert_eq!(kinds(json!(["ONE_TIME_PASSWORD", "PASS_CODE"])), [3, 1]);
    assert_eq!((kinds(json!([])), kinds(json!(null))), (vec![], vec![]));
    for (bad, field) in [
        (json!("PASS_CODE"), "secret_kinds: must be an array"),
        (json!([1]), "secret_kinds[0]: must be one of PASS_CODE, VERIFICATION_CODE, ONE_TIME_PASSWORD"),
        (json!(["PASS_CODE", null]), "secret_kinds[1]: "),
        (json!(["SECRET_KIND_UNSPECIFIED"]), "secret_kinds[0]: "),
    ] {
        let (reason, text) = unlock.refused("", &json!({ "secret_kinds": bad }).to_string());
        assert!(reason == "INVALID_FIELD_VALUE" && text.starts_with(field), "{reason} {text}");
    }
}

#[test]
fn a_forgotten_pass_code_needs_no_more_than_a_name() {
    use v1::forgot_pass_code_request::AccessToken;
    let forgot = method("access_tokens/forgot_pass_code");
    let request: v1::ForgotPassCodeRequest = forgot.body(json!({"token": "t", "identifier": "a"}));
    assert_eq!(request.access_token, Some(AccessToken::Identifier("a".to_owned())));
    assert_eq!(forgot.refused("", r#"{"authentication_code":"1","identifier":"2"}"#).0, "INVALID_IDENTIFIER");
    assert_eq!(forgot.refused("", r#"{"identifier":"a","pass_code":"b"}"#).0, "UNKNOWN_FIELD");
}

#[test]
fn none_or_several_names_are_an_error_that_says_so() {
    let show = method("access_tokens/show");
    for identifier in [
        json!({}),
        json!({"authentication_code": null}),
        json!({"authentication_code": "1", "id": "2"}),
        json!({"authentication_code": "1", "pass_code": "2"}),
        json!({"identifier": "1", "pass_code": "2", "number": "3"}),
        json!({"pass_code": "2"}),
        json!({"one_time_password": "2"}),
    ] {
        let (reason, text) = show.refused("", &json!({ TOKEN_ID: identifier }).to_string());
        assert_eq!(reason, "INVALID_IDENTIFIER", "{identifier}");
        assert!(text.contains("access_token_identifier"), "{text}");
    }
    let (_, text) = show.refused("", &json!({ TOKEN_ID: {} }).to_string());
    let alternatives = "authentication_code, identifier with pass_code or one_time_password, id, number";
    assert!(text.contains(&format!("exactly one of: {alternatives}; has none")), "{text}");
    let list = method("access_tokens/list");
    let both = "accounts_receivable_identifier=id=1&rewards_participant_identifier=id=1";
    let (reason, text) = list.refused(both, "");
    assert_eq!(reason, "INVALID_IDENTIFIER");
    assert!(
        text.contains("accounts_receivable_identifier: only one")
            && text.contains("rewards_participant_identifier: only one")
    );
    let reset = method("access_tokens/reset_pass_code");
    assert_eq!(reset.refused("", r#"{"authentication_code":"1","identifier":"2"}"#).0, "INVALID_IDENTIFIER");
}

#[test]
fn parameters_of_a_query_have_all_documented_forms() {
    use v1::accounts_receivable_identifier::Identifier;
    use v1::list_access_tokens_request::Owner;
    let list = method("access_tokens/list");
    for (value, expected) in [
        ("number=ACR001018", Identifier::Number("ACR001018".to_owned())),
        ("number%3DACR001018", Identifier::Number("ACR001018".to_owned())),
        ("name=a=b", Identifier::Name("a=b".to_owned())),
        ("%7B%22id%22:%221%22%7D", Identifier::Id("1".to_owned())),
        ("{\"id\":1}", Identifier::Id("1".to_owned())),
        ("name=", Identifier::Name(String::new())),
    ] {
        let query =
            format!("accounts_receivable_identifier={value}&number_of_results=5&offset=0&fields_set=id,%20number");
        let request: v1::ListAccessTokensRequest = list.query(&query);
        let owner =
            Owner::AccountsReceivableIdentifier(v1::AccountsReceivableIdentifier { identifier: Some(expected) });
        assert_eq!(request.owner, Some(owner), "{value}");
        assert_eq!((request.number_of_results, request.offset), (Some(5), Some(0)));
        assert_eq!(request.fields_set.expect("a mask").paths, ["id", "number"]);
    }
    let free = method("access_tokens/get_not_associated");
    let request: v1::GetNotAssociatedAccessTokensRequest =
        free.query("number=10&life_cycle_state=NOT_EFFECTIVE&token=t");
    assert_eq!((request.number, request.life_cycle_state), (Some(10), Some(2)));
    for (query, reason) in [
        ("number=ten", "INVALID_FIELD_VALUE"),
        ("number=1&number=1", "INVALID_FIELD_VALUE"),
        ("number=1&nmbr=1", "UNKNOWN_FIELD"),
        ("number=1&life_cycle_state=effective", "INVALID_FIELD_VALUE"),
        ("number=1&life_cycle_state=LIFE_CYCLE_STATE_UNSPECIFIED", "INVALID_FIELD_VALUE"),
        ("number=99999999999", "INVALID_FIELD_VALUE"),
    ] {
        assert_eq!(free.refused(query, "").0, reason, "{query}");
    }
    assert_eq!(list.refused("accounts_receivable_identifier=ACR001018", "").0, "INVALID_FIELD_VALUE");
}

#[test]
fn an_update_writes_the_keys_that_are_present_null_included() {
    let update = method("access_tokens/update");
    let request: v1::UpdateAccessTokenRequest = update.body(json!({
        "token": "t",
        TOKEN_ID: {"number": "AT1"},
        "identifier": null,
        "udf_float_1": "1.5",
        "udf_date_1": null,
        "authentication_code": 7,
        "fields_set": "number",
    }));
    assert_eq!(
        request.update_mask.expect("a mask").paths,
        ["authentication_code", "identifier", "udf_date_1", "udf_float_1"]
    );
    assert_eq!((request.identifier, request.udf_float_1, request.udf_date_1), (None, Some(1.5), None));
    assert_eq!(request.authentication_code.as_deref(), Some("7"));
    assert_eq!(request.fields_set.expect("a mask").paths, ["number"]);
    let nothing: v1::UpdateAccessTokenRequest = update.body(json!({ TOKEN_ID: {"id": "1"} }));
    assert_eq!(nothing.update_mask, None);
    assert_eq!(update.refused("", r#"{"update_mask":"identifier"}"#).0, "UNKNOWN_FIELD");
}

#[test]
fn null_is_not_given_elsewhere() {
    let create = method("access_tokens/create");
    let request: v1::CreateAccessTokenRequest = create.body(json!({
        "identifier": null, "accounts_receivable_identifier": null, "fields_set": null, "token": null,
    }));
    assert_eq!(request, v1::CreateAccessTokenRequest::default());
}

#[test]
fn dates_are_read_in_the_zone() {
    let mut create = method("access_tokens/create");
    create.config.time_zone = crate::TimeZone::Asia__Nicosia;
    for text in ["2015-11-27T16:08:55", "2015-11-27T14:08:55Z", "Fri Nov 27 16:08:55 EET 2015"] {
        let request: v1::CreateAccessTokenRequest = create.body(json!({"udf_date_1": text}));
        assert_eq!(request.udf_date_1.expect("a date").seconds, 1_448_633_335);
    }
    for bad in [json!("tomorrow"), json!(1_448_633_335), json!({"seconds": 1}), json!(true)] {
        let (reason, text) = create.refused("", &json!({ "udf_date_1": bad }).to_string());
        assert!(reason == "INVALID_FIELD_VALUE" && text.starts_with("udf_date_1: must be a date"), "{text}");
    }
}

#[test]
fn every_fault_is_named_and_no_value_repeated() {
    let create = method("access_tokens/create");
    let (reason, text) = create.refused("", r#"{"udf_float_1":"s3cret","pass_code":{"s":"s3cret"},"udf_flaot_2":"s3cret","identifier":["s3cret"],"authentication_code":1.5}"#);
    assert_eq!(reason, "INVALID_FIELD_VALUE");
    for field in ["udf_float_1: ", "pass_code: ", "udf_flaot_2: unknown field", "identifier: ", "authentication_code: "]
    {
        assert!(text.contains(field), "{field} in {text}");
    }
    assert!(text.contains("known: ") && text.contains("udf_float_2") && !text.contains("s3cret"), "{text}");
    for body in ["[]", "1", "\"s3cret\"", "s3cret", "{\"a\":1,\"a\":2}", "{\"pass_code\":\"s3cret\"", "null"] {
        let (reason, text) = create.refused("", body);
        assert!(reason == "INVALID_FIELD_VALUE" && !text.contains("s3cret"), "{body}: {text}");
    }
    assert_eq!(create.read("", "\u{feff}{}").map(|_| ()).map_err(|_| ()), Ok(()));
    assert!(super::read(&create.route, &create.plans, &create.config, None, b"{\"a\":\"\xff\"}").is_err());
    let (_, text) = create.refused("", &format!("{{\"{}\":1}}", "x".repeat(10_000)));
    assert!(text.len() < 2_000);
}

#[test]
fn the_session_token_is_taken_out_of_the_parameters() {
    let show = method("access_tokens/show");
    let token = |query: &str, body: &str| show.read(query, body).expect("valid").token;
    assert_eq!(token("", r#"{"token":"t"}"#).as_deref(), Some("t"));
    assert_eq!(token("token=t", "").as_deref(), Some("t"));
    assert_eq!((token("", r#"{"token":null}"#), token("token=", "")), (None, None));
    assert_eq!(show.refused("token=t", r#"{"token":"t"}"#).0, "INVALID_FIELD_VALUE");
    assert_eq!(show.refused("", r#"{"token":{}}"#).0, "INVALID_FIELD_VALUE");
}

#[test]
fn fields_are_chosen_by_the_names_of_the_release() {
    let show = |release: Release| method_in("access_tokens/show", release);
    let early = show(Release::new(12, 0, 0));
    let mask = |method: &Method, fields: &str| -> Vec<String> {
        let request: v1::ShowAccessTokenRequest = method.body(json!({ "fields_set": fields }));
        request.fields_set.map(|mask| mask.paths).unwrap_or_default()
    };
    assert_eq!(mask(&early, "reward_participant.number, id"), ["rewards_participant.number", "id"]);
    let (reason, text) = early.refused("", r#"{"fields_set":"card_masked_number"}"#);
    assert_eq!(reason, "UNKNOWN_FIELD");
    assert!(text.contains("in release R12.0.0") && text.contains("reward_participant"), "{text}");
    let last = show(Release::default());
    // The service refuses an unknown path.
    assert_eq!(mask(&last, "reward_participant,nonsense"), ["reward_participant", "nonsense"]);
    assert_eq!(mask(&last, " , ,"), Vec::<String>::new());
    let all = last.read("", r#"{"fields_set":["*","id"]}"#).expect("valid");
    assert_eq!(all.selection, Selection::All);
    assert_eq!(last.refused("", r#"{"fields_set":7}"#).0, "INVALID_FIELD_VALUE");
}

#[test]
fn a_login_needs_nothing_special() {
    let login = method("authentication/token");
    let request: v1::LoginRequest = login.body(json!({"username": "u", "password": 123, "organisation": "DEMO"}));
    assert_eq!((request.username.as_str(), request.password.as_str(), request.unit), ("u", "123", None));
    assert_eq!(login.refused("", r#"{"user":"u"}"#).0, "UNKNOWN_FIELD");
    let key = method("authentication/web_api_key/token");
    assert_eq!(key.message::<v1::LoginWithApiKeyRequest>("", ""), v1::LoginWithApiKeyRequest::default());
}

proptest::proptest! {
    /// The forms of a query and of a body agree.
    #[test]
    fn query_and_body_agree(
        kind in 0..3usize, name in "\\PC{0,20}", results in proptest::option::of(0..2000i32), fields in proptest::bool::ANY,
    ) {
        let list = method("access_tokens/list");
        let field = ["id", "number", "name"][kind];
        let mut body = json!({"accounts_receivable_identifier": { field: name }});
        let encoded = utf8_percent_encode(&name, NON_ALPHANUMERIC);
        let mut query = format!("accounts_receivable_identifier={field}={encoded}");
        let object = body["accounts_receivable_identifier"].to_string();
        let mut as_json = format!("accounts_receivable_identifier={}", utf8_percent_encode(&object, NON_ALPHANUMERIC));
        if let Some(results) = results {
            body["number_of_results"] = json!(results);
            query += &format!("&number_of_results={results}");
            as_json += &format!("&number_of_results={results}");
        }
        if fields {
            body["fields_set"] = json!("id, number");
            query += "&fields_set=id,+number";
            as_json += "&fields_set=id%2C%20number";
        }
        let from_body: v1::ListAccessTokensRequest = list.body(body);
        proptest::prop_assert_eq!(&from_body, &list.query::<v1::ListAccessTokensRequest>(&query));
        proptest::prop_assert_eq!(&from_body, &list.query::<v1::ListAccessTokensRequest>(&as_json));
    }

    #[test]
    fn any_query_and_body_are_read_or_refused(query in ".*", body in "(.*|\\{\"[a-z_]{1,12}\":.*\\})") {
        let _ = method("access_tokens/list").read(&query, &body);
    }
}

mod tolerance;
