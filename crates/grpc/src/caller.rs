//! The caller of a request.

use access_tokens_domain::session::Caller;
use access_tokens_domain::{Error, Result};
use tonic::Request;

/// Returns the caller that the auth layer has found. Fails with INVALID_TOKEN without one, so that a missing layer closes the service.
pub(crate) fn caller<T>(request: &Request<T>) -> Result<Caller> {
    request.extensions().get::<Caller>().cloned().ok_or_else(Error::invalid_token)
}

/// Returns the caller of a request, and the converted request. Checks the caller first.
pub(crate) fn unpack<Q, T>(request: Request<Q>, convert: impl FnOnce(Q) -> Result<T>) -> Result<(Caller, T)> {
    Ok((caller(&request)?, convert(request.into_inner())?))
}
