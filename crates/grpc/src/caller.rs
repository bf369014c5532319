//! Who makes a call.

use access_tokens_domain::session::Caller;
use access_tokens_domain::{Error, Result};

/// Who calls, as the auth layer found out. Without it the call fails closed.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller> {
    request.extensions().get::<Caller>().cloned().ok_or_else(Error::invalid_token)
}
