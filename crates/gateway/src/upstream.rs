//! The service behind the gateway, and a call of it whose messages stay bytes.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use access_tokens_proto::Unchanged;
use bytes::Bytes;
use h2::Reason;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};
use tower::{BoxError, Service, ServiceExt};

use crate::address::ClientAddress;

/// Most bytes of an answer: a list of 1,000 access tokens with the longest texts.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// The service ends a call at its deadline and says so. If it does not, we do, so much later.
const GRACE: Duration = Duration::from_millis(500);

/// A call that the service has not looked at is made again so often. That happens on a new connection, to those who call
/// before it has said how many calls it may have at a time; whoever calls again knows.
const REPEATS: usize = 2;

type Calls = tower::util::BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// The service, whatever lies in between.
#[derive(Clone)]
pub(crate) struct Upstream(Calls);

impl Upstream {
    /// A service in the same process, or a channel to one elsewhere.
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>,
        S: Clone + Send + Sync + 'static,
        B: axum::body::HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let whole = |body: B| Body::new(body.map_err(lost));
        let service = service.map_response(move |response: http::Response<B>| response.map(whole));
        Self(tower::util::BoxCloneSyncService::new(service.map_err(lost)))
    }

    /// Calls a method: a message in, a message out. A service in this process finds the client's address in the extensions;
    /// one elsewhere finds it in the metadata.
    pub(crate) async fn call(
        &self,
        path: PathAndQuery,
        message: Bytes,
        metadata: MetadataMap,
        client_address: Option<ClientAddress>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, Status> {
        let mut extensions = http::Extensions::new();
        if let Some(address) = client_address {
            extensions.insert(address);
        }
        let call = Prepared { path, message, metadata: identified(metadata), extensions, timeout };
        let mut client = Grpc::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let calling = async {
            for _ in 0..REPEATS {
                match call.once(&mut client).await {
                    Err(status) if is_unprocessed(&status) => {}
                    answered => return answered,
                }
            }
            call.once(&mut client).await
        };
        let expired = |_| Err(Status::deadline_exceeded("the deadline passed"));
        tokio::time::timeout(timeout + GRACE, calling).await.unwrap_or_else(expired)
    }
}

/// What a call consists of. It may be made several times.
struct Prepared {
    path: PathAndQuery,
    message: Bytes,
    metadata: MetadataMap,
    extensions: http::Extensions,
    timeout: Duration,
}

impl Prepared {
    async fn once(&self, client: &mut Grpc<Calls>) -> Result<Response<Bytes>, Status> {
        let mut request = Request::from_parts(self.metadata.clone(), self.extensions.clone(), self.message.clone());
        request.set_timeout(self.timeout);
        client.ready().await?;
        client.unary(request, self.path.clone(), Unchanged).await
    }
}

/// The service may know the gateway itself, by the certificate of its connections. Whoever calls without a session must not
/// become the gateway: such a call goes with a session that is none.
fn identified(mut metadata: MetadataMap) -> MetadataMap {
    if !["authorization", "x-api-key"].iter().any(|name| metadata.contains_key(*name)) {
        metadata.insert("authorization", MetadataValue::from_static("Bearer none"));
    }
    metadata
}

/// The way to the service is broken, or was while the call was under way: to the caller the service is away. What tonic makes
/// of such errors by itself depends on the moment.
fn lost(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    let mut causes = causes(&*error);
    if causes.clone().any(|cause| cause.is::<tonic::TimeoutExpired>()) {
        return Status::deadline_exceeded("the deadline passed");
    }
    let mut status = Status::unavailable("the way to the service is broken");
    let reason = causes.find_map(|cause| cause.downcast_ref::<h2::Error>()?.reason());
    if reason == Some(Reason::REFUSED_STREAM) {
        status.set_source(Arc::new(Unprocessed));
    }
    status
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> + Clone + use<'a> {
    std::iter::successors(Some(error), |cause| (*cause).source())
}

/// The service has refused a call before it has looked at it.
#[derive(Debug, thiserror::Error)]
#[error("refused unprocessed")]
struct Unprocessed;

fn is_unprocessed(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<Unprocessed>())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tonic::Code;

    use super::*;

    /// What comes of a call whose stream is reset the first time, and how often it is made.
    async fn reset(reason: Reason) -> (Code, usize) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if first { Err(h2::Error::from(reason)) } else { Ok(Status::not_found("answered").into_http::<Body>()) }
            }
        });
        let path = PathAndQuery::from_static("/s/m");
        let time = Duration::from_secs(5);
        let answer = Upstream::new(service).call(path, Bytes::new(), MetadataMap::new(), None, time).await;
        (answer.expect_err("neither is an answer").code(), calls.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn only_what_was_not_looked_at_is_called_again() {
        assert_eq!(reset(Reason::REFUSED_STREAM).await, (Code::NotFound, 2));
        assert_eq!(reset(Reason::CANCEL).await, (Code::Unavailable, 1));
        assert_eq!(reset(Reason::INTERNAL_ERROR).await, (Code::Unavailable, 1));
    }
}
