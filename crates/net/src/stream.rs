//! The transport of HTTP: a socket, or TLS over a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::TlsConnection;

/// A connection, and bytes that are read before those of the connection.
pub(super) struct Stream {
    prepended: &'static [u8],
    wire: Wire,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsConnection>),
}

/// Evaluates one expression for either kind of stream.
macro_rules! either {
    ($wire:expr, $stream:ident => $do:expr) => {
        match $wire {
            Wire::Plain($stream) => $do,
            Wire::Tls($stream) => $do,
        }
    };
}

impl Stream {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { prepended: &[], wire: Wire::Plain(stream) }
    }

    pub(super) fn tls(stream: TlsConnection) -> Self {
        Self { prepended: &[], wire: Wire::Tls(Box::new(stream)) }
    }

    /// Makes these bytes the next ones to be read.
    pub(super) fn prepend(&mut self, bytes: &'static [u8]) {
        self.prepended = bytes;
    }

    /// Returns whether prepended bytes are left.
    pub(super) fn has_prepended(&self) -> bool {
        !self.prepended.is_empty()
    }

    /// Waits until there is something to read. Returns false if the client has closed the connection.
    pub(super) async fn wait_readable(&mut self) -> io::Result<bool> {
        match &mut self.wire {
            Wire::Plain(stream) => Ok(stream.peek(&mut [0]).await? > 0),
            Wire::Tls(stream) => Ok(!stream.fill_buf().await?.is_empty()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.prepended.is_empty() {
            let (now, later) = self.prepended.split_at(self.prepended.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.prepended = later;
            return Poll::Ready(Ok(()));
        }
        either!(&mut self.wire, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut self.wire, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.wire, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.wire, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut self.wire, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        either!(&self.wire, stream => stream.is_write_vectored())
    }
}
