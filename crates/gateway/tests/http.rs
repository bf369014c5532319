//! The gateway from outside: HTTP requests with a service that stands for the real one.

#[path = "http/old_clients.rs"]
mod old_clients;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access_tokens_gateway::{ClientAddress, GatewayConfig, Release, router};
use access_tokens_proto::options::methods;
use access_tokens_proto::v1;
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use prost::Message;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::ServiceExt;

/// One call as the service saw it.
#[derive(Clone, Default)]
struct Seen {
    path: String,
    headers: HeaderMap,
    message: Bytes,
    client: Option<ClientAddress>,
}

/// A service that answers every call in the same way and remembers the last one.
#[derive(Clone)]
struct Service {
    answer: Arc<dyn Fn() -> Result<Vec<u8>, Status> + Send + Sync>,
    seen: Arc<Mutex<Option<Seen>>>,
    config: GatewayConfig,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn code(&self) -> String {
        self.json()["status"]["code"].as_str().expect("a code").to_owned()
    }

    fn reason(&self) -> &str {
        self.headers["x-error-reason"].to_str().expect("text")
    }
}

impl Service {
    fn answering(message: impl Message) -> Self {
        let bytes = message.encode_to_vec();
        Self::with(move || Ok(bytes.clone()))
    }

    fn with(answer: impl Fn() -> Result<Vec<u8>, Status> + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), seen: Arc::default(), config: GatewayConfig::default() }
    }

    fn seen(&self) -> Option<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    async fn request(&self, request: Request<Body>) -> Answer {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<tonic::body::Body>| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(this.grpc(request).await) }
        });
        let response = router(service, self.config.clone()).oneshot(request).await.expect("infallible");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn grpc(&self, request: Request<tonic::body::Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let frame = body.collect().await.expect("a body").to_bytes();
        let client = head.extensions.get::<ClientAddress>().copied();
        let (path, message) = (head.uri.path().to_owned(), frame.slice(5..));
        let seen = Seen { path, headers: head.headers, message, client };
        *self.seen.lock().expect("not poisoned") = Some(seen);
        match (self.answer)() {
            Err(status) => status.into_http::<Body>(),
            Ok(message) => {
                let mut frame = BytesMut::new();
                frame.put_u8(0);
                frame.put_u32(message.len() as u32);
                frame.put(&message[..]);
                let trailers = HeaderMap::from_iter([(
                    http::HeaderName::from_static("grpc-status"),
                    "0".parse().expect("a value"),
                )]);
                let frames = [http_body::Frame::data(frame.freeze()), http_body::Frame::trailers(trailers)];
                let frames = frames.map(Ok::<_, Infallible>);
                let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
                let response = Response::builder().header("content-type", "application/grpc");
                response
                    .header("x-request-id", "of the call")
                    .header("x-internal", "1")
                    .body(Body::new(body))
                    .expect("valid")
            }
        }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.request(Request::post(path).body(body.into()).expect("valid")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.request(Request::get(path).body(Body::empty()).expect("valid")).await
    }
}

fn refusing(code: Code, reason: &'static str, details: impl Fn(&mut ErrorDetails) + Send + Sync + 'static) -> Service {
    Service::with(move || {
        let mut all = ErrorDetails::with_error_info(reason, "access-tokens", HashMap::new());
        details(&mut all);
        let mut status = Status::with_error_details(code, "a text for people", all);
        status.metadata_mut().insert("x-request-id", "of the call".parse().expect("a value"));
        Err(status)
    })
}

const SHOW: &str = "/crmapi/rest/v2/access_tokens/show";
const OK: fn() -> Value = || json!({"code": "OK", "description": "", "message": ""});

