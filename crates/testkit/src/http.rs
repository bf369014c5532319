//! A caller over HTTP that sends exactly what it is told to, as odd as it may be.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The paths of the original API.
const LEGACY: &str = "/crmapi/rest/v2";
/// The paths with canonical HTTP status.
const CANONICAL: &str = "/v1";

/// Who calls a gateway, and where.
#[derive(Debug, Clone)]
pub struct HttpClient {
    address: SocketAddr,
    mount: &'static str,
    session: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The HTTP status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body as it is.
    pub text: String,
}

impl HttpClient {
    /// A caller on the paths of the original API.
    pub fn new(address: SocketAddr, session: &str) -> Self {
        Self { address, mount: LEGACY, session: session.to_owned() }
    }

    /// The same caller on the paths with canonical HTTP status.
    pub fn canonical(&self) -> Self {
        Self { mount: CANONICAL, ..self.clone() }
    }

    /// The same caller with another session.
    pub fn with_session(&self, session: &str) -> Self {
        Self { session: session.to_owned(), ..self.clone() }
    }

    /// Calls a method by POST. The session goes into the body, unless a `token` is there already.
    pub async fn post(&self, method: &str, mut body: Value) -> HttpAnswer {
        if let Some(members) = body.as_object_mut() {
            members.entry("token").or_insert_with(|| json!(self.session));
        }
        self.post_text(method, &body.to_string()).await
    }

    /// Calls a method by POST with this very body.
    pub async fn post_text(&self, method: &str, body: &str) -> HttpAnswer {
        let kind = [("content-type", "application/json")];
        self.send("POST", &format!("{}/{method}", self.mount), &kind, body).await
    }

    /// Calls a method by GET, with the session in the query.
    pub async fn get(&self, method: &str, query: &str) -> HttpAnswer {
        let token = &self.session;
        self.send("GET", &format!("{}/{method}?token={token}&{query}", self.mount), &[], "").await
    }

    /// Calls a method by POST. `None`: no whole answer came, as from a server that is killed meanwhile.
    pub async fn try_post(&self, method: &str, mut body: Value) -> Option<HttpAnswer> {
        body["token"] = json!(self.session);
        let kind = [("content-type", "application/json")];
        self.try_send("POST", &self.target(method), &kind, &body.to_string()).await.ok().flatten()
    }

    /// Sends a request as it is written.
    pub async fn send(&self, verb: &str, target: &str, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
        let answer = self.try_send(verb, target, headers, body).await.expect("the gateway listens and answers");
        answer.expect("the whole answer came")
    }

    async fn try_send(
        &self,
        verb: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Option<HttpAnswer>> {
        let mut request = format!("{verb} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(HttpAnswer::read(&answer))
    }

    /// The target of a method, for [`send`](Self::send).
    pub fn target(&self, method: &str) -> String {
        format!("{}/{method}", self.mount)
    }
}

/// A connection that is kept between calls, as HTTP libraries do.
#[derive(Debug)]
pub struct KeptConnection {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl KeptConnection {
    /// Connects with the first call.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request in two packets, its body after this pause. None: no whole answer came. The connection is used again unless the
    /// answer says that it is closed.
    pub async fn send(
        &mut self,
        verb: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
        pause: Duration,
    ) -> Option<HttpAnswer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await.ok()?,
        };
        stream.set_nodelay(true).ok()?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head =
            format!("{verb} {target} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n", body.len());
        if pause.is_zero() {
            stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        } else {
            stream.write_all(head.as_bytes()).await.ok()?;
            tokio::time::sleep(pause).await;
            stream.write_all(body.as_bytes()).await.ok()?;
        }
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let length = stream.read(&mut part).await.ok()?;
            text.extend_from_slice(&part[..length]);
            if let Some(answer) = HttpAnswer::read(&String::from_utf8_lossy(&text)) {
                self.stream = (answer.header("connection") != "close").then_some(stream);
                return Some(answer);
            }
            if length == 0 {
                return None;
            }
        }
    }
}

impl HttpAnswer {
    /// `None` where the end is missing.
    fn read(answer: &str) -> Option<Self> {
        let (head, text) = answer.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let answer = Self { status: status.expect("a status"), headers, text: text.to_owned() };
        (answer.header("content-length") == text.len().to_string()).then_some(answer)
    }

    /// A header; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} is not JSON: {}", self.status, self.text))
    }

    /// `status.code` of the envelope.
    pub fn code(&self) -> String {
        self.json()["status"]["code"].as_str().expect("a code").to_owned()
    }

    /// `status.description` of the envelope: the fields at fault.
    pub fn description(&self) -> String {
        self.json()["status"]["description"].as_str().expect("a description").to_owned()
    }

    /// The reason of a refusal; empty when it is none.
    pub fn reason(&self) -> &str {
        self.header("x-error-reason")
    }

    /// The data of a call that must have succeeded.
    pub fn data(&self) -> Value {
        let mut envelope = self.json();
        let status = json!({"code": "OK", "description": "", "message": ""});
        assert_eq!((self.status, &envelope["status"]), (200, &status), "{}", self.text);
        envelope["data"].take()
    }

    /// A call that must have been refused for this reason. Answers the fields at fault.
    pub fn refused(&self, reason: &str) -> String {
        assert_eq!(self.reason(), reason, "{}", self.text);
        assert!(self.json().get("data").is_none(), "{}", self.text);
        self.description()
    }
}
