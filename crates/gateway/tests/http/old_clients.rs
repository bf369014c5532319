//! Old spellings, large headers and switches.

use super::*;

#[tokio::test]
async fn old_spellings_of_the_original_paths_arrive() {
    let service = Service::answering(v1::AccessToken { number: "AT1".to_owned(), ..Default::default() });
    for path in [
        "//crmapi/rest/v2/access_tokens/show",
        "/crmapi//rest/v2/access_tokens///show/",
        "/crmapi/rest/v2/access%5Ftokens/%73how",
        "//%63rmapi/rest/v2/access_tokens/show//",
    ] {
        let answer = service.post(path, r#"{"access_token_identifier":{"id":"1"},"fields_set":"number"}"#).await;
        assert_eq!(answer.json(), json!({"data": {"number": "AT1"}, "status": OK()}), "{path}");
        let request = Request::delete(path).body(Body::empty()).expect("valid");
        assert_eq!(service.request(request).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    let list = Service::answering(v1::ListAccessTokensResponse::default());
    let query = "token=t&accounts_receivable_identifier=number=%2F%2FACR%252F";
    let answer = list.get(&format!("//crmapi/rest/v2/access_tokens//list?{query}")).await;
    assert_eq!(answer.json()["data"], json!([]));
    let request = v1::ListAccessTokensRequest::decode(list.seen().expect("a call").message).expect("a message");
    use v1::accounts_receivable_identifier::Identifier;
    use v1::list_access_tokens_request::Owner;
    let Some(Owner::AccountsReceivableIdentifier(owner)) = request.owner else { panic!("an account") };
    assert_eq!(owner.identifier, Some(Identifier::Number("//ACR%2F".to_owned())), "a query is decoded once");

    let service = Service::with(|| panic!("must not be called"));
    for path in [
        "//v1/access_tokens/show",
        "/v1/access%5Ftokens/show",
        "/crmapi/rest/v2/access_tokens%2Fshow",
        "/crmapi/rest/v2/access_tokens/%2573how",
        "/crmapi/rest/v2/access_tokens/show%00",
        "/crmapi/rest/v2/x/../access_tokens/show",
        "/crmapi/rest/v2/x/%2e%2e/access_tokens/show",
        "//docs",
        "/openapi%2Ejson",
        "/crmapi//",
    ] {
        assert_eq!(service.post(path, "{}").await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn headers_that_the_service_would_not_take_stop_here() {
    let service = Service::with(|| panic!("must not be called"));
    for length in [10_000, 16_000, 65_000, 100_000] {
        let long = "a".repeat(length);
        let bearer = format!("Bearer {long}");
        for (name, value, status, reason) in [
            ("authorization", &bearer, StatusCode::UNAUTHORIZED, "INVALID_TOKEN"),
            ("x-api-key", &long, StatusCode::UNAUTHORIZED, "INVALID_TOKEN"),
            ("user-agent", &long, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "REQUEST_TOO_LARGE"),
            ("tracestate", &long, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "REQUEST_TOO_LARGE"),
            ("x-request-id", &long, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "REQUEST_TOO_LARGE"),
        ] {
            for (path, status) in [("/v1/access_tokens/show", status), (SHOW, StatusCode::OK)] {
                let request = Request::post(path).header(name, value).body(Body::from("{}")).expect("valid");
                let answer = service.request(request).await;
                assert_eq!((answer.status, answer.reason()), (status, reason), "{name} {length}");
            }
        }
        if length < 65_000 {
            let answer = service.post("/v1/access_tokens/show", json!({"token": long}).to_string()).await;
            assert_eq!((answer.status, answer.reason()), (StatusCode::UNAUTHORIZED, "INVALID_TOKEN"), "{length}");
        }
    }
    let answer = service.get(&format!("/v1/access_tokens/list?token={}", "a".repeat(60_000))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_documentation_can_be_switched_off() {
    let mut service = Service::answering(v1::AccessToken::default());
    for path in ["/openapi.json", "/docs", "/docs/app.js"] {
        assert_eq!(service.get(path).await.status, StatusCode::OK, "{path}");
    }
    service.config.docs = false;
    for path in ["/openapi.json", "/docs", "/docs/", "/docs/app.js", "/"] {
        let answer = service.get(path).await;
        assert_eq!((answer.status, answer.reason()), (StatusCode::NOT_FOUND, "METHOD_NOT_FOUND"), "{path}");
    }
    assert_eq!(service.post(SHOW, "{}").await.json()["status"], OK());
}
