//! The service behind the gateway, and a call of it whose messages stay bytes.

use std::time::Duration;

use access_tokens_proto::Unchanged;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};
use tower::{BoxError, Service, ServiceExt};

/// Most bytes of an answer: a list of 1,000 access tokens with the longest texts.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// The service ends a call at its deadline and says so. If it does not, we do, so much later.
const GRACE: Duration = Duration::from_millis(500);

/// The service, whatever lies in between.
#[derive(Clone)]
pub(crate) struct Upstream(tower::util::BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>);

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

    /// Calls a method: a message in, a message out.
    pub(crate) async fn call(
        &self,
        path: PathAndQuery,
        message: Bytes,
        metadata: MetadataMap,
        timeout: Duration,
    ) -> Result<Response<Bytes>, Status> {
        let mut request = Request::from_parts(identified(metadata), http::Extensions::new(), message);
        request.set_timeout(timeout);
        let mut client = Grpc::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let call = async {
            client.ready().await?;
            client.unary(request, path, Unchanged).await
        };
        let expired = |_| Err(Status::deadline_exceeded("the deadline passed"));
        tokio::time::timeout(timeout + GRACE, call).await.unwrap_or_else(expired)
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
    let mut causes = std::iter::successors(Some(&*error as &(dyn std::error::Error + 'static)), |cause| cause.source());
    if causes.any(|cause| cause.is::<tonic::TimeoutExpired>()) {
        return Status::deadline_exceeded("the deadline passed");
    }
    Status::unavailable("the way to the service is broken")
}
