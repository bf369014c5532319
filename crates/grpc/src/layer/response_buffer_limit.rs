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
use super::middleware::{Answers, Around, Next};
use crate::status;

/// Answers up to this are not looked after: the streams that a connection may have bound them.
const SMALL: usize = 64 * 1024;
/// Maximum number of bytes of larger answers that wait, for all callers.
const FOR_ALL: usize = 64 * 1024 * 1024;
/// What the HTTP library takes ahead of the caller. It is a copy: a part of a buffer would keep the whole of it.
const PIECE: usize = 16 * 1024;
/// How long a caller may take for one, and how much longer for each MiB of it.
const TIME: Duration = Duration::from_secs(30);
const TIME_PER_MIB: Duration = Duration::from_secs(4);
/// When to try again after there was no room for the answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Unsent {
    room: Arc<Semaphore>,
}

impl Unsent {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(FOR_ALL)) }
    }

    /// Room for an answer: on its connection, and among all.
    fn room(&self, size: usize, call: Option<&InFlightCall>) -> Option<Vec<OwnedSemaphorePermit>> {
        let all = (&self.room, FOR_ALL);
        let own = call.map(|call| (call.tracker().unsent_budget(), UNSENT_BYTES_PER_CONNECTION));
        let bounds = own.into_iter().chain(iter::once(all));
        bounds.map(|(room, bound)| take(room, size, bound)).collect()
    }
}

/// An answer that is larger than all the room has it alone.
fn take(room: &Arc<Semaphore>, size: usize, bound: usize) -> Option<OwnedSemaphorePermit> {
    let size = u32::try_from(size.min(bound)).ok()?;
    Arc::clone(room).try_acquire_many_owned(size).ok()
}

impl Around for Unsent {
    async fn around<N: Answers>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let call = request.extensions_mut().remove::<Arc<InFlightCall>>();
        let may_be_refused = method::find(request.uri().path()).is_some_and(|method| method.reads);
        let (head, mut body) = next.run(request).await.into_parts();
        if body.is_end_stream() {
            return Response::from_parts(head, body);
        }
        // An answer of one message is ready as soon as there is a head; others may take their time.
        let body = match body.frame().now_or_never() {
            None | Some(None) => body,
            Some(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data.len() > SMALL) => {
                let data = frame.into_data().unwrap_or_default();
                let room = match self.room(data.len(), call.as_deref()) {
                    Some(room) => room,
                    None if may_be_refused => return full(),
                    // What is done is done, and its caller is told.
                    None => Vec::new(),
                };
                Body::new(Answer::new(&data, rest(body), room, call))
            }
            Some(Some(small)) => ahead(iter::once(small), body),
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
        Some(Some(Ok(trailers))) if trailers.is_trailers() => ahead(iter::once(Ok(trailers)), Body::empty()),
        Some(Some(more)) => ahead(iter::once(more), body),
    }
}

fn full() -> Response<Body> {
    let error = Error::new(Reason::Overloaded, "too many large answers wait for their callers to take them; try again");
    status::from_error(&error.retry_after(RETRY_AFTER)).into_http()
}

fn not_taken() -> Status {
    status::from_error(&Error::new(Reason::DeadlineExceeded, "the answer was not taken in time"))
}

/// Frames, and then the rest of a body.
fn ahead(frames: impl Iterator<Item = Result<Frame<Bytes>, Status>> + Send + 'static, rest: Body) -> Body {
    Body::new(StreamBody::new(stream::iter(frames).chain(BodyStream::new(rest))))
}

/// A large answer. It is nobody's any more when its caller has not taken it in time: nobody asks a body for frames while
/// there is no room on the wire, so a watchdog empties it from outside.
struct Answer {
    waiting: Arc<Mutex<Option<Waiting>>>,
    watchdog: AbortHandle,
}

struct Waiting {
    body: Body,
    _room: Vec<OwnedSemaphorePermit>,
}

impl Answer {
    fn new(data: &Bytes, rest: Body, room: Vec<OwnedSemaphorePermit>, call: Option<Arc<InFlightCall>>) -> Self {
        let mebibytes = u32::try_from(data.len() >> 20).unwrap_or(u32::MAX);
        let time = TIME + TIME_PER_MIB.saturating_mul(mebibytes);
        let pieces: Vec<_> = data.chunks(PIECE).map(Bytes::copy_from_slice).collect();
        let body = ahead(pieces.into_iter().map(|piece| Ok(Frame::data(piece))), rest);
        let waiting = Arc::new(Mutex::new(Some(Waiting { body, _room: room })));
        let watched = Arc::downgrade(&waiting);
        let watchdog = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let Some(waiting) = watched.upgrade() else { return };
            drop(waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
            if let Some(call) = call {
                // Its connection is as idle as if there were no such call.
                call.end();
            }
        });
        Self { waiting, watchdog: watchdog.abort_handle() }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waiting) => Pin::new(&mut waiting.body).poll_frame(context),
            None => Poll::Ready(Some(Err(not_taken()))),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}

#[cfg(test)]
mod tests;
