//! Waits for the whole message of a call before the call gets a permit.
//!
//! A client that sends half of a message and then nothing occupies a stream of its own connection, and nothing that other clients need.
//! The number of incomplete messages is bounded, for each party and in total; a new one evicts the oldest.

use access_tokens_net::evicting_set::SharedEvictingSet;
use access_tokens_net::limit_key::LimitKey;
use futures::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::body::Body;

/// Maximum number of messages that have begun to arrive and are not complete. Each has at most 64 KiB.
const MAX_PENDING: usize = 2_048;
/// Maximum number of those messages of one party.
const MAX_PENDING_PER_PARTY: usize = MAX_PENDING / 8;
/// Bytes of a gRPC frame before its message: a flag and the length.
const FRAME_HEADER_BYTES: usize = 5;

/// Receives messages, and knows all incomplete ones of the process.
#[derive(Debug)]
pub(super) struct MessageReceiver(SharedEvictingSet<LimitKey, oneshot::Sender<()>>);

/// A reason why a message is incomplete.
#[derive(Debug)]
pub(super) enum ReceiveError {
    /// The message did not arrive in time.
    TimedOut,
    /// A newer message displaced this one.
    Evicted,
    /// The client has cancelled the call or violated the protocol.
    Aborted(Status),
}

impl MessageReceiver {
    pub(super) fn new() -> Self {
        Self(SharedEvictingSet::new(MAX_PENDING, MAX_PENDING_PER_PARTY))
    }

    /// Waits for the end of a body, and returns it with its size in bytes. If the body is larger than `limit`, only its beginning is
    /// returned, which is larger than `limit` too.
    pub(super) async fn receive(
        &self,
        mut body: Body,
        limit: usize,
        party: LimitKey,
        deadline: Instant,
    ) -> Result<(Body, usize), ReceiveError> {
        if body.is_end_stream() {
            return Ok((body, 0));
        }
        let mut read = MessageBuffer { bytes: Bytes::new(), limit: limit + FRAME_HEADER_BYTES };
        // Nearly always the message has arrived with the head of the call.
        while let Some(frame) = body.frame().now_or_never() {
            if read.push(frame)? || body.is_end_stream() {
                return Ok(read.into_body());
            }
        }
        // Boxed to keep the future of the usual case small.
        Box::pin(self.wait(body, read, party, deadline)).await
    }

    async fn wait(
        &self,
        mut body: Body,
        mut read: MessageBuffer,
        party: LimitKey,
        deadline: Instant,
    ) -> Result<(Body, usize), ReceiveError> {
        let (evict, evicted) = oneshot::channel();
        // Dropping the sender of the evicted message informs that message.
        let (_pending, _) = self.0.join(party, evict);
        let rest = async {
            while !read.push(body.frame().await)? {}
            Ok::<_, ReceiveError>(())
        };
        tokio::select! {
            biased;
            done = rest => done?,
            _ = evicted => return Err(ReceiveError::Evicted),
            () = sleep_until(deadline) => return Err(ReceiveError::TimedOut),
        }
        Ok(read.into_body())
    }
}

/// The part of a message that has arrived.
struct MessageBuffer {
    bytes: Bytes,
    limit: usize,
}

impl MessageBuffer {
    /// Adds a frame. Returns true when the message has ended, or is too large.
    fn push(&mut self, frame: Option<Result<Frame<Bytes>, Status>>) -> Result<bool, ReceiveError> {
        let Some(frame) = frame else { return Ok(true) };
        let Ok(data) = frame.map_err(ReceiveError::Aborted)?.into_data() else { return Ok(false) };
        if self.bytes.is_empty() {
            // Shares the buffer that the data was read into, without a copy.
            self.bytes = data;
        } else if !data.is_empty() {
            let mut all = std::mem::take(&mut self.bytes).try_into_mut().unwrap_or_else(|part| part[..].into());
            all.extend_from_slice(&data);
            self.bytes = all.freeze();
        }
        Ok(self.bytes.len() > self.limit)
    }

