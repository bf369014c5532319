//! A gRPC client that needs very little CPU time itself: it sends HTTP/2 frames directly, encodes each message once, and counts the bytes
//! of an answer without decoding them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use tokio::net::TcpStream;

use crate::load::{Call, Reply, Transport};

const WINDOW_BYTES: u32 = 4 << 20;

/// Connections to a server, used in turn.
#[derive(Clone)]
pub(crate) struct GrpcClient(Arc<Connections>);

struct Connections {
    senders: Vec<SendRequest<Bytes>>,
    next: AtomicUsize,
    headers: HeaderMap,
    authority: String,
}

impl GrpcClient {
    /// Connects, with the credentials of a session. Needs a runtime, which drives the connections.
    pub(crate) async fn connect(address: SocketAddr, connections: usize, session: &str) -> Result<Self> {
        let mut senders = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.context("no server listens")?;
            stream.set_nodelay(true)?;
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
            let (sender, connection) = builder.handshake(stream).await?;
            tokio::spawn(connection);
            senders.push(sender);
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if !session.is_empty() {
            headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {session}"))?);
        }
        Ok(Self(Arc::new(Connections { senders, next: AtomicUsize::new(0), headers, authority: address.to_string() })))
    }

    /// Makes a call, and returns its status and its message.
    pub(crate) async fn unary(&self, call: Call) -> Result<(u16, Bytes)> {
        let mut message = BytesMut::new();
        let status = self.exchange(call, |part| message.extend_from_slice(part)).await?;
        // Five bytes before the message state whether it is compressed, and its length.
        let _ = message.split_to(message.len().min(5));
        Ok((status, message.freeze()))
    }

    async fn exchange(&self, call: Call, mut part: impl FnMut(&[u8])) -> Result<u16> {
        let connections = &*self.0;
        let next = connections.next.fetch_add(1, Ordering::Relaxed) % connections.senders.len();
        let mut sender = connections.senders[next].clone().ready().await?;
        let uri = Uri::builder().scheme("http").authority(connections.authority.as_str());
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.path_and_query(&*call.path).build()?;
        *request.headers_mut() = connections.headers.clone();
        let (answer, mut stream) = sender.send_request(request, false)?;
        stream.send_data(frame(&call.body), true)?;
        let answer = answer.await?;
        if let Some(status) = status(answer.headers()) {
            return Ok(status);
        }
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let data = data?;
            part(&data);
            body.flow_control().release_capacity(data.len())?;
        }
        let trailers = body.trailers().await?.context("an answer without trailers")?;
        status(&trailers).context("an answer without a status")
    }
}

impl Transport for GrpcClient {
    async fn send(&self, call: Call) -> Reply {
        let mut bytes = 0;
        match self.exchange(call, |part| bytes += part.len()).await {
            Ok(status) => Reply { status, bytes },
            Err(_) => Reply::BROKEN,
        }
    }
}

/// Returns the frame of a message: not compressed, its length, and its bytes.
fn frame(message: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
