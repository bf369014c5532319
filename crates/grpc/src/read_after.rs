//! Lets callers see their own writes although replicas answer reads.
//!
//! The response to a call that may write carries the position of the database log at the end of the call, as the metadata
//! `x-read-after`. A call that only reads may send this position, to any process, and then sees what was written before it. Without a
//! position the call sees what the same user has written through the same process. The value is opaque to callers, and it grants
//! nothing: a false one sends a read to the primary, or to the database that would have answered without it.
//!
//! Without replicas calls pass unchanged.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use access_tokens_domain::session::Caller;
use access_tokens_domain::store::ReadConsistency;
use access_tokens_storage::Replicas;
use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tower::layer::layer_fn;
use tower::{Layer, Service};

use super::layer::method;

/// Name of the metadata that carries a position, in requests and in responses.
const READ_AFTER: HeaderName = HeaderName::from_static("x-read-after");

/// Returns the consistency that the reads of a caller need, so that it sees its own writes.
pub(super) fn consistency(replicas: Option<&Replicas>, metadata: &MetadataMap, caller: &Caller) -> ReadConsistency {
    let Some(replicas) = replicas else { return ReadConsistency::BoundedStaleness };
    // A value that is not text is not a position.
    let after = metadata.get(READ_AFTER.as_str()).map(|value| value.to_str().unwrap_or_default());
    replicas.consistency(caller, after)
}

/// Returns the layer that adds the position after each call that may write to its response, if the database has replicas.
pub(super) fn layer<S>(replicas: Option<&Arc<Replicas>>) -> impl Layer<S, Service = ReadAfterService<S>> {
    layer_fn(move |inner| ReadAfterService { replicas: replicas.cloned(), inner })
}

/// A service whose responses carry the positions of writes.
#[derive(Debug, Clone)]
pub(super) struct ReadAfterService<S> {
    replicas: Option<Arc<Replicas>>,
    inner: S,
}

type ResponseResult = Result<Response<Body>, Infallible>;
type ResponseFuture = Pin<Box<dyn Future<Output = ResponseResult> + Send>>;

impl<S> Service<Request<Body>> for ReadAfterService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = ResponseFuture>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let Some(replicas) = &self.replicas else { return self.inner.call(request) };
        // The service refuses a call without a caller.
        let Some(caller) = request.extensions().get::<Caller>() else { return self.inner.call(request) };
        if method::find(request.uri().path()).is_some_and(|method| method.reads) {
            return self.inner.call(request);
        }
        let writing = replicas.begin_write(caller);
        let call = self.inner.call(request);
        Box::pin(async move {
            let mut response = call.await?;
            let written = writing.finish().await.and_then(|text| HeaderValue::try_from(text).ok());
            if let Some(written) = written {
                response.headers_mut().insert(READ_AFTER, written);
            }
            Ok(response)
        })
    }
}
