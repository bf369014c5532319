//! What tonic refuses by itself (a message that is too large, bytes that are no message) gets the reason and the details
//! that every error has.

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;

use super::method;
use super::middleware::{Handler, Middleware, Next};
use crate::status;

#[derive(Debug, Clone)]
pub struct NormalizeErrors;

impl Middleware for NormalizeErrors {
    async fn handle<N: Handler>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let limit = method::find(request.uri().path()).map_or(method::MAX_REQUEST_BYTES, |method| method.size_limit);
        let response = next.run(request).await;
        // Our own errors have details; what has none was made before a handler was reached.
        let refused = response.extensions().get::<Status>().filter(|status| status.details().is_empty());
        match refused.and_then(|status| status::from_decode_failure(status, limit)) {
            Some(error) => status::from_error(&error).into_http(),
            None => response,
        }
    }
}
