//! The service behind the gateway, and calls of it whose messages stay bytes.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access_tokens_proto::BytesCodec;
use bytes::Bytes;
use h2::Reason;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};
use tower::{BoxError, Service, ServiceExt};

use crate::address::ClientAddress;

/// Maximum size of a response in bytes: a list of 1,000 access tokens with the longest texts.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// Time after a call's deadline at which the gateway ends it. The service normally ends a call at its deadline and answers so.
const GRACE: Duration = Duration::from_millis(500);

/// Maximum number of repeats of a call that the service has not processed. A connection may reach its maximum age while the gateway sends
/// calls on it, and a new connection may refuse calls that are sent before it has announced its stream limit.
const MAX_REPEATS: u32 = 5;
/// Time since the first attempt after which a call is not sent again.
const REPEAT_TIME: Duration = Duration::from_secs(1);
/// Pause before the second repeat. It doubles with each further one. The first repeat has none.
const REPEAT_PAUSE: Duration = Duration::from_millis(5);

type Calls = tower::util::BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// The service, in this process or behind a channel.
#[derive(Clone)]
pub(crate) struct Upstream(Calls);

impl Upstream {
    /// Takes a service in the same process, or a channel to one elsewhere.
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>,
        S: Clone + Send + Sync + 'static,
        B: axum::body::HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        // An error of the body occurs after the response has begun, so the call was processed.
        let whole = |body: B| Body::new(body.map_err(|error| lost(error).0));
        let service = service.map_response(move |response: http::Response<B>| response.map(whole));
        let unanswered = |error| {
            let (mut status, failure) = lost(error);
            status.set_source(Arc::new(failure));
            status
        };
        Self(tower::util::BoxCloneSyncService::new(service.map_err(unanswered)))
    }

    /// Calls a unary method. A service in this process finds the client's address in the extensions; one elsewhere finds it in the
    /// metadata.
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
        let calling = async {
            let started = Instant::now();
            for repeat in 0..MAX_REPEATS {
                match call.once(&self.0).await {
                    (Err(_), Processed::No) if started.elapsed() < REPEAT_TIME => {}
                    (answered, _) => return answered,
                }
                if repeat > 0 {
                    sleep(REPEAT_PAUSE * (1 << (repeat - 1))).await;
                }
            }
            call.once(&self.0).await.0
        };
        let expired = |_| Err(Status::deadline_exceeded("the deadline passed"));
        tokio::time::timeout(timeout + GRACE, calling).await.unwrap_or_else(expired)
    }
}

/// The parts of a call. It may be made several times.
struct Prepared {
    path: PathAndQuery,
    message: Bytes,
    metadata: MetadataMap,
    extensions: http::Extensions,
    timeout: Duration,
}

impl Prepared {
    /// Makes one attempt.
    async fn once(&self, calls: &Calls) -> (Result<Response<Bytes>, Status>, Processed) {
        // Whether the message of the call has been taken to be sent: no method begins without its message.
        let message_taken = Arc::new(AtomicBool::new(false));
        let taken = Arc::clone(&message_taken);
        let observed = calls.clone().map_request(move |request: http::Request<Body>| {
            let taken = Arc::clone(&taken);
            let note = move |frame| {
                taken.store(true, Ordering::Release);
                frame
            };
            request.map(|body| Body::new(body.map_frame(note)))
        });
        let mut client = Grpc::new(observed).max_decoding_message_size(MAX_ANSWER_BYTES);
        let mut request = Request::from_parts(self.metadata.clone(), self.extensions.clone(), self.message.clone());
        request.set_timeout(self.timeout);
        let answered = async {
            client.ready().await?;
            client.unary(request, self.path.clone(), BytesCodec).await
        };
        let answered = answered.await;
        let failure = answered.as_ref().err().and_then(failure);
        let unprocessed = |failure| failure == Failure::Refused || !message_taken.load(Ordering::Acquire);
        let processed = if failure.is_some_and(unprocessed) { Processed::No } else { Processed::Perhaps };
        (answered, processed)
    }
}

/// Whether the service may have begun to process a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Processed {
    /// The service has not, and will not. The call may be sent again.
    No,
    /// The service may have begun.
    Perhaps,
}

/// Adds an invalid session token to a call without a credential. The service may know the gateway itself by the certificate of its
/// connections, and a caller without a session must not become the gateway.
fn identified(mut metadata: MetadataMap) -> MetadataMap {
    if !["authorization", "x-api-key"].iter().any(|name| metadata.contains_key(*name)) {
        metadata.insert("authorization", MetadataValue::from_static("Bearer none"));
    }
    metadata
}

