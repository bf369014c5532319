//! Malformed requests, with canaries in every place.

use std::time::Duration;

use access_tokens_proto::v1;
use access_tokens_testapp::canary::Canaries;
use access_tokens_testapp::process::Server;
use access_tokens_testkit::http::{HttpClient, exchange_bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::recorder::Recorder;

/// Maximum time of an answer to half a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends bytes to methods of the gRPC server that are not their messages.
pub(super) async fn messages(recorder: &Recorder, server: &Server, session: &str) {
    let canaries = &recorder.canaries;
    let endpoint = Channel::from_shared(format!("http://{}", server.address())).expect("a URI");
    let channel = endpoint.connect().await.expect("connected");
    for method in [
        "AccessTokenService/CreateAccessToken",
        "AccessTokenService/ShowAccessToken",
        "AuthenticationService/Login",
        "AccessTokenService/NoSuchMethod",
    ] {
        // A message that contains these bytes as field 1, which must be UTF-8 as a text.
        let mut bytes = canaries.secret("message that is none").into_bytes();
        bytes.push(0xff);
        let session = format!("Bearer {session}");
        call::<Vec<u8>>(recorder, &channel, method, &session, bytes).await;
    }
    let update = v1::UpdateAccessTokenRequest {
        identifier: Some(canaries.secret("field of another message")),
        pass_code: Some(canaries.secret("field of another message")),
        ..Default::default()
    };
    let path = "AccessTokenService/CreateAccessToken";
    call(recorder, &channel, path, &format!("Bearer {session}"), update).await;
    for authorization in ["Bearer", "Basic", "Digest"] {
        let authorization = format!("{authorization} {}", canaries.secret("session of nobody"));
        let create = v1::CreateAccessTokenRequest {
            pass_code: Some(canaries.secret("pass code without a session")),
            ..Default::default()
        };
        call(recorder, &channel, path, &authorization, create).await;
    }
    for (username, password) in [
        (canaries.personal("unknown user"), canaries.secret("wrong password")),
        ("ops".to_owned(), canaries.secret("wrong password")),
        (canaries.personal("too long user name").repeat(40), canaries.secret("too long password").repeat(40)),
        (canaries.personal("user without a password"), String::new()),
    ] {
        let login = v1::LoginRequest { username, password, organisation: "DEMO".to_owned(), unit: None };
        call(recorder, &channel, "AuthenticationService/Login", "", login).await;
    }
    let key = v1::LoginWithApiKeyRequest { api_key: Some(unknown_api_key(canaries)) };
    call(recorder, &channel, "AuthenticationService/LoginWithApiKey", "", key).await;
}

/// Returns an API key of the right form that does not exist.
fn unknown_api_key(canaries: &Canaries) -> String {
    format!("atk_0123456789abcdef_{}{}", canaries.secret("API key of nobody"), "A".repeat(11))
}

async fn call<M: prost::Message + Default + 'static>(
    recorder: &Recorder,
    channel: &Channel,
    method: &str,
    authorization: &str,
    message: M,
) {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.expect("connected");
    let mut request = tonic::Request::new(message);
    if let Ok(value) = authorization.parse() {
        request.metadata_mut().insert("authorization", value);
    }
    let path = format!("/accesstoken.v1.{method}").parse().expect("a path");
    let answer = client.unary(request, path, ProstCodec::<M, Vec<u8>>::default()).await;
    recorder.refused(&format!("{:?}", answer.expect_err(method)));
}

/// Sends bodies that are JSON, but no requests of the method.
pub(super) async fn bodies(recorder: &Recorder, http: &HttpClient) {
    let canaries = &recorder.canaries;
    let secret = || canaries.secret("secret in the wrong place");
    let personal = || canaries.personal("value in the wrong place");
    for (method, body) in [
        ("access_tokens/create", json!({"pin": secret(), "authentication_code": personal()})),
        ("access_tokens/create", json!({"pass_code": [secret()]})),
        ("access_tokens/create", json!({"pass_code": {"value": secret()}})),
        ("access_tokens/create", json!({"accounts_receivable_identifier": personal()})),
        ("access_tokens/create", json!({"udf_float_1": personal(), "udf_date_1": personal()})),
        ("access_tokens/create", json!({"fields_set": [7], "pass_code": secret()})),
        ("access_tokens/show", json!({"access_token_identifier": secret()})),
        (
            "access_tokens/show",
            json!({"access_token_identifier": {"identifier": personal(), "pass_code": secret(), "pin": secret()}}),
        ),
        (
            "access_tokens/show",
            json!({"access_token_identifier": {"id": personal(), "authentication_code": personal()}}),
        ),
        ("access_tokens/verify", json!({"access_token_identifier": {"id": "X"}, "verification_code": [secret()]})),
        ("access_tokens/unlock", json!({"access_token_identifier": {"id": "X"}, "secret_kinds": [secret()]})),
        ("authentication/token", json!({"username": personal(), "password": {"value": secret()}})),
        (
            "authentication/token",
            json!({"username": "ops", "password": secret(), "organisation": "DEMO", "unit": personal()}),
        ),
        ("authentication/web_api_key/token", json!({"api_key": unknown_api_key(canaries), "token": ""})),
    ] {
        recorder.refused_over_http(&http.post(method, body).await);
    }
    let stranger = http.with_session(&canaries.secret("session of nobody"));
    recorder.refused_over_http(&stranger.post("access_tokens/create", json!({"pass_code": secret()})).await);
    let query = format!("accounts_receivable_identifier={}&number=%ff&page_token={}", personal(), personal());
    recorder.refused_over_http(&stranger.get("access_tokens/list", &query).await);
}

