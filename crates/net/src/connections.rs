//! HTTP/2 connections of the gRPC port, closed when they are not used.
//!
//! The HTTP library keeps a connection open until the client closes it. This module closes a connection that has no
//! calls for some time, so that its permit is free for a client that has calls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::{self, Stream as Connections};
use futures::{StreamExt, future};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

use super::accept::{Acceptor, ConnectionLimits, ConnectionPermit};
use super::connection_tracker::{ConnectionInfo, ConnectionTracker};
use super::drop_counters::DropCounters;
use super::frame_budget::{ENDLESS_HEADERS, FrameBudget};
use super::handshake::{Handshake, HandshakenClient};
use super::idle_timeout::{IdleAction, IdleTimeout};
use super::port::Port;
use super::signals::StopSignal;
use super::stream::Stream;
use crate::client_address::RemoteAddress;
use crate::protection::Protection;

/// GOAWAY as a client sends it before it closes the connection. When it is put into the stream of a connection, the
/// library answers it with GOAWAY once no call is in progress, and closes. So the client learns which of its calls the
/// service processes, and which ones came too late.
pub const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Maximum number of connections at a time with the high stream limit: they may have many calls at a time.
pub const MAX_HIGH_LIMIT_CONNECTIONS: usize = 16;

/// Maximum number of connections at a time that have sent a part of a large header list. The library keeps the part
/// until the end of the list comes.
const MAX_LARGE_LISTS: usize = 128;

/// Limits on the connections of the gRPC port.
#[derive(Clone)]
pub struct Http2Limits {
    /// Limits on their number.
    pub connections: ConnectionLimits,
    /// Age of a connection at which calls that could last without limit end.
    pub age: Duration,
    /// Maximum time without a call.
    pub idle: Duration,
    /// Signal to stop. After it, connections without a call are closed within a second.
    pub stop: StopSignal,
}

/// Returns the HTTP/2 connections of a port, without end. Calls over them must pass the layer `InFlight` of the crate
/// `grpc`.
pub fn connections(port: Port, limits: Http2Limits) -> impl Connections<Item = io::Result<Connection>> {
    let shared = Shared {
        dropped: Arc::clone(&port.dropped),
        high_limit: Arc::new(Semaphore::new(MAX_HIGH_LIMIT_CONNECTIONS)),
        large_list_permits: Arc::new(Semaphore::new(MAX_LARGE_LISTS)),
    };
    let incoming = Acceptor::new(port, limits.connections.clone(), Handshake::Http2);
    stream::unfold((incoming, limits, shared), |(mut incoming, limits, shared)| async {
        let (client, permit) = incoming.next().await;
        let connection = Connection::new(client, permit, &limits, &shared);
        Some((Ok(connection), (incoming, limits, shared)))
    })
}

/// Splits connections into those with the high stream limit, and those with the low one: they came while
/// [`MAX_HIGH_LIMIT_CONNECTIONS`] were open. Connections of the second stream arrive only while the first one is
/// polled. When the first one is dropped, the second one ends.
pub fn split_by_stream_limit(
    connections: impl Connections<Item = io::Result<Connection>>,
) -> (impl Connections<Item = io::Result<Connection>>, impl Connections<Item = io::Result<Connection>>) {
    // Bounded by the maximum number of connections.
    let (sender, low_limit) = mpsc::unbounded();
    let high_limit = connections.filter_map(move |connection| {
        future::ready(match connection {
            Ok(connection) if connection.high_limit.is_none() => {
                // The receiver is gone only when the process ends.
                let _ = sender.unbounded_send(Ok(connection));
                None
            }
            other => Some(other),
        })
    });
    (high_limit, low_limit)
}

/// State that the connections of a port share.
struct Shared {
    dropped: Arc<DropCounters>,
    /// Permits for the high stream limit.
    high_limit: Arc<Semaphore>,
    /// Permits for large header lists.
    large_list_permits: Arc<Semaphore>,
}

/// A connection with its permit, and with a permit for the high stream limit if there was one.
pub struct Connection {
    stream: Stream,
    origin: ConnectionInfo,
    idle: IdleTimeout,
    high_limit: Option<OwnedSemaphorePermit>,
    permit: ConnectionPermit,
    frames: FrameBudget,
    /// Whether the client has sent more control frames or fields than it may. Nothing more is read then, and writes do
    /// not wait for the client.
    flooded: bool,
    /// Whether the library must process what it has read before the next frame is read.
    yields_once: bool,
    large_list_permits: Arc<Semaphore>,
    /// The permit of the large header list that is arriving.
    large_list_permit: Option<OwnedSemaphorePermit>,
    dropped: Arc<DropCounters>,
}

