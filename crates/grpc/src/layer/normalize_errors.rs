//! Adds the reason and the details that every error has to errors that tonic makes itself: for a message that is too large, and for
//! bytes that are no message.

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
        // Errors of the service have details. An error without any was made before a handler was reached.
        let refused = response.extensions().get::<Status>().filter(|status| status.details().is_empty());
        match refused.and_then(|status| status::from_decode_failure(status, limit)) {
            Some(error) => status::from_error(&error).into_http(),
            None => response,
        }
    }
}
