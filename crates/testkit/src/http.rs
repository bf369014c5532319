//! An HTTP/1.1 client for tests and measurements, over hyper; and an exchange of raw bytes for requests that no client sends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::stream;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The paths of the original API.
const LEGACY: &str = "/crmapi/rest/v2";
/// The paths with canonical HTTP status.
const CANONICAL: &str = "/v1";

/// A client of the HTTP API, with a session. Each call has a connection of its own.
#[derive(Debug, Clone)]
pub struct HttpClient {
    address: SocketAddr,
    mount: &'static str,
    session: String,
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The HTTP status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
}

impl HttpClient {
    /// Returns a client of the paths of the original API.
    pub fn new(address: SocketAddr, session: &str) -> Self {
        Self { address, mount: LEGACY, session: session.to_owned() }
    }

    /// Returns the same client on the paths with canonical HTTP status.
    pub fn canonical(&self) -> Self {
        Self { mount: CANONICAL, ..self.clone() }
    }

    /// Returns the same client with another session.
    pub fn with_session(&self, session: &str) -> Self {
        Self { session: session.to_owned(), ..self.clone() }
    }

    /// Calls a method by POST. The session goes into the body, unless the body has a `token`.
    pub async fn post(&self, method: &str, mut body: Value) -> HttpAnswer {
        if let Some(members) = body.as_object_mut() {
            members.entry("token").or_insert_with(|| json!(self.session));
        }
        self.post_text(method, &body.to_string()).await
    }

    /// Calls a method by POST with this body, unchanged.
    pub async fn post_text(&self, method: &str, body: &str) -> HttpAnswer {
        let kind = [("content-type", "application/json")];
        self.send("POST", &self.target(method), &kind, body).await
    }

    /// Calls a method by GET, with the session in the query.
    pub async fn get(&self, method: &str, query: &str) -> HttpAnswer {
        self.send("GET", &format!("{}?token={}&{query}", self.target(method), self.session), &[], "").await
    }

    /// Calls a method by POST. `None`: no complete answer came, for example because the server was killed.
    pub async fn try_post(&self, method: &str, mut body: Value) -> Option<HttpAnswer> {
        body["token"] = json!(self.session);
        let kind = [("content-type", "application/json")];
        self.try_send("POST", &self.target(method), &kind, &body.to_string()).await.ok()
    }

    /// Sends a request with this verb, target, headers and body.
    pub async fn send(&self, verb: &str, target: &str, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
        let answer = self.try_send(verb, target, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{verb} {target}: {error:#}"))
    }

    async fn try_send(&self, verb: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Result<HttpAnswer> {
        let mut request = request(verb, target, headers, whole(body.to_owned()))?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Connection::open(self.address).await?.send(request).await
    }

    /// Returns the target of a method, for [`send`](Self::send).
    pub fn target(&self, method: &str) -> String {
        format!("{}/{method}", self.mount)
    }
}

/// The body of a request.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Returns a body that is sent as one piece.
pub fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed_unsync()
}

/// Returns a request for [`Connection::send`]. A header may stand there more than once.
///
/// # Errors
/// A verb, target, or header that HTTP does not allow; [`exchange_bytes`] sends those.
pub fn request(verb: &str, target: &str, headers: &[(&str, &str)], body: Body) -> Result<Request<Body>> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(verb.as_bytes())?;
    *request.uri_mut() = target.parse::<Uri>().context("a target")?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
    }
    Ok(request)
}

/// One connection, for any number of requests, one after the other.
#[derive(Debug)]
pub struct Connection(SendRequest<Body>);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// No server listens at the address.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        Self::over(TcpStream::connect(address).await?).await
    }

    /// Uses a connection that exists, for example from another address of this machine.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn over(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// The server closes the connection before the answer is complete, or answers no text.
    pub async fn send(&mut self, request: Request<Body>) -> Result<HttpAnswer> {
        let (head, body) = self.exchange(request).await?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let text = String::from_utf8(body.into())?;
        Ok(HttpAnswer { status: head.status.as_u16(), headers, text })
    }

    /// Sends a request and reads its answer, without copies of headers and body: for measurements.
    ///
    /// # Errors
    /// The server closes the connection before the answer is complete.
    pub async fn exchange(&mut self, request: Request<Body>) -> Result<(http::response::Parts, Bytes)> {
        self.0.ready().await?;
        let (head, body) = self.0.send_request(request).await?.into_parts();
        Ok((head, body.collect().await?.to_bytes()))
    }
}

/// A connection that is kept between calls, as HTTP libraries do. Connects again after the server has closed it.
#[derive(Debug)]
pub struct KeptConnection {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl KeptConnection {
    /// Returns a client that connects with its first call.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends a request; its body follows its head after `pause`, in a packet of its own. `None`: no complete answer came. The
    /// connection is used again unless the answer closes it.
    pub async fn send(
        &mut self,
        verb: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
        pause: Duration,
    ) -> Option<HttpAnswer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await.ok()?,
        };
        let length = HeaderValue::from(body.len());
        let body = if pause.is_zero() { whole(body.to_owned()) } else { late(body.to_owned(), pause) };
        let mut request = request(verb, target, headers, body).ok()?;
        request.headers_mut().insert(CONTENT_LENGTH, length);
        let answer = connection.send(request).await.ok()?;
        self.connection = (answer.header("connection") != "close").then_some(connection);
        Some(answer)
    }
}

/// Returns a body that is sent after a pause.
fn late(body: String, pause: Duration) -> Body {
    StreamBody::new(stream::once(async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(body.into()))
    }))
    .boxed_unsync()
}

/// Sends bytes over a connection of their own and returns everything that the server answers until it closes the connection, or
/// until `limit` has passed. For requests that are malformed on purpose, which no HTTP client sends. `complete`: the sending half is
/// closed afterwards, which tells the server that the request is not continued.
///
/// # Panics
/// No server listens at the address.
pub async fn exchange_bytes(address: SocketAddr, request: &[u8], complete: bool, limit: Duration) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a server listens");
    // The server may close the connection before it has read everything.
    let _ = stream.write_all(request).await;
    if complete {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    // A connection that is reset is closed as well.
    let _ = timeout(limit, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

impl HttpAnswer {
    /// Returns a header, or an empty text if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} is not JSON: {}", self.status, self.text))
    }

    /// Returns `status.code` of the envelope.
    pub fn code(&self) -> String {
        self.json()["status"]["code"].as_str().expect("a code").to_owned()
    }

    /// Returns `status.description` of the envelope: the fields at fault.
    pub fn description(&self) -> String {
        self.json()["status"]["description"].as_str().expect("a description").to_owned()
    }

    /// Returns the reason of a refusal, or an empty text if the call succeeded.
    pub fn reason(&self) -> &str {
        self.header("x-error-reason")
    }

    /// Returns the data of a call that must have succeeded.
    pub fn data(&self) -> Value {
        let mut envelope = self.json();
        let status = json!({"code": "OK", "description": "", "message": ""});
        assert_eq!((self.status, &envelope["status"]), (200, &status), "{}", self.text);
        envelope["data"].take()
    }

    /// Checks that the call was refused for this reason, and returns the fields at fault.
    pub fn refused(&self, reason: &str) -> String {
        assert_eq!(self.reason(), reason, "{}", self.text);
        assert!(self.json().get("data").is_none(), "{}", self.text);
        self.description()
    }
}
