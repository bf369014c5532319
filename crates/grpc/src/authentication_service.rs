//! `AuthenticationService`: opens, describes and ends sessions.

use std::sync::Arc;

use access_tokens_auth::Login;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::session::{Caller, Session};
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_domain::{Error, Result};
use access_tokens_net::client_address::ClientAddress;
use access_tokens_proto::v1;
use access_tokens_proto::v1::authentication_service_server::AuthenticationService;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tonic::Request;
use tonic::metadata::MetadataMap;

use super::app::App;
use super::caller::caller;
use super::convert::login;
use super::layer::ApiKeyId;
use super::rpcs::rpcs;

/// The service over sessions.
pub(super) struct AuthenticationGrpc<S>(pub(super) Arc<App<S>>);

impl<S: Store + AccountStore> AuthenticationGrpc<S> {
    async fn login(&self, request: Request<v1::LoginRequest>) -> Result<v1::LoginResponse> {
        let address = request.extensions().get::<ClientAddress>().map(|address| address.ip());
        let v1::LoginRequest { username, password, organisation, unit, .. } = request.into_inner();
        let (password, unit) = (Secret::new(password), unit.as_deref());
        let login = Login { username: &username, password, organisation: &organisation, unit, address };
        self.0.sessions.login(login).await.map(opened)
    }

    async fn login_with_api_key(&self, request: Request<v1::LoginWithApiKeyRequest>) -> Result<v1::LoginResponse> {
        let given = api_key(request.metadata());
        let address = request.extensions().get::<ClientAddress>().map(|address| address.ip());
        let key = login::api_key(given, request.into_inner())?;
        self.0.sessions.login_with_api_key(&key, address).await.map(opened)
    }

    async fn release_token(&self, request: Request<v1::ReleaseTokenRequest>) -> Result<v1::ReleaseTokenResponse> {
        let (caller, session) = (request.extensions().get::<Caller>(), request.extensions().get::<Arc<Session>>());
        // A caller with an API key has no session that could end.
        let (Some(caller), Some(session)) = (caller, session) else { return Err(Error::invalid_token()) };
        self.0.sessions.release(caller.organisation, session).await?;
        Ok(v1::ReleaseTokenResponse {})
    }

    async fn get_session(&self, request: Request<v1::GetSessionRequest>) -> Result<v1::GetSessionResponse> {
        let (caller, extensions) = (caller(&request)?, request.extensions());
        let session = extensions.get::<Arc<Session>>().map(Arc::as_ref);
        let credential_kind = login::credential_kind(session, extensions.get::<ApiKeyId>().is_some());
        let described = self.0.sessions.describe(caller).await?;
        Ok(login::described(described, credential_kind))
    }
}

rpcs! {
    AuthenticationService for AuthenticationGrpc, spans "Sessions";

    Login: login(LoginRequest => Ok) -> LoginResponse;
    LoginWithApiKey: login_with_api_key(LoginWithApiKeyRequest => |request| login::api_key(None, request))
        -> LoginResponse;
    ReleaseToken: release_token(ReleaseTokenRequest => Ok) -> ReleaseTokenResponse in span "Sessions.release";
    GetSession: get_session(GetSessionRequest => Ok) -> GetSessionResponse;
}

fn opened(token: Secret) -> v1::LoginResponse {
    v1::LoginResponse { token: token.expose().to_owned() }
}

/// Returns the API key of the metadata: `x-api-key`, else the user name of HTTP Basic with an empty password.
fn api_key(metadata: &MetadataMap) -> Option<Secret> {
    let plain = metadata.get("x-api-key").and_then(|value| value.to_str().ok());
    plain.map(Secret::new).or_else(|| basic(metadata.get("authorization")?.to_str().ok()?))
}

fn basic(authorization: &str) -> Option<Secret> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let key = decoded.strip_suffix(':').unwrap_or(&decoded);
    // A text with a colon in the middle is a user name and a password, not an API key.
    (!key.contains(':')).then(|| Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(headers: &[(&'static str, &str)]) -> Option<String> {
        let mut metadata = MetadataMap::new();
        for (name, value) in headers {
            metadata.insert(*name, value.parse().expect("a value"));
        }
        api_key(&metadata).map(|key| key.expose().to_owned())
    }

    #[test]
    fn an_api_key_comes_as_metadata_or_basic_with_and_without_colon() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(key(&[("x-api-key", "k.1")]).as_deref(), Some("k.1"));
        for text in ["k.1:", "k.1"] {
            assert_eq!(key(&[("authorization", &basic(text))]).as_deref(), Some("k.1"), "{text}");
        }
        assert_eq!(key(&[("authorization", &basic("user:password"))]), None);
        for bad in ["Basic !", "Bearer abc", "Basic"] {
            assert_eq!(key(&[("authorization", bad)]), None, "{bad}");
        }
        assert_eq!(key(&[]), None);
    }
}
