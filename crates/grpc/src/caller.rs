//! The caller of a request.

use access_tokens_domain::session::Caller;
use access_tokens_domain::{Error, Result};

/// Returns the caller that the auth layer has found. Fails with INVALID_TOKEN without one, so that a missing layer closes the service.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller> {
    request.extensions().get::<Caller>().cloned().ok_or_else(Error::invalid_token)
}
