//! HTTP/2 as a client without a gRPC library sees it: requests that are no calls, and the details of every error, also of errors that no
//! handler has made.

use std::convert::Infallible;

use access_tokens_domain::Reason;
use access_tokens_proto::{ERROR_DOMAIN, v1};
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::World;
use crate::layer::protocol::MAX_METADATA_BYTES;
use crate::limits::Limits;
use crate::server;

const CREATE: &str = "/accesstoken.v1.AccessTokenService/CreateAccessToken";
const SHOW: &str = "/accesstoken.v1.AccessTokenService/ShowAccessToken";
const LOGIN: &str = "/accesstoken.v1.AuthenticationService/Login";
const IMPORT: &str = "/accesstoken.v1.DirectoryService/ImportDirectory";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A response: HTTP status, headers, and trailers.
struct Answer {
    http: StatusCode,
    head: HeaderMap,
    status: Option<Status>,
}

impl Answer {
    /// Returns the gRPC code and the reason. Panics unless the error has the details that every error has.
    fn refusal(&self) -> (Code, String) {
        let status = self.status.as_ref().expect("a status");
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("without details: {status:?}"));
        assert_eq!(info.domain, ERROR_DOMAIN, "{status:?}");
        let reason = Reason::from_name(&info.reason).expect("it is documented");
        assert_eq!(status.code(), crate::status::code(reason), "{status:?}");
        (status.code(), info.reason.clone())
    }
}

/// A connection that sends requests of any kind.
#[derive(Clone)]
struct Client(SendRequest<Body>);

impl Client {
    async fn connect(world: &World, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = server::router(world.app.clone(), &world.health, limits);
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        let stream = TcpStream::connect(address).await.expect("connected");
        let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(client)
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let uri = if method == "CONNECT" { "host:80".to_owned() } else { format!("http://host{path}") };
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        let response = self.0.send_request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let trailers = body.collect().await.expect("a whole answer").trailers().cloned().unwrap_or_default();
        let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers));
        Answer { http: head.status, head: head.headers, status }
    }

    async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        self.send("POST", path, &[&[GRPC], headers].concat(), body).await
    }
}

/// Returns a message in the framing of gRPC.
fn framed(message: &impl Message) -> Body {
    raw(&message.encode_to_vec(), 0)
}

fn raw(message: &[u8], flag: u8) -> Body {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    bytes.extend(message);
    Body::new(http_body_util::Full::new(Bytes::from(bytes)))
}

/// A body with these bytes and without an end.
fn unfinished(bytes: &'static [u8]) -> Body {
    let begun = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(bytes)))]);
    Body::new(StreamBody::new(begun.chain(stream::pending())))
}

fn create() -> Body {
    framed(&v1::CreateAccessTokenRequest {
        authentication_code: Some("99".repeat(6)),
        ..v1::CreateAccessTokenRequest::default()
    })
}

