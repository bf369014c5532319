//! Requests over HTTP in every form that clients of the original API send, and in invalid forms.

use access_tokens_testkit::http::HttpAnswer;
use serde_json::{Value, json};

use crate::on_both_databases;

const RECORDS: &str = r#"
{"accounts_receivable": {"id": "A", "number": "ACR1", "name": "A name = with signs & ümlauts"}}
{"access_token": {"id": "T", "number": "AT1", "authentication_code": "180581", "identifier": "login", "pass_code": "secret", "accounts_receivable": {"id": "A"}, "udf_string_1": "one", "udf_string_2": "two", "udf_float_1": 1.5}}
"#;

const SHOW: &str = "access_tokens/show";
const CREATE: &str = "access_tokens/create";
const UPDATE: &str = "access_tokens/update";
const LIST: &str = "access_tokens/list";

fn named(name: Value) -> Value {
    json!({"access_token_identifier": name, "fields_set": "number"})
}

/// Checks that the call was refused for this reason, and that the description names this field.
fn at_fault(answer: &HttpAnswer, reason: &str, field: &str) {
    let description = answer.refused(reason);
    assert!(description.split("; ").any(|fault| fault.starts_with(&format!("{field}: "))), "{field}: {}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
}

on_both_databases! {
    async fn one_access_token_is_named_in_every_documented_way(app) {
        app.import("DEMO", RECORDS).await;
        let http = app.http().await;
        for name in [
            json!({"authentication_code": "180581"}), json!({"authentication_code": 180581}),
            json!({"identifier": "login", "pass_code": "secret"}), json!({"identifier": "login"}),
            json!({"id": "T"}), json!({"number": "AT1"}), json!({"number": "AT1", "id": null}),
        ] {
            assert_eq!(http.post(SHOW, named(name)).await.data(), json!({"number": "AT1"}));
        }
        for name in [
            json!({}), json!({"id": null}), json!({"id": "T", "number": "AT1"}),
            json!({"authentication_code": "180581", "identifier": "login", "pass_code": "secret"}),
        ] {
            at_fault(&http.post(SHOW, named(name)).await, "INVALID_IDENTIFIER", "access_token_identifier");
        }
        for name in [json!("180581"), json!(180581), json!([1]), json!(true)] {
            at_fault(&http.post(SHOW, named(name)).await, "INVALID_FIELD_VALUE", "access_token_identifier");
        }
        // PHP writes an empty object as an empty array.
        at_fault(&http.post(SHOW, named(json!([]))).await, "INVALID_IDENTIFIER", "access_token_identifier");
        at_fault(&http.canonical().post(SHOW, named(json!([]))).await, "INVALID_FIELD_VALUE", "access_token_identifier");
        let wrong = json!({"identifier": "login", "pass_code": "wrong"});
        let answer = http.canonical().post(SHOW, named(wrong)).await;
        assert_eq!(answer.status, 403);
        answer.refused("INVALID_CREDENTIAL");
        let answer = http.canonical().post(SHOW, named(json!({"id": "nobody"}))).await;
        assert_eq!(answer.status, 404);
        answer.refused("ACCESS_TOKEN_NOT_FOUND");
    }

    async fn a_numeric_code_is_its_digits(app) {
        let http = app.http().await;
        let request = json!({"authentication_code": 180581, "identifier": 18555, "pass_code": 1234, "fields_set": "authentication_code,identifier"});
        let created = http.post(CREATE, request).await.data();
        assert_eq!(created, json!({"authentication_code": "180581", "identifier": "18555"}));
        let login = json!({"identifier": "18555", "pass_code": "1234"});
        http.post(SHOW, named(login)).await.data();
        let huge = r#"{"authentication_code": 123456789012345678901234567890, "fields_set": "authentication_code", "token": "TOKEN"}"#;
        let created = http.post_text(CREATE, &huge.replace("TOKEN", app.session())).await.data();
        assert_eq!(created["authentication_code"], "123456789012345678901234567890");
        for odd in [json!(1.5), json!(true), json!(["7"]), json!({"a": 1})] {
            at_fault(&http.post(CREATE, json!({"authentication_code": odd})).await, "INVALID_FIELD_VALUE", "authentication_code");
        }
    }

    async fn null_clears_and_absent_stays(app) {
        app.import("DEMO", RECORDS).await;
        let http = app.http().await;
        let update = |more: Value| {
            let mut request = json!({"access_token_identifier": {"id": "T"}, "fields_set": "udf_string_1,udf_string_2,udf_float_1,identifier,authentication_code"});
            request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            request
        };
        let before = http.post(UPDATE, update(json!({}))).await.data();
        assert_eq!(before, json!({"udf_string_1": "one", "udf_string_2": "two", "udf_float_1": 1.5, "identifier": "login", "authentication_code": "180581"}));
        let changed = http.post(UPDATE, update(json!({"udf_string_1": null, "udf_string_2": "", "udf_float_1": 0}))).await.data();
        assert_eq!(changed, json!({"udf_string_1": null, "udf_string_2": "", "udf_float_1": 0.0, "identifier": "login", "authentication_code": "180581"}));
        http.post(SHOW, named(json!({"identifier": "login", "pass_code": "secret"}))).await.data();
        let changed = http.post(UPDATE, update(json!({"authentication_code": null, "identifier": null}))).await.data();
        assert_eq!((&changed["identifier"], changed["authentication_code"].as_str().map(str::len)), (&Value::Null, Some(32)));
        at_fault(&http.post(UPDATE, update(json!({"identifier": "other"}))).await, "REQUIRED_FIELD_MISSING", "pass_code");
        for (key, value) in [("life_cycle_state", json!("EFFECTIVE")), ("accounts_receivable_identifier", json!(null)), ("update_mask", json!("udf_string_1"))] {
            at_fault(&http.post(UPDATE, update(json!({ key: value }))).await, "UNKNOWN_FIELD", key);
        }
    }

    async fn parameters_of_a_query_have_every_form(app) {
        app.import("DEMO", RECORDS).await;
        let http = app.http().await;
        for owner in [
            "accounts_receivable_identifier=number=ACR1",
            "accounts_receivable_identifier=number%3DACR1",
            "accounts_receivable_identifier=%7B%22number%22%3A%22ACR1%22%7D",
            "accounts_receivable_identifier={%22id%22:%22A%22}",
            "accounts_receivable_identifier=name=A+name+=+with+signs+%26+%C3%BCmlauts",
            "accounts_receivable_identifier=name%3DA%20name%20%3D%20with%20signs%20%26%20%c3%bcmlauts&number_of_results=5&offset=0",
        ] {
            for path in [LIST, "access_tokens/list/"] {
                let listed = http.get(path, &format!("{owner}&fields_set=number,%20id")).await;
                assert_eq!(listed.data(), json!([{"id": "T", "number": "AT1"}]), "{owner}");
            }
        }
        http.get(LIST, "accounts_receivable_identifier=number=ACR2").await.refused("ACCOUNTS_RECEIVABLE_NOT_FOUND");
        for bad in ["ACR1", "=ACR1", "{", "[1]"] {
            let answer = http.get(LIST, &format!("accounts_receivable_identifier={bad}")).await;
            at_fault(&answer, "INVALID_FIELD_VALUE", "accounts_receivable_identifier");
        }
        let empty = "accounts_receivable_identifier=";
        http.get(LIST, empty).await.refused("REQUIRED_FIELD_MISSING");
        at_fault(&http.canonical().get(LIST, empty).await, "INVALID_FIELD_VALUE", "accounts_receivable_identifier");
        let optional = "accounts_receivable_identifier=id=A&rewards_participant_identifier=&classification_identifier=&number_of_results=&offset=&page_token=&fields_set=";
        assert_eq!(http.get(LIST, optional).await.data()[0]["number"], "AT1");
        at_fault(&http.get(LIST, "accounts_receivable_identifier=nmber=1").await, "UNKNOWN_FIELD", "accounts_receivable_identifier.nmber");
        let both = "accounts_receivable_identifier=id=A&rewards_participant_identifier=id=P";
        at_fault(&http.get(LIST, both).await, "INVALID_IDENTIFIER", "accounts_receivable_identifier");
        http.get(LIST, "").await.refused("REQUIRED_FIELD_MISSING");
        at_fault(&http.get(LIST, "accounts_receivable_identifier=id=A&accounts_receivable_identifier=id=A").await, "INVALID_FIELD_VALUE", "accounts_receivable_identifier");
        let free = "access_tokens/get_not_associated";
        at_fault(&http.get(free, "").await, "REQUIRED_FIELD_MISSING", "number");
        at_fault(&http.get(free, "number=0").await, "INVALID_FIELD_VALUE", "number");
        at_fault(&http.get(free, "number=many").await, "INVALID_FIELD_VALUE", "number");
        at_fault(&http.get(free, "number=5&life_cycle_state=DEAD").await, "INVALID_FIELD_VALUE", "life_cycle_state");
    }

    async fn what_is_misspelt_or_stands_twice_is_named(app) {
        let http = app.http().await;
        at_fault(&http.post(CREATE, json!({"identifer": "x"})).await, "UNKNOWN_FIELD", "identifer");
        at_fault(&http.post(CREATE, json!({"accounts_receivable_identifier": {"nmber": "1", "number": "1"}})).await, "UNKNOWN_FIELD", "accounts_receivable_identifier.nmber");
        let token = app.session();
        let twice = [
            (r#"{"token":"TOKEN","identifier":"a","identifier":"b"}"#, "identifier"),
            (r#"{"token":"TOKEN","accounts_receivable_identifier":{"id":"A","\u0069d":"A"}}"#, "accounts_receivable_identifier.id"),
            (r#"{"token":"TOKEN","token":"TOKEN"}"#, "token"),
        ];
        for (body, field) in twice {
            at_fault(&http.post_text(CREATE, &body.replace("TOKEN", token)).await, "INVALID_FIELD_VALUE", field);
        }
        let answer = http.post(SHOW, json!({"access_token_identifier": {"id": "T"}, "fields_set": "number,nmber"})).await;
        assert!(answer.refused("UNKNOWN_FIELD").contains("fields_set: ") && answer.text.contains("life_cycle_state"), "{}", answer.text);
        let several = http.post(CREATE, json!({"identifer": 1, "udf_float_1": "x", "udf_date_1": "yesterday"})).await;
        for field in ["identifer", "udf_float_1", "udf_date_1"] {
            at_fault(&several, "UNKNOWN_FIELD", field);
        }
    }

    async fn malformed_bodies_have_clear_answers(app) {
        let http = app.http().await;
        let deep = format!("{}1{}", r#"{"access_token_identifier":"#.repeat(5_000), "}".repeat(5_000)).chars().take(60_000).collect::<String>();
        for body in ["{", "[1]", "null", "7", "\"x\"", "{'a':1}", "token=x", &deep, "{\"a\":\"\\ud800\"}", &"[".repeat(60_000)] {
            for (http, status) in [(&http, 200), (&http.canonical(), 400)] {
                let answer = http.post_text(SHOW, body).await;
                assert_eq!(answer.status, status);
                answer.refused("INVALID_FIELD_VALUE");
            }
        }
        let nested = format!(r#"{{"token":"x","access_token_identifier":{}1{}}}"#, r#"{"a":"#.repeat(500), "}".repeat(500));
        assert!(http.post_text(SHOW, &nested).await.refused("INVALID_FIELD_VALUE").contains("nested deeper"));
        let large = json!({"identifier": "x".repeat(70_000)});
        http.post(CREATE, large.clone()).await.refused("REQUEST_TOO_LARGE");
        let answer = http.canonical().post(CREATE, large).await;
        assert_eq!((answer.status, answer.reason()), (413, "REQUEST_TOO_LARGE"));
    }

    async fn values_that_are_too_long_are_refused_and_nothing_is_written(app) {
        let http = app.http().await;
        let request = json!({"authentication_code": "x".repeat(257), "identifier": "y".repeat(257), "pass_code": "1234", "udf_string_8": "z".repeat(4_001)});
        let answer = http.post(CREATE, request).await;
        for field in ["authentication_code", "identifier", "udf_string_8"] {
            at_fault(&answer, "FIELD_TOO_LONG", field);
        }
        let longest = json!({"authentication_code": "é".repeat(256), "udf_string_8": "z".repeat(4_000), "fields_set": "authentication_code"});
        assert_eq!(http.post(CREATE, longest).await.data()["authentication_code"], "é".repeat(256));
        at_fault(&http.post(CREATE, json!({"authentication_code": "a\u{0}b"})).await, "INVALID_FIELD_VALUE", "authentication_code");
        let free = http.get("access_tokens/get_not_associated", "number=10&fields_set=number").await.data();
        assert_eq!(free.as_array().map(Vec::len), Some(1));
    }

    async fn any_content_type_serves_and_duplicates_and_states_have_their_status(app) {
        app.import("DEMO", RECORDS).await;
        let http = app.http().await;
        let body = json!({"token": app.session(), "access_token_identifier": {"id": "T"}, "fields_set": "id"}).to_string();
        for kind in ["application/x-www-form-urlencoded", "text/plain; charset=UTF-8", "nonsense"] {
            let answer = http.send("POST", &http.target("access_tokens/show/"), &[("content-type", kind)], &body).await;
            assert_eq!(answer.data(), json!({"id": "T"}));
        }
        for (method, request, status, reason) in [
            (CREATE, json!({"authentication_code": "180581"}), 409, "AUTHENTICATION_CODE_ALREADY_EXISTS"),
            ("access_tokens/set_as_effective", named(json!({"id": "T"})), 400, "WRONG_LIFE_CYCLE_STATE"),
            ("access_tokens/verify", json!({"access_token_identifier": {"id": "T"}, "verification_code": "1"}), 400, "WRONG_LIFE_CYCLE_STATE"),
        ] {
            let code = format!("COM.CRM.EXCEPTION.ACCESSTOKENS.{}EXCEPTION", reason.replace('_', ""));
            for (http, status) in [(&http, 200), (&http.canonical(), status)] {
                let answer = http.post(method, request.clone()).await;
                assert_eq!((answer.status, answer.reason(), answer.code()), (status, reason, code.clone()), "{}", answer.text);
            }
        }
        assert_eq!(http.send("GET", &http.target(SHOW), &[], "").await.status, 405);
        assert_eq!(http.send("POST", &http.target("access_tokens/nonsense"), &[], "{}").await.status, 404);
    }

    async fn old_clients_leave_optional_values_empty(app) {
        app.import("DEMO", RECORDS).await;
        let http = app.http().await;
        let empty = json!({"authentication_code": "700", "identifier": "", "pass_code": "", "accounts_receivable_identifier": "", "udf_string_1": "", "udf_date_1": "", "udf_float_1": ""});
        let created = http.post(CREATE, empty.clone()).await.data();
        for key in ["identifier", "udf_string_1", "udf_date_1", "udf_float_1", "accounts_receivable"] {
            assert_eq!(created[key], Value::Null, "{key}");
        }
        http.canonical().post(CREATE, empty).await.refused("INVALID_FIELD_VALUE");
        let by_code = json!({"authentication_code": "700", "identifier": "", "pass_code": ""});
        http.post(SHOW, named(by_code)).await.data();
        // A client that may look up identifiers must not use that permission by accident when its customer types no pass code.
        for field in ["pass_code", "one_time_password"] {
            let answer = http.post(SHOW, named(json!({"identifier": "login", field: ""}))).await;
            assert_eq!(answer.code(), "COM.CRM.EXCEPTION.ACCESSTOKENS.INVALIDCREDENTIALEXCEPTION", "{field}: {}", answer.text);
        }
        let update = |field: &str| json!({"access_token_identifier": {"id": "T"}, field: ""});
        for field in ["authentication_code", "identifier", "udf_float_1", "udf_date_1"] {
            let answer = http.post(UPDATE, update(field)).await;
            assert!(!answer.reason().is_empty() && answer.description().contains(field), "{field}: {}", answer.text);
        }
        assert_eq!(http.post(UPDATE, update("udf_string_2")).await.data()["udf_string_2"], "");
        assert_eq!(http.post(SHOW, named(json!({"identifier": "login", "pass_code": "secret"}))).await.data(), json!({"number": "AT1"}));
        http.send("POST", "//crmapi/rest/v2/access%5Ftokens//show", &[], &json!({"token": app.session(), "access_token_identifier": {"id": "T"}}).to_string()).await.data();
    }

    async fn a_log_in_takes_credentials_from_the_body_only(app) {
        let http = app.http().await;
        let login = json!({"username": "tester", "password": "correct horse", "organisation": "DEMO"}).to_string();
        http.post_text("authentication/token", &login).await.data();
        let query = "username=tester&password=correct+horse&organisation=DEMO";
        for target in [http.target("authentication/token"), http.canonical().target("authentication/token")] {
            let answer = http.send("POST", &format!("{target}?{query}"), &[], "").await;
            at_fault(&answer, "INVALID_FIELD_VALUE", "password");
            let answer = http.send("POST", &format!("{target}?password=correct+horse"), &[], &login).await;
            at_fault(&answer, "INVALID_FIELD_VALUE", "password");
        }
        let key = app.add_api_key("till", "access_tokens.read").await;
        let target = http.target("authentication/web_api_key/token");
        http.send("POST", &target, &[], &json!({"api_key": key}).to_string()).await.data();
        at_fault(&http.send("POST", &format!("{target}?api_key={key}"), &[], "").await, "INVALID_FIELD_VALUE", "api_key");
    }
}
