//! Answers that are ready and that their callers do not take: so many bytes at most, and not for ever.
//!
//! Over HTTP/2 a caller decides how much it takes and when. What it leaves is memory of ours, until its connection ends.

use std::iter;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use access_tokens_net::connection_tracker::{InFlightCall, UNSENT_BYTES_PER_CONNECTION};
use futures::{FutureExt, StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::body::Body;

use super::method;
use super::middleware::{Handler, Middleware, Next};
use crate::status;

/// Answers up to this are not looked after: the streams that a connection may have bound them.
const UNTRACKED_BYTES: usize = 64 * 1024;
/// Maximum number of bytes of larger answers that wait, for all callers.
const MAX_BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// What the HTTP library takes ahead of the caller. It is a copy: a part of a buffer would keep the whole of it.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long a caller may take for one, and how much longer for each MiB of it.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const SEND_TIMEOUT_PER_MIB: Duration = Duration::from_secs(4);
/// When to try again after there was no room for the answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct ResponseBufferLimit {
    room: Arc<Semaphore>,
}

impl ResponseBufferLimit {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(MAX_BUFFERED_BYTES)) }
    }

    /// Room for an answer: on its connection, and among all.
    fn reserve(&self, size: usize, call: Option<&Call>) -> Option<Vec<OwnedSemaphorePermit>> {
        let all = (&self.room, MAX_BUFFERED_BYTES);
        let own = call.map(|call| (call.activity().unsent(), UNSENT_BYTES_PER_CONNECTION));
        let bounds = own.into_iter().chain(iter::once(all));
        bounds.map(|(room, bound)| try_reserve(room, size, bound)).collect()
    }
}

/// An answer that is larger than all the room has it alone.
fn try_reserve(room: &Arc<Semaphore>, size: usize, bound: usize) -> Option<OwnedSemaphorePermit> {
    let size = u32::try_from(size.min(bound)).ok()?;
    Arc::clone(room).try_acquire_many_owned(size).ok()
}

impl Middleware for ResponseBufferLimit {
    async fn handle<N: Handler>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let call = request.extensions_mut().remove::<Arc<Call>>();
        let may_be_refused = method::find(request.uri().path()).is_some_and(|method| method.reads);
        let (head, mut body) = next.run(request).await.into_parts();
        if body.is_end_stream() {
            return Response::from_parts(head, body);
        }
        // An answer of one message is ready as soon as there is a head; others may take their time.
        let body = match body.frame().now_or_never() {
            None | Some(None) => body,
            Some(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data.len() > UNTRACKED_BYTES) => {
                let data = frame.into_data().unwrap_or_default();
                let room = match self.reserve(data.len(), call.as_deref()) {
                    Some(room) => room,
                    None if may_be_refused => return buffer_full(),
                    // What is done is done, and its caller is told.
                    None => Vec::new(),
                };
                Body::new(BufferedBody::new(&data, rest(body), room, call))
            }
            Some(Some(small)) => prepend(iter::once(small), body),
        };
        Response::from_parts(head, body)
    }
}

/// What follows the data. That is its end nearly always, and there already: then the body can go, which would keep the
/// buffer that the data was encoded in.
fn rest(mut body: Body) -> Body {
    match body.frame().now_or_never() {
        None => body,
        Some(None) => Body::empty(),
        Some(Some(Ok(trailers))) if trailers.is_trailers() => prepend(iter::once(Ok(trailers)), Body::empty()),
        Some(Some(more)) => prepend(iter::once(more), body),
    }
}

fn buffer_full() -> Response<Body> {
    let error = Error::new(Reason::Overloaded, "too many large answers wait for their callers to take them; try again");
    status::from_error(&error.retry_after(RETRY_AFTER)).into_http()
}

fn send_timed_out() -> Status {
    status::from_error(&Error::new(Reason::DeadlineExceeded, "the answer was not taken in time"))
}

/// Frames, and then the rest of a body.
fn prepend(frames: impl Iterator<Item = Result<Frame<Bytes>, Status>> + Send + 'static, rest: Body) -> Body {
    Body::new(StreamBody::new(stream::iter(frames).chain(BodyStream::new(rest))))
}

/// A large answer. It is nobody's any more when its caller has not taken it in time: nobody asks a body for frames while
/// there is no room on the wire, so a watchdog empties it from outside.
struct BufferedBody {
    buffered: Arc<Mutex<Option<Buffered>>>,
    timer: AbortHandle,
}

struct Buffered {
    body: Body,
    _room: Vec<OwnedSemaphorePermit>,
}

impl BufferedBody {
    fn new(data: &Bytes, rest: Body, room: Vec<OwnedSemaphorePermit>, call: Option<Arc<Call>>) -> Self {
        let mebibytes = u32::try_from(data.len() >> 20).unwrap_or(u32::MAX);
        let time = SEND_TIMEOUT + SEND_TIMEOUT_PER_MIB.saturating_mul(mebibytes);
        let chunks: Vec<_> = data.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect();
        let body = prepend(chunks.into_iter().map(|chunk| Ok(Frame::data(chunk))), rest);
        let buffered = Arc::new(Mutex::new(Some(Buffered { body, _room: room })));
        let watched = Arc::downgrade(&buffered);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let Some(buffered) = watched.upgrade() else { return };
            drop(buffered.lock().unwrap_or_else(PoisonError::into_inner).take());
            if let Some(call) = call {
                // Its connection is as idle as if there were no such call.
                call.end();
            }
        });
        Self { buffered, timer: timer.abort_handle() }
    }
}

impl HttpBody for BufferedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self.buffered.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(buffered) => Pin::new(&mut buffered.body).poll_frame(context),
            None => Poll::Ready(Some(Err(send_timed_out()))),
        }
    }
}

impl Drop for BufferedBody {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

#[cfg(test)]
mod tests;