#[tokio::test]
async fn a_call_of_an_old_client_arrives_and_is_answered() {
    let token = v1::AccessToken { id: "1".to_owned(), number: "AT1".to_owned(), ..Default::default() };
    let service = Service::answering(token);
    let body = r#"{"token":"641070EA","access_token_identifier":{"authentication_code":180581},"fields_set":"number, verified_date"}"#;
    let answer = service.post(SHOW, body).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), json!({"data": {"number": "AT1", "verified_date": null}, "status": OK()}));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-request-id"], "of the call");
    assert!(!answer.headers.contains_key("x-internal"));

    let seen = service.seen().expect("a call");
    assert_eq!(seen.path, "/accesstoken.v1.AccessTokenService/ShowAccessToken");
    assert_eq!(seen.headers["authorization"], "Bearer 641070EA");
    assert_eq!(seen.headers["grpc-timeout"], "30000000u");
    let request = v1::ShowAccessTokenRequest::decode(seen.message).expect("a message");
    assert_eq!(request.fields_set.expect("a mask").paths, ["number", "verified_date"]);
    use v1::access_token_identifier::Identifier;
    let identifier = request.access_token_identifier.and_then(|identifier| identifier.identifier);
    assert_eq!(identifier, Some(Identifier::AuthenticationCode("180581".to_owned())));
}

#[tokio::test]
async fn every_method_answers_on_both_mounts_with_and_without_a_slash_at_the_end() {
    let service = Service::answering(v1::ReleaseTokenResponse {});
    for method in methods().iter().filter(|method| !method.client_streaming) {
        for binding in &method.http {
            for path in [binding.path.clone(), format!("{}/", binding.path)] {
                let request = Request::builder().method(binding.verb).uri(&path).body(Body::empty()).expect("valid");
                let answer = service.request(request).await;
                assert_eq!(answer.json()["status"], OK(), "{path}");
                assert_eq!(service.seen().expect("a call").path, method.grpc_path);
            }
        }
    }
}

#[tokio::test]
async fn a_list_is_asked_for_by_parameters_and_tells_its_next_page() {
    let list = v1::ListAccessTokensResponse {
        access_tokens: vec![v1::AccessToken::default()],
        next_page_token: "more".to_owned(),
    };
    let service = Service::answering(list);
    let query = "token=t&accounts_receivable_identifier=number=ACR001018&fields_set=identifier";
    let answer = service.get(&format!("/crmapi/rest/v2/access_tokens/list?{query}")).await;
    assert_eq!(answer.json(), json!({"data": [{"identifier": null}], "status": OK()}));
    assert_eq!(answer.headers["x-next-page-token"], "more");
    assert_eq!(service.seen().expect("a call").headers["authorization"], "Bearer t");
}

#[tokio::test]
async fn an_error_of_the_service_keeps_its_details() {
    let service = refusing(Code::InvalidArgument, "REQUIRED_FIELD_MISSING", |details| {
        details.add_bad_request_violation("identifier", "is required");
        details.add_bad_request_violation("pass_code", "is required");
    });
    for (path, status) in [(SHOW, StatusCode::OK), ("/v1/access_tokens/show", StatusCode::BAD_REQUEST)] {
        let answer = service.post(path, "{}").await;
        let expected = json!({"status": {
            "code": "COM.CRM.EXCEPTION.ACCESSTOKENS.REQUIREDFIELDMISSINGEXCEPTION",
            "description": "identifier: is required; pass_code: is required",
            "message": "a text for people",
        }});
        assert_eq!((answer.status, answer.json()), (status, expected));
        assert_eq!(answer.reason(), "REQUIRED_FIELD_MISSING");
        assert_eq!(answer.headers["x-request-id"], "of the call");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn an_expired_session_has_the_code_that_clients_renew_on() {
    let service = refusing(Code::Unauthenticated, "INVALID_TOKEN", |_| {});
    let answer = service.post(SHOW, "").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::OK, "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION"));
    let answer = service.post("/v1/access_tokens/show", "").await;
    assert_eq!((answer.status, answer.reason()), (StatusCode::UNAUTHORIZED, "INVALID_TOKEN"));
}

