//! Who calls, and may they? Decided from the metadata and the certificate of the connection, before the request is read.

use std::sync::Arc;

use access_tokens_domain::ports::BoxFuture;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::session::{Caller, Session};
use access_tokens_domain::store::{AccountStore, Store};
use access_tokens_domain::{Error, Reason, Result};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Request, Response};
use tonic::body::Body;

use super::method::{self, Access};
use super::{Answers, Around, Next};
use crate::authentication::{Authenticator, CertificateUser};
use crate::tls::Peer;
use crate::transport::status;

/// The metadata that carries an API key.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Recognises callers. INVALID_TOKEN for whoever is not (or no longer) one.
pub trait Authenticate: Send + Sync + 'static {
    /// Who sends this session token?
    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<(Caller, Session)>>;

    /// Who sends this API key?
    fn api_key<'a>(&'a self, key: &'a Secret) -> BoxFuture<'a, Result<Caller>>;

    /// Who calls with a certificate that stands for this user?
    fn certificate<'a>(&'a self, user: &'a CertificateUser) -> BoxFuture<'a, Result<Caller>>;
}

impl<S: Store + AccountStore> Authenticate for Authenticator<S> {
    fn bearer<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<(Caller, Session)>> {
        Box::pin(self.authenticate_bearer(token))
    }

    fn api_key<'a>(&'a self, key: &'a Secret) -> BoxFuture<'a, Result<Caller>> {
        Box::pin(self.authenticate_api_key(key))
    }

    fn certificate<'a>(&'a self, user: &'a CertificateUser) -> BoxFuture<'a, Result<Caller>> {
        Box::pin(self.authenticate_certificate(user))
    }
}

#[derive(Clone)]
pub struct Auth {
    sessions: Arc<dyn Authenticate>,
}

impl Auth {
    pub(super) fn new(sessions: Arc<dyn Authenticate>) -> Self {
        Self { sessions }
    }

    /// The caller, and the session if it has one. What is sent with the call counts before the certificate of its
    /// connection, be it wrong: nobody becomes somebody else because a session has expired.
    async fn authenticate(&self, headers: &HeaderMap, peer: Option<Peer>) -> Result<(Caller, Option<Session>)> {
        match credential(headers)? {
            Some(Credential::Bearer(token)) => {
                let (caller, session) = self.sessions.bearer(token.expose()).await?;
                Ok((caller, Some(session)))
            }
            Some(Credential::ApiKey(key)) => Ok((self.sessions.api_key(&key).await?, None)),
            None => {
                let user = peer.and_then(|peer| peer.user).ok_or_else(Error::invalid_token)?;
                Ok((self.sessions.certificate(&user).await?, None))
            }
        }
    }

    async fn admit(&self, access: Access, request: &mut Request<Body>) -> Result<()> {
        if access == Access::Open {
            return Ok(());
        }
        let peer = request.extensions_mut().remove::<Peer>();
        let (caller, session) = self.authenticate(request.headers(), peer).await?;
        match access {
            Access::Permission(permission) => caller.require(permission)?,
            Access::Session | Access::Open => {}
            Access::Nobody => return Err(Error::new(Reason::PermissionDenied, "nobody may call this method")),
        }
        // What has been checked is of no use to a handler, and cannot leak from one.
        request.headers_mut().remove(AUTHORIZATION);
        request.headers_mut().remove(API_KEY);
        request.extensions_mut().insert(caller);
        if let Some(session) = session {
            request.extensions_mut().insert(session);
        }
        Ok(())
    }
}

impl Around for Auth {
    async fn around<N: Answers>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let Some(method) = method::find(request.uri().path()) else {
            return status::from_error(&Error::new(Reason::MethodNotFound, "there is no such method")).into_http();
        };
        match self.admit(method.access, &mut request).await {
            Ok(()) => next.run(request).await,
            Err(error) => status::from_error(&error).into_http(),
        }
    }
}

/// What a call identifies itself by.
enum Credential {
    Bearer(Secret),
    ApiKey(Secret),
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
