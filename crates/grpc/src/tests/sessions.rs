//! Sessions over the wire.

use access_tokens_proto::v1;
use base64::Engine;
use tonic::{Code, Request};

use super::{World, fields, refused, with};

fn show(number: &str) -> v1::ShowAccessTokenRequest {
    let number = v1::access_token_identifier::Identifier::Number(number.to_owned());
    let identifier = v1::AccessTokenIdentifier { identifier: Some(number) };
    v1::ShowAccessTokenRequest { access_token_identifier: Some(identifier), fields_set: None }
}

#[tokio::test]
async fn a_login_opens_what_a_release_ends() {
    let world = World::new().await;
    let token = world.login("anna").await;
    let mut client = world.access_tokens();
    let (code, reason, _) = refused(client.show_access_token(with(&token, show("AT1"))).await);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "ACCESS_TOKEN_NOT_FOUND"), "the session is valid");
    world.authentication().release_token(with(&token, v1::ReleaseTokenRequest {})).await.expect("released");
    for _ in 0..2 {
        let (code, reason, _) = refused(client.show_access_token(with(&token, show("AT1"))).await);
        assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "INVALID_TOKEN"));
    }
    let again = world.authentication().release_token(with(&token, v1::ReleaseTokenRequest {})).await;
    assert_eq!(refused(again).1, "INVALID_TOKEN");
}

#[tokio::test]
async fn a_wrong_login_does_not_say_what_is_wrong() {
    let world = World::new().await;
    let login = |username: &str, password: &str, organisation: &str| v1::LoginRequest {
        username: username.to_owned(),
        password: password.to_owned(),
        organisation: organisation.to_owned(),
        unit: None,
    };
    let mut messages = Vec::new();
    for request in [login("anna", "wrong", "DEMO"), login("nobody", "secret", "DEMO"), login("anna", "secret", "X")] {
        let status = world.authentication().login(request).await.expect_err("refused");
        messages.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(messages[0].0, Code::Unauthenticated);
    assert!(messages.iter().all(|message| *message == messages[0]));
    let (code, reason, details) = refused(world.authentication().login(v1::LoginRequest::default()).await);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "REQUIRED_FIELD_MISSING"));
    assert_eq!(fields(&details), ["username", "password", "organisation"]);
}

#[tokio::test]
async fn an_api_key_logs_in_and_calls_by_itself() {
    let world = World::new().await;
    let key = world.api_key.as_str();
    let basic = |text: String| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let empty = || Request::new(v1::LoginWithApiKeyRequest::default());
    let with_metadata = |name: &'static str, value: String| {
        let mut request = empty();
        request.metadata_mut().insert(name, value.parse().expect("metadata"));
        request
    };
    let mut client = world.authentication();
    for request in [
        Request::new(v1::LoginWithApiKeyRequest { api_key: Some(key.to_owned()) }),
        with_metadata("x-api-key", key.to_owned()),
        with_metadata("authorization", basic(format!("{key}:"))),
        with_metadata("authorization", basic(key.to_owned())),
    ] {
        let token = client.login_with_api_key(request).await.expect("logged in").into_inner().token;
        let found = world.access_tokens().show_access_token(with(&token, show("AT1"))).await;
        assert_eq!(refused(found).0, Code::NotFound);
    }
    assert_eq!(refused(client.login_with_api_key(empty()).await).1, "REQUIRED_FIELD_MISSING");
    let wrong = with_metadata("x-api-key", format!("{key}x"));
    assert_eq!(refused(client.login_with_api_key(wrong).await).1, "INVALID_LOGIN");

    let mut call = Request::new(show("AT1"));
    call.metadata_mut().insert("x-api-key", key.parse().expect("metadata"));
    assert_eq!(refused(world.access_tokens().show_access_token(call).await).0, Code::NotFound);
    let mut release = Request::new(v1::ReleaseTokenRequest {});
    release.metadata_mut().insert("x-api-key", key.parse().expect("metadata"));
    assert_eq!(refused(client.release_token(release).await).1, "INVALID_TOKEN", "there is no session to end");
}
