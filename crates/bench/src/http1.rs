//! A caller of the gateway: HTTP/1.1 on connections that stay open, one call at a time on each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::{Call, Reply, Transport};

/// Calls of a gateway.
#[derive(Clone)]
pub(crate) struct HttpClient {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl HttpClient {
    /// Connects when it is called.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Arc::default() }
    }

    /// Posts JSON: the status and the body.
    async fn post(&self, call: &Call) -> Result<(u16, Vec<u8>)> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                Connection { stream, buffer: Vec::with_capacity(8 << 10) }
            }
        };
        let mut request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            call.path,
            self.address,
            call.body.len()
        )
        .into_bytes();
        request.extend_from_slice(&call.body);
        connection.stream.write_all(&request).await?;
        let (status, body) = connection.answer().await?;
        let body = connection.buffer[body].to_vec();
        connection.buffer.clear();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok((status, body))
    }
}

impl Connection {
    async fn answer(&mut self) -> Result<(u16, std::ops::Range<usize>)> {
        loop {
            if let Some(head) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let (status, length) = read_head(&self.buffer[..head])?;
                let end = head + 4 + length;
                while self.buffer.len() < end {
                    self.read().await?;
                }
                return Ok((status, head + 4..end));
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the gateway has closed the connection");
        }
        Ok(())
    }
}

fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let length = head.lines().find_map(|transport| {
        let (name, value) = transport.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status, length.context("an answer without a length")?))
}

impl Transport for HttpClient {
    async fn send(&self, call: Call) -> Reply {
        match self.post(&call).await {
            // As gRPC says that all is well.
            Ok((200, body)) => Reply { status: 0, bytes: body.len() },
            Ok((status, body)) => Reply { status, bytes: body.len() },
            Err(_) => Reply::BROKEN,
        }
    }
}