    fn into_body(self) -> (Body, usize) {
        let size = self.bytes.len();
        (Body::new(Full::new(self.bytes)), size)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;
    use std::time::Duration;

    use access_tokens_domain::session::OrganisationKey;
    use futures::{StreamExt, poll, stream};
    use http_body_util::StreamBody;

    use super::*;

    const LIMIT: usize = 100;

    fn body(parts: &[&'static [u8]], ends: bool) -> Body {
        let parts: Vec<_> = parts.iter().map(|part| Ok::<_, Status>(Frame::data(Bytes::from_static(part)))).collect();
        let parts = stream::iter(parts);
        if ends {
            Body::new(StreamBody::new(parts))
        } else {
            Body::new(StreamBody::new(parts.chain(stream::pending())))
        }
    }

    /// A body whose parts arrive with this pause before each.
    fn slow(parts: impl Iterator<Item = &'static [u8]> + Send + 'static, pause: Duration) -> Body {
        Body::new(StreamBody::new(Box::pin(stream::iter(parts).then(move |part| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, Status>(Frame::data(Bytes::from_static(part)))
        }))))
    }

    async fn receive(messages: &MessageReceiver, party: i32, body: Body) -> Result<Vec<u8>, ReceiveError> {
        let party = LimitKey::Organisation(OrganisationKey(party));
        let deadline = Instant::now() + Duration::from_secs(5);
        let (body, size) = messages.receive(body, LIMIT, party, deadline).await?;
        let bytes = body.collect().await.expect("a body").to_bytes();
        assert_eq!(bytes.len(), size);
        Ok(bytes.to_vec())
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_arrives_in_one_piece_or_several() {
        let messages = MessageReceiver::new();
        assert_eq!(receive(&messages, 1, Body::empty()).await.expect("empty"), b"");
        for parts in [&[&b"abcdef"[..]][..], &[b"abc", b"def"], &[b"", b"a", b"", b"bcdef", b""]] {
            assert_eq!(receive(&messages, 1, body(parts, true)).await.expect("complete"), b"abcdef");
        }
        let slow = slow([&b"abc"[..], b"def"].into_iter(), Duration::from_secs(2));
        assert_eq!(receive(&messages, 1, slow).await.expect("complete"), b"abcdef");
        assert_eq!(messages.0.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unfinished_is_late() {
        let messages = MessageReceiver::new();
        let trickle = slow(std::iter::repeat(&b"x"[..]), Duration::from_secs(1));
        for body in [body(&[], false), body(&[b"\0\0\0\0\x10half"], false), trickle] {
            let started = Instant::now();
            assert!(matches!(receive(&messages, 1, body).await, Err(ReceiveError::TimedOut)));
            assert_eq!(started.elapsed().as_secs(), 5);
        }
        assert_eq!(messages.0.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_not_read_to_its_end() {
        let part: &'static [u8] = &[7; 60];
        let read =
            receive(&MessageReceiver::new(), 1, body(&[part, part, part], false)).await.expect("enough to see it");
        assert_eq!(read.len(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn unfinished_messages_of_one_party_displace_each_other_only() {
        let messages = MessageReceiver::new();
        let mut other = Box::pin(receive(&messages, 1, body(&[], false)));
        assert!(poll!(&mut other).is_pending());
        let flood = (0..=MAX_PENDING_PER_PARTY).map(|_| Box::pin(receive(&messages, 2, body(&[], false))));
        let mut flood: Vec<_> = flood.collect();
        for each in &mut flood {
            assert!(poll!(each).is_pending());
        }
        assert!(matches!(poll!(&mut flood[0]), Poll::Ready(Err(ReceiveError::Evicted))));
        assert!(poll!(&mut flood[1]).is_pending() && poll!(&mut other).is_pending());
    }
}
