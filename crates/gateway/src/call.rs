//! The handler of all methods.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use access_tokens_proto::v1::ErrorReason;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use http_body_util::BodyExt;

use crate::address::ClientAddress;
use crate::error::{ApiError, json};
use crate::response::Plans;
use crate::response_headers::copy_response_headers;
use crate::route::Route;
use crate::upstream::Upstream;
use crate::{GatewayConfig, request as reading, request_headers};

/// Maximum size of the body of a request, and of its query, in bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Maximum number of bytes that are read and discarded of a body that is too large. Most clients read the response only after they have
/// sent everything.
const MAX_DISCARDED_BYTES: usize = 8 * 1024 * 1024;

/// Maximum time until the body of a request has arrived. The body may hold the credential, so the sender is unknown before.
const MESSAGE_TIME: Duration = Duration::from_secs(5);

/// Name of the header with the token of the next page of a list. The envelope of the original API has no place for it.
pub(crate) const NEXT_PAGE_TOKEN: HeaderName = HeaderName::from_static("x-next-page-token");

/// Marks, in its extensions, a response that only an authenticated caller receives, so that its connection counts as authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Authenticated;

/// The parts that all calls share.
pub(crate) struct Gateway {
    pub(crate) upstream: Upstream,
    pub(crate) config: GatewayConfig,
    pub(crate) plans: Plans,
}

/// Answers a request of a route.
pub(crate) async fn answer(gateway: Arc<Gateway>, route: Arc<Route>, request: Request<Body>) -> Response<Body> {
    // A panic becomes a response, not a closed connection.
    let answered = AssertUnwindSafe(gateway.call(&route, request)).catch_unwind().await.unwrap_or_else(|_| {
        let message = "a fault of the service; its log has the cause";
        Err(ApiError::new(ErrorReason::Internal, StatusCode::INTERNAL_SERVER_ERROR, message))
    });
    answered.unwrap_or_else(|error| error.into_response(route.mount))
}

impl Gateway {
    async fn call(&self, route: &Route, request: Request<Body>) -> Result<Response<Body>, ApiError> {
        let (head, body) = request.into_parts();
        let body =
            tokio::time::timeout(MESSAGE_TIME.min(self.config.timeout), read(&head, body)).await.map_err(|_| {
                let message = "the request did not arrive in time";
                ApiError::new(ErrorReason::InvalidFieldValue, StatusCode::REQUEST_TIMEOUT, message)
            })??;
        let parsed = reading::read(route, &self.plans, &self.config, head.uri.query(), &body)?;

        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let trusted = &self.config.trusted_proxies;
        let client = peer.map(|peer| ClientAddress::resolve(peer.ip(), &head.headers, trusted));
        let metadata = request_headers::service_metadata(&head.headers, parsed.token.as_deref(), client)?;
        let path = route.grpc_path.clone();
        let called = self.upstream.call(path, parsed.message, metadata, client, self.config.timeout).await;
        let answered = called.map_err(|status| ApiError::from_status(&status))?;

        let wire = answered.get_ref();
        let envelope = route.answer.envelope(&self.plans, self.config.time_zone, wire, &parsed.selection);
        let envelope = envelope.map_err(|_| {
            let message = "the service answered something else than the contract says";
            ApiError::new(ErrorReason::Internal, StatusCode::BAD_GATEWAY, message)
        })?;
        let mut response = json(StatusCode::OK, envelope.json);
        if route.needs_session {
            response.extensions_mut().insert(Authenticated);
        }
        copy_response_headers(answered.metadata(), response.headers_mut());
        if let Some(token) = envelope.next_page.and_then(|token| HeaderValue::from_str(&token).ok()) {
            response.headers_mut().insert(NEXT_PAGE_TOKEN, token);
        }
        Ok(response)
    }
}

/// Reads the body of a request. Fails if the body or the query is too large.
async fn read(head: &request::Parts, mut body: Body) -> Result<Bytes, ApiError> {
    let too_large = |what: &str| {
        let message = format!("{what} is larger than {MAX_REQUEST_BYTES} bytes");
        ApiError::new(ErrorReason::RequestTooLarge, StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if head.uri.query().is_some_and(|query| query.len() > MAX_REQUEST_BYTES) {
        return Err(too_large("the query"));
    }
    let (mut read, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let message = "the body could not be read";
            ApiError::new(ErrorReason::InvalidFieldValue, StatusCode::BAD_REQUEST, message)
        })?;
        let data = frame.into_data().unwrap_or_default();
        seen += data.len();
        if seen <= MAX_REQUEST_BYTES {
            read.extend_from_slice(&data);
        } else if seen > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if seen > MAX_REQUEST_BYTES { Err(too_large("the body")) } else { Ok(read.freeze()) }
}