#[tokio::test]
async fn what_is_no_call_of_grpc_is_refused_before_anything_runs() {
    let world = World::new().await;
    let mut client = Client::connect(&world, Limits::default()).await;
    let key = ("x-api-key", world.api_key.as_str());
    let before = world.app.metrics.text();
    for path in [CREATE, LOGIN, IMPORT, CHECK, WATCH, REFLECTION, "/nonsense"] {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "QUERY", "CONNECT"] {
            let answer = client.send(method, path, &[GRPC, key], Body::empty()).await;
            assert_eq!(answer.http, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.head["allow"], "POST", "{method} {path}");
            assert_eq!(answer.refusal(), (Code::InvalidArgument, "INVALID_FIELD_VALUE".to_owned()));
        }
        for content_type in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc+json",
            "application/json",
            "text/plain",
            "text/plain; charset=application/grpc",
        ] {
            let answer = client.send("POST", path, &[("content-type", content_type), key], create()).await;
            assert_eq!(answer.http, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type} {path}");
            assert_eq!(answer.refusal(), (Code::InvalidArgument, "INVALID_FIELD_VALUE".to_owned()));
        }
        let answer = client.send("POST", path, &[key], create()).await;
        assert_eq!(answer.http, StatusCode::UNSUPPORTED_MEDIA_TYPE, "without a content type {path}");
    }
    // No method has run: nothing is counted, and the code is still free.
    let attempts = |text: &str| {
        text.lines().filter(|line| line.starts_with("access_tokens_")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(attempts(&world.app.metrics.text()), attempts(&before));
    for content_type in ["application/grpc", "Application/GRPC+proto; charset=utf-8"] {
        let answer = client.send("POST", CREATE, &[("content-type", content_type), key], create()).await;
        assert_eq!(answer.http, StatusCode::OK);
        let status = answer.status.expect("a status");
        let expected = if content_type == "application/grpc" { Code::Ok } else { Code::AlreadyExists };
        assert_eq!(status.code(), expected, "{status:?}");
    }
}

/// More calls than a connection may have streams. Each must free its stream, even if the client still sends data.
#[tokio::test]
async fn a_refused_request_leaves_no_stream_behind() {
    let world = World::new().await;
    let mut client = Client::connect(&world, Limits::default()).await;
    for round in 0..300 {
        let body = unfinished(&[7; 60_000]);
        let answer = match round % 3 {
            0 => client.send("GET", CREATE, &[GRPC], body).await,
            1 => client.send("POST", CREATE, &[("content-type", "text/plain")], body).await,
            _ => client.post(CREATE, &[("grpc-encoding", "gzip")], body).await,
        };
        answer.refusal();
    }
    let answer = client.post(CREATE, &[("x-api-key", &world.api_key)], create()).await;
    assert_eq!(answer.status.expect("a status").code(), Code::Ok);
}

#[tokio::test]
async fn every_error_says_why() {
    let world = World::new().await;
    let mut client = Client::connect(&world, Limits::default()).await;
    let key = ("x-api-key", world.api_key.as_str());
    let expect = |answer: Answer, code, reason: &str, what: &str| {
        assert_eq!(answer.refusal(), (code, reason.to_owned()), "{what}");
        answer
    };

    for path in [
        "/",
        "/x",
        "//",
        "/accesstoken.v1.AccessTokenService/",
        "/accesstoken.v1.AccessTokenService/Nope",
        "/grpc.health.v1.Health/Nope",
        "/a.B/C",
    ] {
        for headers in [&[key][..], &[]] {
            expect(client.post(path, headers, Body::empty()).await, Code::Unimplemented, "METHOD_NOT_FOUND", path);
        }
    }
    for (header, value) in
        [("x-api-key", "wrong"), ("authorization", "Bearer x.y.z"), ("authorization", "Basic eA=="), ("x-other", "")]
    {
        expect(
            client.post(SHOW, &[(header, value)], Body::empty()).await,
            Code::Unauthenticated,
            "INVALID_TOKEN",
            value,
        );
    }
    for timeout in ["", "1", "S", "1s", "-1S", "123456789n", "1.5S"] {
        let answer = client.post(CHECK, &[("grpc-timeout", timeout)], raw(&[], 0)).await;
        expect(answer, Code::InvalidArgument, "INVALID_FIELD_VALUE", timeout);
    }
    for encoding in ["gzip", "zstd", "br"] {
        for path in [CREATE, LOGIN, IMPORT, CHECK, WATCH, REFLECTION] {
            let answer = client.post(path, &[key, ("grpc-encoding", encoding)], raw(b"x", 1)).await;
            let answer = expect(answer, Code::Unimplemented, "UNSUPPORTED_ENCODING", path);
            assert_eq!(answer.head["grpc-accept-encoding"], "identity");
        }
    }
    for path in [CREATE, LOGIN, CHECK, IMPORT, WATCH, REFLECTION] {
        for (body, what) in [
            (raw(b"\xff\xff\xff", 0), "no protobuf"),
            (raw(b"x", 1), "compressed without an encoding"),
            (raw(b"", 9), "no flag"),
        ] {
            expect(
                client.post(path, &[key], body).await,
                Code::InvalidArgument,
                "INVALID_FIELD_VALUE",
                &format!("{path}: {what}"),
            );
        }
        let large = raw(&vec![0; 300_000], 0);
        expect(client.post(path, &[key], large).await, Code::ResourceExhausted, "REQUEST_TOO_LARGE", path);
    }
    let fields: Vec<_> = (0..100).map(|_| ("x-field", "")).collect();
    expect(client.post(CHECK, &fields, Body::empty()).await, Code::ResourceExhausted, "REQUEST_TOO_LARGE", "fields");
    for factor in [1, 2, 4, 8, 15] {
        let size = factor * MAX_METADATA_BYTES;
        for path in [SHOW, CHECK, "/nonsense"] {
            let answer = client.post(path, &[("x-large", &"x".repeat(size))], Body::empty()).await;
            expect(answer, Code::ResourceExhausted, "REQUEST_TOO_LARGE", path);
        }
    }
    let answer = client.post(CHECK, &[], raw(b"\x0a\x01x", 0)).await;
    expect(answer, Code::NotFound, "REFERENCE_NOT_FOUND", "health of an unknown name");
    // The HTTP library has not closed the connection.
    assert_eq!(client.post(CHECK, &[], raw(&[], 0)).await.status.expect("a status").code(), Code::Ok);
}

/// A caller's deadline passes at each stage of a call: before the credential is known, while there is no permit, before the message is
/// complete, while a password is hashed.
#[tokio::test]
async fn a_deadline_that_passes_anywhere_says_why() {
    let world = World::new().await;
    let limits = Limits { max_anonymous_requests: 1, max_anonymous_requests_per_address: 1, ..Limits::default() };
    let client = Client::connect(&world, limits).await;
    let login = || {
        framed(&v1::LoginRequest {
            username: "anna".into(),
            password: "x".into(),
            organisation: "DEMO".into(),
            unit: None,
        })
    };
    let timeouts = ["0S", "1n", "1u", "900u", "1m", "2m", "3m", "5m", "9m", "20m", "60m"];
    let calls = timeouts.iter().cycle().take(6 * timeouts.len()).enumerate().map(|(round, timeout)| {
        let mut client = client.clone();
        let headers = [("x-api-key", world.api_key.clone()), ("grpc-timeout", (*timeout).to_owned())];
        async move {
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            let (path, body) = match round % 3 {
                0 => (LOGIN, login()),
                1 => (LOGIN, unfinished(b"\0\0\0\0\x09")),
                _ => (SHOW, unfinished(b"\0\0\0\0\x09")),
            };
            let answer = client.post(path, &headers, body).await;
            let known = ["DEADLINE_EXCEEDED", "OVERLOADED", "INVALID_LOGIN"];
            let (_, reason) = answer.refusal();
            assert!(known.contains(&reason.as_str()), "{timeout}: {reason}");
        }
    });
    futures::future::join_all(calls).await;
}
