//! The transport of HTTP: a socket, or TLS over a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::tls::TlsConnection;

/// A connection, and bytes that are read before those of the connection.
pub(super) struct Stream {
    prepended: &'static [u8],
    wire: Either<TcpStream, Box<TlsConnection>>,
}

impl Stream {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { prepended: &[], wire: Either::Left(stream) }
    }

    pub(super) fn tls(stream: TlsConnection) -> Self {
        Self { prepended: &[], wire: Either::Right(Box::new(stream)) }
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
            Either::Left(stream) => Ok(stream.peek(&mut [0]).await? > 0),
            Either::Right(stream) => Ok(!stream.fill_buf().await?.is_empty()),
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
        Pin::new(&mut self.wire).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }
}