/// Sends bodies that are not JSON, and requests that are not HTTP.
pub(super) async fn texts(recorder: &Recorder, http: &HttpClient, server: &Server) {
    let canaries = &recorder.canaries;
    let secret = || canaries.secret("secret in the wrong place");
    let personal = || canaries.personal("value in the wrong place");
    let create = http.target("access_tokens/create");
    for body in [
        format!(r#"{{"pass_code": "{}"#, secret()),
        format!(r#"{{"pass_code": {}}}"#, secret()),
        format!(r#"{{"pass_code": "a", "pass_code": "{}"}}"#, secret()),
        format!(r#"["{}"]"#, secret()),
        format!("\"{}\"", secret()),
        format!("pass_code={}&authentication_code={}", secret(), personal()),
        format!(r#"{{"udf_string_1": "{}", "pass_code": "{}"}}"#, personal().repeat(3_000), secret()),
    ] {
        for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
            recorder.refused_over_http(&http.send("POST", &create, &[("content-type", kind)], &body).await);
        }
    }
    for (name, value) in [
        ("authorization", format!("Bearer {}", secret())),
        ("authorization", format!("Basic {}", STANDARD.encode(secret()))),
        ("authorization", format!("Basic {}", STANDARD.encode(format!("{}:{}", personal(), secret())))),
        ("x-api-key", unknown_api_key(canaries)),
        ("cookie", format!("session={}", secret())),
    ] {
        recorder.refused_over_http(&http.send("POST", &create, &[(name, &value)], r#"{"fields_set": "id"}"#).await);
    }
    for (verb, target) in [
        ("GET", format!("/crmapi/rest/v2/access_tokens/{}", personal())),
        (
            "GET",
            format!("/v1/access_tokens/list?token={}&{}={}", secret(), "accounts_receivable_identifier", personal()),
        ),
        ("GET", format!("/v1/access_tokens/list?token={}%zz%ff", secret())),
        ("PUT", format!("{create}?token={}", secret())),
    ] {
        recorder.refused_over_http(&http.send(verb, &target, &[], "").await);
    }
    for request in [
        format!("POST {create}?token={} HTTP/9.9\r\n\r\n", secret()),
        format!("POST {create} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\u{1}\r\n\r\n", secret()),
        format!("POST {create} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\r\n", secret().repeat(20_000)),
        format!("POST {create} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", secret()),
        format!("POST {create} HTTP/1.1\r\nhost: h\r\n{}\r\n\r\n", secret()),
        format!("{} {create} HTTP/1.1\r\nhost: h\r\n\r\n", secret()),
        // The rest of this request never comes.
        format!("POST {create} HTTP/1.1\r\nhost: h\r\ncontent-length: 999\r\n\r\n{{\"pass_code\": \"{}", secret()),
    ] {
        recorder.refused(&exchange_bytes(server.http_address(), request.as_bytes(), true, ANSWER_TIMEOUT).await);
    }
}

/// Sends requests to the gRPC port that the HTTP library refuses by itself: with a blank in the path or the host.
pub(super) async fn frames(recorder: &Recorder, server: &Server) {
    let secret = || recorder.canaries.secret("secret in a path");
    for (path, host) in [(format!("/a b?token={}", secret()), "h"), ("/".to_owned(), &*format!("a b{}", secret()))] {
        // The fields :method POST and :scheme http are in the static table, and so are the names :path and :authority.
        let literal =
            |name: u8, text: &str| [&[name, u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        let block = [&[0x83, 0x86], &literal(4, &path)[..], &literal(1, host)].concat();
        let length = u8::try_from(block.len()).expect("short");
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let headers = [0, 0, length, 1, 5, 0, 0, 0, 1];
        let request = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &headers, &block].concat();
        let answer = exchange_bytes(server.address(), &request, true, ANSWER_TIMEOUT).await;
        assert!(!answer.is_empty());
        recorder.refused(&answer);
    }
}

/// Imports records over gRPC, valid and invalid ones, and records their results.
pub(super) async fn records(recorder: &Recorder, server: &Server, session: &str, records: Vec<Value>) {
    use access_tokens_proto::v1::directory_service_client::DirectoryServiceClient;
    let endpoint = Channel::from_shared(format!("http://{}", server.address())).expect("a URI");
    let mut client = DirectoryServiceClient::new(endpoint.connect().await.expect("connected"));
    let messages: Vec<v1::ImportDirectoryRequest> =
        records.iter().filter_map(|record| access_tokens_proto::json::from_value(record).ok()).collect();
    assert!(messages.len() > 5, "few records have the form of the contract");
    let mut request = tonic::Request::new(tokio_stream::iter(messages));
    request.metadata_mut().insert("authorization", format!("Bearer {session}").parse().expect("metadata"));
    let results = client.import_directory(request).await.expect("imported").into_inner();
    assert!(results.failed > 0 && results.created + results.updated > 0, "{results:?}");
    // The results contain ids of valid records, and faults of invalid ones.
    recorder.refused(&format!("{results:?}"));
}