/// The failure of a call on its way to the service, before a response began. It is the source of the status of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Failure {
    /// The server says that it has not processed the call: its stream is above the last one that GOAWAY names (RFC 9113, section 6.8), or
    /// was ended by REFUSED_STREAM (section 8.7).
    #[error("refused unprocessed")]
    Refused,
    /// Any other failure.
    #[error("lost")]
    Lost,
}

/// Returns the failure of a call that the service did not answer.
fn failure(status: &Status) -> Option<Failure> {
    causes(status).find_map(|cause| cause.downcast_ref::<Failure>()).copied()
}

/// Returns the status of a call that failed on its way: UNAVAILABLE, except for a deadline. The status that tonic itself makes of such
/// errors depends on the time of the failure.
fn lost(error: impl Into<BoxError>) -> (Status, Failure) {
    let error = error.into();
    let mut causes = causes(&*error);
    if causes.clone().any(|cause| cause.is::<tonic::TimeoutExpired>()) {
        return (Status::deadline_exceeded("the deadline passed"), Failure::Lost);
    }
    // The error of a stream is a GOAWAY of the server only if the stream is above the last one that the GOAWAY names.
    let refused = causes.any(|cause| {
        let error = cause.downcast_ref::<h2::Error>();
        error.is_some_and(|error| {
            (error.is_go_away() && error.is_remote()) || error.reason() == Some(Reason::REFUSED_STREAM)
        })
    });
    let failure = if refused { Failure::Refused } else { Failure::Lost };
    (Status::unavailable("the way to the service is broken"), failure)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> + Clone + use<'a> {
    std::iter::successors(Some(error), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tonic::Code;

    use super::*;

    /// Makes a call that fails in this way the first time, with its message taken or not. Returns its code and the number of attempts.
    async fn failing<E: Into<BoxError> + 'static>(taken: bool, fail: fn() -> E) -> (Code, usize) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if taken {
                    let _ = request.into_body().collect().await;
                }
                if first {
                    Err::<_, BoxError>(fail().into())
                } else {
                    Ok(Status::not_found("answered").into_http::<Body>())
                }
            }
        });
        let path = PathAndQuery::from_static("/s/m");
        let time = Duration::from_secs(5);
        let answer = Upstream::new(service).call(path, Bytes::new(), MetadataMap::new(), None, time).await;
        (answer.expect_err("neither is an answer").code(), calls.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn only_what_was_not_processed_is_sent_again() {
        let refused = || h2::Error::from(Reason::REFUSED_STREAM);
        assert_eq!(failing(true, refused).await, (Code::NotFound, 2));
        let others: [fn() -> h2::Error; 3] = [
            || h2::Error::from(Reason::CANCEL),
            || h2::Error::from(Reason::INTERNAL_ERROR),
            || h2::Error::from(Reason::NO_ERROR),
        ];
        for other in others {
            assert_eq!(failing(true, other).await, (Code::Unavailable, 1));
            assert_eq!(failing(false, other).await, (Code::NotFound, 2), "the message never left");
        }
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(failing(true, broken).await, (Code::Unavailable, 1));
        assert_eq!(failing(false, broken).await, (Code::NotFound, 2));
    }

    #[tokio::test]
    async fn what_the_service_answers_is_not_sent_again() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        // The service answers without reading the message.
        let service = tower::service_fn(move |_: http::Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, BoxError>(Status::unavailable("away").into_http::<Body>()) }
        });
        let path = PathAndQuery::from_static("/s/m");
        let time = Duration::from_secs(5);
        let answer = Upstream::new(service).call(path, Bytes::new(), MetadataMap::new(), None, time).await;
        assert_eq!((answer.expect_err("an error").code(), calls.load(Ordering::Relaxed)), (Code::Unavailable, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_are_bounded() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = tower::service_fn(move |_: http::Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Err::<http::Response<Body>, _>(h2::Error::from(Reason::REFUSED_STREAM)) }
        });
        let path = PathAndQuery::from_static("/s/m");
        let time = Duration::from_secs(5);
        let answer = Upstream::new(service).call(path, Bytes::new(), MetadataMap::new(), None, time).await;
        assert_eq!(answer.expect_err("an error").code(), Code::Unavailable);
        assert_eq!(calls.load(Ordering::Relaxed), 1 + MAX_REPEATS as usize);
    }
}
