//! The deadline of a call: the caller's `grpc-timeout`, at most the limit of the method.
//!
//! It ends the wait of the caller and the reading of the request. The work itself continues to its end in a task of its own, because
//! dropping it could leave a transaction open.

use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;

use super::admitted::Admitted;
use super::method::{self, Method};
use super::middleware::{Handler, Middleware, Next};
use crate::status;

/// Bounds of the time by which a call ends before its caller's deadline. Within them it is a tenth of the timeout. The response has to
/// travel, and tonic knows the caller's deadline too: when it passes, tonic drops the call and answers CANCELLED without details. Timers
/// are exact to a millisecond.
const MIN_HEAD_START: Duration = Duration::from_millis(1);
const MAX_HEAD_START: Duration = Duration::from_millis(100);

/// Name of the metadata that carries the caller's timeout.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

#[derive(Debug, Clone)]
pub struct Deadline;

impl Middleware for Deadline {
    async fn handle<N: Handler>(&self, request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let Some(method) = method::find(request.uri().path()) else { return next.run(request).await };
        let arrived_at = request.extensions().get().map_or_else(Instant::now, Admitted::arrived_at);
        let deadline = of(method, request.headers(), arrived_at);
        // The message of a unary call is complete here.
        let streams = method.client_streaming && !method.probe;
        // A client that stops sending must not occupy a task without end.
        let end_body = |body| end_at(deadline, body, || Err(exceeded()));
        let request = if streams { request.map(end_body) } else { request };
        match timeout_at(deadline, next.run(request)).await {
            Ok(response) => response,
            Err(_) => exceeded().into_http(),
        }
    }
}

/// Returns the deadline of a call that arrived at this time: what the caller asks for less the time that the response takes to reach it,
/// at most the limit of the method.
pub(super) fn of(method: &Method, headers: &HeaderMap, arrived_at: Instant) -> Instant {
    let requested = grpc_timeout(headers)
        .map(|timeout| timeout.saturating_sub((timeout / 10).clamp(MIN_HEAD_START, MAX_HEAD_START)));
    arrived_at + requested.map_or(method.time_limit, |requested| requested.min(method.time_limit))
}

/// Returns whether there is a timeout that cannot be read.
pub(super) fn is_malformed(headers: &HeaderMap) -> bool {
    headers.contains_key(GRPC_TIMEOUT) && grpc_timeout(headers).is_none()
}

fn exceeded() -> Status {
    status::from_error(&deadline_exceeded())
}

/// Returns the error of a call whose deadline has passed.
pub(super) fn deadline_exceeded() -> Error {
    Error::new(Reason::DeadlineExceeded, "the deadline passed; the call may or may not have taken effect")
}

/// Reads the caller's timeout: up to eight digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Returns a body that ends at a time with `last`, if it has not ended before.
pub(super) fn end_at(end: Instant, body: Body, last: fn() -> Result<Frame<Bytes>, Status>) -> Body {
    let frames = stream::unfold(Some(BodyStream::new(body)), move |frames| async move {
        let mut frames = frames?;
        match timeout_at(end, frames.next()).await {
            Ok(frame) => Some((frame?, Some(frames))),
            Err(_) => Some((last(), None)),
        }
    });
    Body::new(StreamBody::new(frames))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn timeout(text: &'static str) -> Option<Duration> {
        grpc_timeout(&HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-timeout"),
            HeaderValue::from_static(text),
        )]))
    }

    #[test]
    fn timeouts_have_digits_and_a_unit() {
        assert_eq!(timeout("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(timeout("99999999M"), Some(Duration::from_secs(99_999_999 * 60)));
        assert_eq!(timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(timeout("40m"), Some(Duration::from_millis(40)));
        assert_eq!(timeout("5u"), Some(Duration::from_micros(5)));
        assert_eq!(timeout("6n"), Some(Duration::from_nanos(6)));
        for bad in ["", "S", "5", "-5S", "5s", "123456789S", "+1S"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
