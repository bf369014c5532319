//! Who calls, and may they? Decided from the metadata and the certificate of the connection, before the request is read.
//! Admission decides it, because what a call may use depends on it; the layer here enforces it.

use std::sync::Arc;

use access_tokens_auth::Authenticator;
use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_domain::ports::BoxFuture;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::session::{Caller, Session};
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_domain::{Error, Reason, Result};
use access_tokens_net::tls::Peer;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Request, Response};
use tonic::body::Body;

use super::method::{self, Access};
use super::middleware::{Handler, Middleware, Next};
use crate::status;

/// The metadata that carries an API key.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Checks credentials.
pub trait Authenticate: Send + Sync + 'static {
    /// Returns who calls with this credential, and the session if it is one. INVALID_TOKEN when it is wrong, or no longer valid.
    fn check(self: Arc<Self>, credential: Credential) -> BoxFuture<'static, Result<(Caller, Option<Arc<Session>>)>>;
}

impl<S: Store + AccountStore> Authenticate for Authenticator<S> {
    fn check(self: Arc<Self>, credential: Credential) -> BoxFuture<'static, Result<(Caller, Option<Arc<Session>>)>> {
        Box::pin(async move {
            match credential {
                Credential::Bearer(token) => {
                    let (caller, session) = self.authenticate_bearer(token.expose()).await?;
                    Ok((caller, Some(session)))
                }
                Credential::ApiKey(key) => Ok((self.authenticate_api_key(&key).await?, None)),
                Credential::Certificate(user) => Ok((self.authenticate_certificate(&user).await?, None)),
            }
        })
    }
}

/// Lets calls through that admission has found to be allowed, and answers the others. Without a caller a call fails closed.
#[derive(Debug, Clone, Copy)]
pub struct Auth;

/// The error that admission has decided on for a call.
#[derive(Debug, Clone)]
pub(super) struct Rejected(pub(super) Arc<Error>);

impl Middleware for Auth {
    async fn handle<N: Handler>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let Some(method) = method::find(request.uri().path()) else {
            return status::from_error(&Error::new(Reason::MethodNotFound, "there is no such method")).into_http();
        };
        if let Some(Rejected(error)) = request.extensions_mut().remove::<Rejected>() {
            return status::from_error(&error).into_http();
        }
        if method.access != Access::Open && request.extensions().get::<Caller>().is_none() {
            return status::from_error(&Error::invalid_token()).into_http();
        }
        next.run(request).await
    }
}

/// Refuses a caller who may not call a method with this access.
pub(super) fn permit(access: Access, caller: &Caller) -> Result<()> {
    match access {
        Access::Permission(permission) => caller.require(permission),
        Access::Session | Access::Open => Ok(()),
        Access::Denied => Err(Error::new(Reason::PermissionDenied, "nobody may call this method")),
    }
}

/// Takes the credential out of a request, so that no handler can leak it. INVALID_TOKEN where there is none.
///
/// What is sent with the call counts before the certificate of its connection, also when it is wrong: a caller does not become
/// another one because its session has expired.
pub(super) fn take_credential(request: &mut Request<Body>) -> Result<Credential> {
    let peer = request.extensions_mut().remove::<Peer>();
    let sent = credential(request.headers())?;
    request.headers_mut().remove(AUTHORIZATION);
    request.headers_mut().remove(API_KEY);
    let certificate = || peer.and_then(|peer| peer.user).map(Credential::Certificate);
    sent.or_else(certificate).ok_or_else(Error::invalid_token)
}

/// What a call identifies itself by.
pub enum Credential {
    /// A session token.
    Bearer(Secret),
    /// An API key.
    ApiKey(Secret),
    /// The certificate of its connection, which stands for this user.
    Certificate(Arc<CertificateUser>),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

/// `authorization: Bearer <session token>`, else `x-api-key: <key>`; each at most once.
fn credential(headers: &HeaderMap) -> Result<Option<Credential>> {
    if let Some(authorization) = single(headers, AUTHORIZATION)? {
        let (scheme, token) = authorization.split_once(' ').ok_or_else(Error::invalid_token)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::invalid_token());
        }
        return Ok(Some(Credential::Bearer(Secret::new(token.trim()))));
    }
    Ok(single(headers, API_KEY)?.map(|key| Credential::ApiKey(Secret::new(key))))
}

/// The value of a header that may stand once.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Error::invalid_token()),
        (Some(_), Some(_)) => Err(Error::invalid_token()),
    }
}