impl Connection {
    fn new(client: HandshakenClient, mut permit: ConnectionPermit, limits: &Http2Limits, shared: &Shared) -> Self {
        let HandshakenClient { stream, peer, address } = client;
        let tracker = Arc::new(ConnectionTracker::of_connection(limits.age, permit.take_anonymous()));
        let idle = IdleTimeout::new(Arc::clone(&tracker), limits.idle, limits.stop.clone());
        let remote = RemoteAddress::new(address.ip(), &limits.connections.trusted_proxies);
        let origin = ConnectionInfo { peer, tracker, remote };
        Self {
            stream,
            origin,
            idle,
            high_limit: Arc::clone(&shared.high_limit).try_acquire_owned().ok(),
            permit,
            frames: FrameBudget::new(),
            flooded: false,
            yields_once: false,
            large_list_permits: Arc::clone(&shared.large_list_permits),
            large_list_permit: None,
            dropped: Arc::clone(&shared.dropped),
        }
    }

    /// Reads, and counts the frames that arrive. If there are too many, the HTTP library is made to close the
    /// connection.
    fn poll_stream(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.flooded {
            return match self.stream.has_prepended() {
                true => Pin::new(&mut self.stream).poll_read(cx, buffer),
                // End of the stream.
                false => Poll::Ready(Ok(())),
            };
        }
        if std::mem::take(&mut self.yields_once) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.origin.tracker.poll_all_processed(cx));
        let (before, header_lists) = (buffer.filled().len(), self.frames.header_lists());
        let is_anonymous = self.origin.tracker.is_anonymous() && !Protection::ControlFrames.is_off();
        let read =
            if is_anonymous { self.poll_frame(cx, buffer) } else { Pin::new(&mut self.stream).poll_read(cx, buffer) };
        let Self { frames, origin, .. } = self;
        let stop = frames.received(&buffer.filled()[before..], || origin.tracker.call_count());
        self.yields_once = is_anonymous && self.frames.header_lists() > header_lists;
        if Protection::ControlFrames.is_off() {
            return read;
        }
        if let Some(stop) = stop {
            self.flooded = true;
            self.dropped.flood();
            buffer.set_filled(before + stop);
            if self.frames.has_too_many_fields() {
                // The stream ends within a frame, and the library has not begun to read its header list.
                return read;
            }
            self.stream.prepend(&ENDLESS_HEADERS);
            if stop == 0 {
                return Pin::new(&mut self.stream).poll_read(cx, buffer);
            }
        } else if !self.has_permit_for_list() {
            self.flooded = true;
            self.dropped.flood();
        }
        read
    }

    /// Reads at most the rest of a frame or of its header. If the library received more, it would begin all calls in it
    /// before it processes the first one, so that a few bytes for each call on many connections could fill the memory.
    fn poll_frame(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.frames.until_end().min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(length));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }

    /// Takes a permit for the header list that is arriving, if it is large. Returns false if there is none.
    fn has_permit_for_list(&mut self) -> bool {
        if !self.frames.has_large_header_list() {
            self.large_list_permit = None;
        } else if self.large_list_permit.is_none() {
            self.large_list_permit = Arc::clone(&self.large_list_permits).try_acquire_owned().ok();
            return self.large_list_permit.is_some();
        }
        true
    }

    /// Fails if the connection must close to make room for another one.
    fn check_evicted(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.permit.poll_evicted(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Counts the bytes that were sent. The write fails instead of waiting for a client that floods the connection and
    /// reads nothing.
    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => self.frames.sent(bytes),
            Poll::Pending if self.flooded => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            _ => {}
        }
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Data that has arrived comes first: it may be a call.
        if let Poll::Ready(read) = this.poll_stream(cx, buffer) {
            return Poll::Ready(read);
        }
        if this.permit.poll_evicted(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        match ready!(this.idle.poll(cx)) {
            IdleAction::Drain => {
                this.stream.prepend(GOAWAY);
                this.poll_stream(cx, buffer)
            }
            // The end of the stream.
            IdleAction::Close => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_evicted(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_evicted(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_evicted(cx)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.origin.clone()
    }
}

#[cfg(test)]
mod tests;
