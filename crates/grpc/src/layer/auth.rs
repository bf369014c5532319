//! Authentication and authorisation of a call, from its metadata and the certificate of its connection, before the request is read.
//! Admission makes the decision, because it determines which permits a call may take. The layer here enforces it.

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

/// Name of the metadata that carries an API key.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Checks credentials.
pub trait Authenticate: Send + Sync + 'static {
    /// Returns the caller with this credential, and the session if the credential is a session token. Fails with INVALID_TOKEN if the
    /// credential is wrong or no longer valid.
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

/// Forwards each call that admission has allowed, and answers each other call with its error. Refuses a call without a caller.
#[derive(Debug, Clone, Copy)]
pub struct Auth;

/// The error with which admission has rejected a call. It travels in the extensions of the request.
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

/// Refuses a caller that may not call a method with this access.
pub(super) fn permit(access: Access, caller: &Caller) -> Result<()> {
    match access {
        Access::Permission(permission) => caller.require(permission),
        Access::Session | Access::Open => Ok(()),
        Access::Denied => Err(Error::new(Reason::PermissionDenied, "no caller may call this method")),
    }
}

/// Removes the credential from a request, so that no handler can leak it. Fails with INVALID_TOKEN if there is none.
///
/// A credential that is sent with the call takes precedence over the certificate of its connection, even if it is wrong: a caller must
/// not become another one because its session has expired.
pub(super) fn take_credential(request: &mut Request<Body>) -> Result<Credential> {
    let peer = request.extensions_mut().remove::<Peer>();
    let sent = credential(request.headers())?;
    request.headers_mut().remove(AUTHORIZATION);
    request.headers_mut().remove(API_KEY);
    let certificate = || peer.and_then(|peer| peer.user).map(Credential::Certificate);
    sent.or_else(certificate).ok_or_else(Error::invalid_token)
}

/// The credential of a call.
pub enum Credential {
    /// A session token.
    Bearer(Secret),
    /// An API key.
    ApiKey(Secret),
    /// The certificate of the connection, which stands for this user.
    Certificate(Arc<CertificateUser>),
}

/// Reads `authorization: Bearer <session token>`, else `x-api-key: <key>`. Each header may occur once.
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

/// Returns the value of a header that may occur once.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Error::invalid_token()),
        (Some(_), Some(_)) => Err(Error::invalid_token()),
    }
}
