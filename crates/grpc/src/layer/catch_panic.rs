//! Turns a panic into an INTERNAL response.

use std::panic::AssertUnwindSafe;

use access_tokens_domain::Error;
use futures::FutureExt;
use http::{Request, Response};
use tonic::body::Body;

use super::middleware::{Handler, Middleware, Next};
use crate::status;

#[derive(Debug, Clone)]
pub struct CatchPanic;

impl Middleware for CatchPanic {
    async fn handle<N: Handler>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        // The panic hook has logged the place. The message of the panic is not repeated, because it may hold anything.
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        answer.unwrap_or_else(|_| status::from_error(&Error::internal("a layer panicked")).into_http())
    }
}
