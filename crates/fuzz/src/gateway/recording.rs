//! A gateway before a service that records its calls.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_gateway::{GatewayConfig, router};
use axum::Router;
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// The answer of a gateway, and the message with which the service was called.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) reason: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) message: Option<Bytes>,
}

/// The gateway, with a service that gives a fixed answer and records the message of each call.
pub(crate) struct RecordingGateway {
    router: Router,
    recording: Arc<Mutex<Recording>>,
    runtime: Runtime,
    /// Held during a call, because tests run concurrently.
    call_lock: Mutex<()>,
}

#[derive(Default)]
struct Recording {
    called_with: Option<Bytes>,
    answer: Vec<u8>,
}

impl RecordingGateway {
    pub(crate) fn new(config: GatewayConfig) -> Self {
        let recording = Arc::<Mutex<Recording>>::default();
        let service = {
            let recording = Arc::clone(&recording);
            tower::service_fn(move |request: Request<tonic::body::Body>| {
                let recording = Arc::clone(&recording);
                async move { Ok::<_, Infallible>(grpc(&recording, request).await) }
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { router: router(service, config), recording, runtime, call_lock: Mutex::default() }
    }

    /// Makes a call. `None`: the target of the request is no URI.
    pub(crate) fn call(&self, verb: Method, target: &str, body: Vec<u8>) -> Option<Answer> {
        self.answering(verb, target, body, Vec::new())
    }

    /// Makes a call; the service answers with these bytes of a message.
    pub(crate) fn answering(&self, verb: Method, target: &str, body: Vec<u8>, answer: Vec<u8>) -> Option<Answer> {
        let request = Request::builder().method(verb).uri(target).body(Body::from(body)).ok()?;
        let _call_lock = self.call_lock.lock().unwrap_or_else(PoisonError::into_inner);
        *self.recording.lock().unwrap_or_else(PoisonError::into_inner) = Recording { called_with: None, answer };
        let (head, body) = self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let (head, body) = response.into_parts();
            (head, body.collect().await.expect("a body in memory").to_bytes())
        });
        let reason = head.headers.get("x-error-reason").and_then(|reason| reason.to_str().ok()).map(str::to_owned);
        let message = self.recording.lock().unwrap_or_else(PoisonError::into_inner).called_with.take();
        Some(Answer { status: head.status, reason, body, message })
    }
}

async fn grpc(recording: &Mutex<Recording>, request: Request<tonic::body::Body>) -> Response<Body> {
    let frame = request.into_body().collect().await.expect("a body in memory").to_bytes();
    let mut recording = recording.lock().unwrap_or_else(PoisonError::into_inner);
    // One byte states the compression, and four state the length.
    recording.called_with = Some(frame.slice(5..));
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(recording.answer.len()).expect("a small answer"));
    frame.put(recording.answer.as_slice());
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
