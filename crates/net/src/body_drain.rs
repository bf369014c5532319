//! Reads the rest of a request body that was answered before its end.
//!
//! On an HTTP/1 connection the next request begins behind the body of this one. If a body is not read to its end, the
//! HTTP library closes the connection, the answer does not say so, and the next call of the client fails. So the rest
//! of the body is read here, within limits. If the body does not end within the limits, the answer says `connection:
//! close` (ADR 35).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

/// Maximum size in bytes of a body that is read to its end to keep the connection. The gateway itself reads as much of
/// a body that is too large.
const MAX_DRAINED_BYTES: u64 = 8 * 1024 * 1024;
/// Time from the head of a request within which its body must end.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The body of the current request of a connection. Clones belong to the same connection.
pub(super) struct BodyDrain<B>(Arc<Mutex<State<B>>>);

enum State<B> {
    /// There is no body, or it was read to its end.
    Ended,
    /// The handler has it.
    InHandler,
    /// The handler has dropped the body after it has read this many bytes.
    Unread(B, u64),
}

impl<B> BodyDrain<B> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Ended)))
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> BodyDrain<B>
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin + Send + 'static,
{
    /// Wraps the body of a new request for its handler.
    pub(super) fn wrap(&self, body: B) -> Body {
        if body.is_end_stream() {
            *self.state() = State::Ended;
            return Body::empty();
        }
        *self.state() = State::InHandler;
        Body::new(TrackedBody { body: Some(body), bytes_read: 0, current: Self(Arc::clone(&self.0)) })
    }

    /// Reads the part of a body that the handler has left. `started` is the time at which the head of the request came.
    /// Returns false if the body does not end within the limits: the connection cannot be used any more.
    ///
    /// A client that waits for `100 Continue` is not asked for a body that is not needed.
    pub(super) async fn drain(&self, started: Instant, awaits_continue: bool) -> bool {
        let (mut body, mut bytes_read) = match std::mem::replace(&mut *self.state(), State::Ended) {
            State::Ended => return true,
            State::InHandler => return false,
            State::Unread(body, bytes_read) => (body, bytes_read),
        };
        if awaits_continue && bytes_read == 0 {
            return false;
        }
        let rest = async {
            while bytes_read <= MAX_DRAINED_BYTES {
                match body.frame().await {
                    Some(Ok(frame)) => bytes_read += frame.data_ref().map_or(0, |data| data.len() as u64),
                    Some(Err(_)) => return false,
                    None => return true,
                }
            }
            false
        };
        timeout_at(started + DRAIN_TIME, rest).await.unwrap_or(false)
    }
}

/// The body as its handler reads it. When the handler drops it, the rest goes back to [`BodyDrain`].
struct TrackedBody<B> {
    /// None once the body has ended or has failed.
    body: Option<B>,
    /// Bytes that the handler has read.
    bytes_read: u64,
    current: BodyDrain<B>,
}

impl<B> HttpBody for TrackedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.bytes_read += frame.data_ref().map_or(0, |data| data.len() as u64),
            // The library closes the connection when a body fails.
            Poll::Ready(Some(Err(_)) | None) => self.body = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B> Drop for TrackedBody<B> {
    fn drop(&mut self) {
        let left = self.body.take().map_or(State::Ended, |body| State::Unread(body, self.bytes_read));
        *self.current.state() = left;
    }
}

#[cfg(test)]
mod tests;
