//! Limits the memory and the time that responses take which their callers do not read.
//!
//! Over HTTP/2 a caller decides how much it reads and when. The rest stays in the memory of the service until the connection ends.

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
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;

use super::method;
use super::middleware::{Handler, Middleware, Next};
use crate::status;

/// Maximum size of a response that is not counted, in bytes. The number of streams of a connection bounds small responses.
const UNTRACKED_BYTES: usize = 64 * 1024;
/// Maximum number of bytes of larger responses that wait, for all callers together.
const MAX_BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// Size in bytes of the parts in which the HTTP library takes a response. Each is a copy: a slice of the buffer would keep all of it.
const CHUNK_BYTES: usize = 16 * 1024;
/// Maximum time until a caller has read a large response: this, and more for each MiB.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const SEND_TIMEOUT_PER_MIB: Duration = Duration::from_secs(4);
/// Time after which a caller may try again whose response found no room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct ResponseBufferLimit {
    room: Arc<Semaphore>,
}

impl ResponseBufferLimit {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(MAX_BUFFERED_BYTES)) }
    }

    /// Reserves room for a response on its connection and in total. `None`: there is not enough.
    fn reserve(&self, size: usize, call: Option<&InFlightCall>) -> Option<Vec<OwnedSemaphorePermit>> {
        let all = (&self.room, MAX_BUFFERED_BYTES);
        let own = call.map(|call| (call.tracker().unsent_budget(), UNSENT_BYTES_PER_CONNECTION));
        let bounds = own.into_iter().chain(iter::once(all));
        bounds.map(|(room, bound)| try_reserve(room, size, bound)).collect()
    }
}

/// Reserves room within a bound. A response that is larger than the bound takes all of it.
fn try_reserve(room: &Arc<Semaphore>, size: usize, bound: usize) -> Option<OwnedSemaphorePermit> {
    let size = u32::try_from(size.min(bound)).ok()?;
    Arc::clone(room).try_acquire_many_owned(size).ok()
}

impl Middleware for ResponseBufferLimit {
    async fn handle<N: Handler>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let call = request.extensions_mut().remove::<Arc<InFlightCall>>();
        let may_be_refused = method::find(request.uri().path()).is_some_and(|method| method.reads);
        let (head, mut body) = next.run(request).await.into_parts();
        if body.is_end_stream() {
            return Response::from_parts(head, body);
        }
        // A response of one message is ready together with its head. Parts of a stream may come later.
        let body = match body.frame().now_or_never() {
            None | Some(None) => body,
            Some(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data.len() > UNTRACKED_BYTES) => {
                let data = frame.into_data().unwrap_or_default();
                let room = match self.reserve(data.len(), call.as_deref()) {
                    Some(room) => room,
                    None if may_be_refused => return buffer_full(),
                    // The call has changed something, and its caller must learn the result.
                    None => Vec::new(),
                };
                Body::new(BufferedBody::new(&data, rest(body), room, call))
            }
            Some(Some(small)) => prepend(iter::once(small), body),
        };
        Response::from_parts(head, body)
    }
}

/// Returns the body after the data. Nearly always its end is ready: then the original body is dropped, because it keeps the buffer that
/// the data was encoded in.
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

/// Returns a body of these frames, followed by the rest of a body.
fn prepend(frames: impl Iterator<Item = Result<Frame<Bytes>, Status>> + Send + 'static, rest: Body) -> Body {
    Body::new(StreamBody::new(stream::iter(frames).chain(BodyStream::new(rest))))
}

/// A large response, which is dropped when its caller has not read it in time. A body is not polled while there is no room on the wire,
/// so a timer empties it from outside.
struct BufferedBody {
    buffered: Arc<Mutex<Option<Buffered>>>,
    /// Dropped with the body.
    _timer: JoinSet<()>,
}

struct Buffered {
    body: Body,
    _room: Vec<OwnedSemaphorePermit>,
}

impl BufferedBody {
    fn new(data: &Bytes, rest: Body, room: Vec<OwnedSemaphorePermit>, call: Option<Arc<InFlightCall>>) -> Self {
        let mebibytes = u32::try_from(data.len() >> 20).unwrap_or(u32::MAX);
        let time = SEND_TIMEOUT + SEND_TIMEOUT_PER_MIB.saturating_mul(mebibytes);
        let chunks: Vec<_> = data.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect();
        let body = prepend(chunks.into_iter().map(|chunk| Ok(Frame::data(chunk))), rest);
        let buffered = Arc::new(Mutex::new(Some(Buffered { body, _room: room })));
        let watched = Arc::downgrade(&buffered);
        let mut timer = JoinSet::new();
        timer.spawn(async move {
            tokio::time::sleep(time).await;
            let Some(buffered) = watched.upgrade() else { return };
            drop(buffered.lock().unwrap_or_else(PoisonError::into_inner).take());
            if let Some(call) = call {
                // The connection counts as idle, as if the call had ended.
                call.end();
            }
        });
        Self { buffered, _timer: timer }
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

#[cfg(test)]
mod tests;
