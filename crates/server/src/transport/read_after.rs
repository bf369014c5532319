//! Own writes are seen where replicas answer reads.
//!
//! A call that may write answers how far the log of the database had come when it was over, as the metadata
//! `x-read-after`; a call that only reads may send it along, to whichever process, and is then shown what was written. Who
//! does not send it is shown what the same user has written through the same process. To a caller it is opaque, and it is
//! a proof of nothing: a false one sends a read to the primary, or to where it would have gone without.
//!
//! Without replicas calls pass through as they are.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use access_tokens_domain::session::Caller;
use access_tokens_storage::Replicas;
use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// The metadata that carries a position, both ways.
const READ_AFTER: HeaderName = HeaderName::from_static("x-read-after");

/// What only reads, and may read from a replica as soon as it says so.
const MAY_LAG: [&str; 3] = ["ShowAccessToken", "ListAccessTokens", "GetNotAssociatedAccessTokens"];
/// What only reads, and what is decided upon.
const READS: [&str; 3] = ["ListClassifications", "ExplainAccessToken", "ListGuessBudgets"];

/// Puts services between their callers and the replicas of the database, if it has any.
#[derive(Debug, Clone)]
pub(super) struct ReadAfter(Option<Arc<Replicas>>);

impl ReadAfter {
    pub(super) fn new(replicas: Option<Arc<Replicas>>) -> Self {
        Self(replicas)
    }
}

impl<S> Layer<S> for ReadAfter {
    type Service = Routed<S>;

    fn layer(&self, inner: S) -> Routed<S> {
        Routed { replicas: self.0.clone(), inner }
    }
}

/// A service whose reads may be answered by replicas.
#[derive(Debug, Clone)]
pub(super) struct Routed<S> {
    replicas: Option<Arc<Replicas>>,
    inner: S,
}

type Answer = Result<Response<Body>, Infallible>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl<S> Service<Request<Body>> for Routed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let Some(replicas) = &self.replicas else { return self.inner.call(request) };
        // Whoever is nobody is refused by the service.
        let Some(caller) = request.extensions().get::<Caller>() else { return self.inner.call(request) };
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        if READS.contains(&method) {
            return self.inner.call(request);
        }
        if MAY_LAG.contains(&method) {
            // What is no text is no position either.
            let after = request.headers().get(READ_AFTER).map(|value| value.to_str().unwrap_or_default());
            let route = replicas.choose(caller, after);
            let call = self.inner.call(request);
            return match route {
                Some(route) => Box::pin(route.around(call)),
                None => call,
            };
        }
        let writing = replicas.writing(caller);
        let call = self.inner.call(request);
        Box::pin(async move {
            let mut response = call.await?;
            let written = writing.done().await.and_then(|text| HeaderValue::try_from(text).ok());
            if let Some(written) = written {
                response.headers_mut().insert(READ_AFTER, written);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::options;

    use super::*;

    #[test]
    fn the_methods_that_only_read_are_those_of_the_contract() {
        for name in MAY_LAG.iter().chain(&READS) {
            let paths = options::methods().iter().filter(|method| method.grpc_path.ends_with(&format!("/{name}")));
            assert_eq!(paths.count(), 1, "{name}");
        }
    }
}