#[tokio::test]
async fn waiting_is_told_and_codes_have_their_http_status() {
    let service = refusing(Code::Unavailable, "DATABASE_UNAVAILABLE", |details| {
        details.set_retry_info(Some(Duration::from_secs(3)));
    });
    let answer = service.post("/v1/access_tokens/show", "{}").await;
    assert_eq!(
        (answer.status, &answer.headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"3".parse().expect("a value"))
    );
    for (code, status) in [
        (Code::NotFound, 404),
        (Code::AlreadyExists, 409),
        (Code::PermissionDenied, 403),
        (Code::FailedPrecondition, 400),
        (Code::Aborted, 409),
        (Code::ResourceExhausted, 429),
        (Code::Internal, 500),
        (Code::DeadlineExceeded, 504),
    ] {
        let answer = Service::with(move || Err(Status::new(code, "secret"))).post("/v1/access_tokens/show", "{}").await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_that_tells_nothing() {
    let service = Service::with(|| panic!("a secret"));
    for (path, status) in [(SHOW, 200), ("/v1/access_tokens/show", 500)] {
        let answer = service.post(path, r#"{"access_token_identifier":{"id":"1"}}"#).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (status, "INTERNAL"));
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
}

#[tokio::test]
async fn what_the_gateway_refuses_has_the_same_form() {
    let service = Service::with(|| panic!("must not be called"));
    let large = format!(r#"{{"identifier":"{}"}}"#, "x".repeat(64 * 1024));
    let cases = [
        ("/access_tokens/create", "POST", "{", 400, "INVALID_FIELD_VALUE"),
        ("/access_tokens/create", "POST", r#"{"identifer":"x"}"#, 400, "UNKNOWN_FIELD"),
        ("/access_tokens/create", "POST", large.as_str(), 413, "REQUEST_TOO_LARGE"),
        ("/access_tokens/create", "GET", "", 405, "METHOD_NOT_FOUND"),
        ("/access_tokens/list", "POST", "{}", 405, "METHOD_NOT_FOUND"),
        ("/access_tokens/nonsense", "POST", "{}", 404, "METHOD_NOT_FOUND"),
        ("/access_tokens/list?number_of_results=x", "GET", "", 400, "INVALID_FIELD_VALUE"),
    ];
    for (path, verb, body, status, reason) in cases {
        // A request that calls no method gets a canonical HTTP status on all paths.
        let original = if matches!(status, 404 | 405) { status } else { 200 };
        for (mount, status) in [("/v1", status), ("/crmapi/rest/v2", original)] {
            let uri = format!("{mount}{path}");
            let request = Request::builder().method(verb).uri(&uri).body(Body::from(body.to_owned())).expect("valid");
            let answer = service.request(request).await;
            assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason), "{uri}");
            let envelope = answer.json();
            assert!(
                envelope.get("data").is_none() && !envelope["status"]["message"].as_str().expect("text").is_empty()
            );
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert_eq!(answer.headers.contains_key("allow"), cases_allow(verb, path), "{verb} {uri}");
        }
    }
}

/// Returns whether the verb is wrong at a path, and the response names the right one.
fn cases_allow(verb: &str, path: &str) -> bool {
    matches!((verb, path), ("GET", "/access_tokens/create") | ("POST", "/access_tokens/list"))
}

#[tokio::test]
async fn any_content_type_is_accepted_and_an_api_key_comes_as_basic() {
    let service = Service::answering(v1::LoginResponse { token: "t".to_owned() });
    let path = "/crmapi/rest/v2/authentication/web_api_key/token";
    for (kind, credentials) in [("application/x-www-form-urlencoded", "YXRrXzE6"), ("text/odd; x=", "YXRrXzE=")] {
        let request =
            Request::post(path).header("content-type", kind).header("authorization", format!("Basic {credentials}"));
        let answer = service.request(request.body(Body::from("{}")).expect("valid")).await;
        assert_eq!(answer.json()["data"], json!({"token": "t"}));
        let headers = service.seen().expect("a call").headers;
        assert_eq!(headers["x-api-key"], "atk_1");
        assert!(!headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn an_earlier_release_is_presented_as_it_was() {
    let participant = v1::RewardsParticipant { number: Some("28".to_owned()), ..Default::default() };
    let token = v1::AccessToken { rewards_participant: Some(Box::new(participant)), ..Default::default() };
    let mut service = Service::answering(token);
    service.config.release = Release::new(9, 0, 0);
    let body = r#"{"fields_set":"reward_participant.number"}"#;
    assert_eq!(service.post(SHOW, body).await.json()["data"], json!({"reward_participant": {"number": "28"}}));
    let all = service.post(SHOW, "{}").await.json();
    let keys: Vec<_> = all["data"].as_object().expect("an object").keys().cloned().collect();
    assert!(!keys.iter().any(|key| key.starts_with("udf_") || key == "classification" || key == "rewards_participant"));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_an_error_in_time() {
    let silent = tower::service_fn(|_: Request<tonic::body::Body>| async {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let config = GatewayConfig { timeout: Duration::from_millis(20), ..Default::default() };
    let request = Request::post("/v1/access_tokens/show").body(Body::from("{}")).expect("valid");
    let response = router(silent, config.clone()).oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let gone = tower::service_fn(|_: Request<tonic::body::Body>| async {
        Err::<Response<Body>, _>(std::io::Error::other("10.0.0.3 refused"))
    });
    let request = Request::post("/v1/access_tokens/show").body(Body::from("{}")).expect("valid");
    let response = router(gone, config.clone()).oneshot(request).await.expect("infallible");
    assert!(response.status().is_server_error());
    let slow = Body::new(http_body_util::StreamBody::new(futures::stream::pending::<
        Result<http_body::Frame<Bytes>, Infallible>,
    >()));
    let request = Request::post("/v1/access_tokens/show").body(slow).expect("valid");
    let answer = Service { config, ..Service::with(|| panic!("must not be called")) }.request(request).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn the_service_learns_the_address_of_the_client() {
    let mut service = Service::answering(v1::LoginResponse { token: "t".to_owned() });
    service.config.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    for (peer, expected) in [([10, 0, 0, 9], "203.0.113.7"), ([192, 0, 2, 9], "192.0.2.9")] {
        let request = Request::post("/v1/authentication/token").header("x-forwarded-for", "1.1.1.1, 203.0.113.7:4711");
        let body = json!({"username": "u", "password": "p", "organisation": "o"}).to_string();
        let mut request = request.body(Body::from(body)).expect("valid");
        request.extensions_mut().insert(axum::extract::ConnectInfo(std::net::SocketAddr::from((peer, 5))));
        service.request(request).await;
        let seen = service.seen().expect("it was called");
        assert_eq!(seen.headers["x-forwarded-for"], expected);
        assert_eq!(seen.client.map(|client| client.to_string()).as_deref(), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_refused_after_five_seconds() {
    let service = Service::answering(v1::LoginResponse { token: "t".to_owned() });
    for path in ["/v1/authentication/token", "/v1/access_tokens/show", "/crmapi/rest/v2/access_tokens/create"] {
        for pause in [Duration::from_secs(1), Duration::from_secs(3_600)] {
            let trickle = futures::stream::unfold((), move |()| async move {
                tokio::time::sleep(pause).await;
                Some((Ok::<_, Infallible>(Bytes::from_static(b"{")), ()))
            });
            let started = tokio::time::Instant::now();
            let answer = service.post(path, Body::from_stream(trickle)).await;
            assert_eq!(started.elapsed().as_secs(), 5, "{path}");
            let legacy = path.starts_with("/crmapi");
            let expected = if legacy { StatusCode::OK } else { StatusCode::REQUEST_TIMEOUT };
            assert_eq!(answer.status, expected, "{path}");
            assert!(service.seen().is_none(), "nothing was called");
        }
    }
}
