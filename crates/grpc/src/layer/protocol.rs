//! Recognises gRPC calls. Any other request is answered here: before its credential is checked, before it takes a permit, and before a
//! service sees it.
//!
//! The responses follow the description of gRPC over HTTP/2: HTTP 415 for another content type, HTTP 405 for another method. They carry
//! a gRPC status with the details that every error has, so that a client that reads only trailers learns the reason too.

use access_tokens_domain::{Error, Reason};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;

use super::deadline;
use super::middleware::{Handler, Middleware, Next};
use crate::status;

/// Maximum size of the metadata of a call in bytes, as HTTP/2 counts it: the name and the value of each header, and 32.
pub(crate) const MAX_METADATA_BYTES: usize = 16 * 1024;
/// Maximum number of header fields of a call. Each takes about a hundred bytes of memory in addition to its name and value.
const MAX_FIELDS: usize = 100;
/// Bytes that HTTP/2 adds for each header.
const HEADER_OVERHEAD: usize = 32;

/// The content types of gRPC. `+proto` names the usual encoding of messages, which is the only one that this service knows.
const GRPC: &str = "application/grpc";
const GRPC_PROTO: &str = "application/grpc+proto";

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// The only accepted encoding of messages: no compression.
const IDENTITY: &str = "identity";

/// A reason why a request is no gRPC call that this service can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The HTTP method is not POST.
    Method,
    /// The content type is not that of gRPC with protobuf.
    ContentType,
    /// The metadata is larger than 16 KiB.
    Metadata,
    /// The metadata has more than 100 fields.
    Fields,
    /// The timeout cannot be read. Ignoring it would let the call run for longer than its caller waits.
    Timeout,
    /// The messages are compressed or encoded in another way.
    Encoding,
}

impl Violation {
    /// Returns the first violation of a request. `None`: the request is a gRPC call.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let headers = request.headers();
        if request.method() != Method::POST {
            Some(Self::Method)
        } else if !is_grpc(headers) {
            Some(Self::ContentType)
        } else if headers.len() > MAX_FIELDS {
            Some(Self::Fields)
        } else if size(headers) > MAX_METADATA_BYTES {
            Some(Self::Metadata)
        } else if deadline::is_malformed(headers) {
            Some(Self::Timeout)
        } else if !is_identity(headers) {
            Some(Self::Encoding)
        } else {
            None
        }
    }

    /// Returns the response. It has no body, so that the HTTP library ends the stream and discards what the client still sends.
    pub fn answer(self) -> Response<Body> {
        let mut response: Response<Body> = status::from_error(&self.error()).into_http();
        let headers = response.headers_mut();
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
            Self::ContentType => *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // The header lets a client send the message again without compression.
            Self::Encoding => drop(headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY))),
            Self::Metadata | Self::Fields | Self::Timeout => {}
        }
        response
    }

    fn error(self) -> Error {
        match self {
            Self::Method => invalid(":method", "must be POST"),
            Self::ContentType => invalid("content-type", "must be application/grpc or application/grpc+proto"),
            Self::Timeout => invalid("grpc-timeout", "must be 1 to 8 digits and one of the units H, M, S, m, u, n"),
            Self::Metadata => {
                let text = format!("the metadata is larger than {MAX_METADATA_BYTES} bytes");
                Error::new(Reason::RequestTooLarge, text).with("limit", MAX_METADATA_BYTES.to_string())
            }
            Self::Fields => {
                let text = format!("the metadata has more than {MAX_FIELDS} fields");
                Error::new(Reason::RequestTooLarge, text).with("limit", MAX_FIELDS.to_string())
            }
            Self::Encoding => {
                let text = "messages must not be compressed: the only value of grpc-encoding is identity";
                Error::new(Reason::UnsupportedEncoding, text)
            }
        }
    }
}

fn invalid(header: &str, description: &str) -> Error {
    Error::field(Reason::InvalidFieldValue, header, description)
}

/// Returns whether there is one content type, and it is that of gRPC with protobuf. It may have parameters. Case does not matter.
fn is_grpc(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    // The usual case, without a copy.
    if value == GRPC {
        return true;
    }
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [GRPC, GRPC_PROTO].iter().any(|known| essence.eq_ignore_ascii_case(known.as_bytes()))
}

fn is_identity(headers: &HeaderMap) -> bool {
    headers.get_all(GRPC_ENCODING).iter().all(|value| value == IDENTITY)
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum()
}

/// Answers requests that admission has found to be no gRPC calls. The layer is inside of the layers that log and count calls, so that such
/// requests are logged and counted too.
#[derive(Debug, Clone, Copy)]
pub struct Protocol;

impl Middleware for Protocol {
    async fn handle<N: Handler>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        match request.extensions_mut().remove::<Violation>() {
            Some(violation) => violation.answer(),
            None => next.run(request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri("/service/Method");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    #[test]
    fn the_content_type_is_that_of_grpc_with_protobuf() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "APPLICATION/gRPC",
            "Application/Grpc+Proto",
            "application/grpc;charset=utf-8",
            "application/grpc ; x=y",
            "application/grpc+proto; charset=\"utf-8\"",
        ] {
            assert_eq!(Violation::of(&request("POST", &[("content-type", good)])), None, "{good}");
        }
        for bad in [
            "",
            ";",
            "text/plain",
            "application/json",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc+json",
            "application/grpc+",
            "application/grpc+proto+x",
            "application/grpcx",
            "application/ grpc",
            "text/plain; application/grpc",
            "application/x-protobuf",
        ] {
            assert_eq!(
                Violation::of(&request("POST", &[("content-type", bad)])),
                Some(Violation::ContentType),
                "{bad}"
            );
        }
        assert_eq!(Violation::of(&request("POST", &[])), Some(Violation::ContentType));
        let twice = [("content-type", "application/grpc"), ("content-type", "application/grpc")];
        assert_eq!(Violation::of(&request("POST", &twice)), Some(Violation::ContentType));
    }

    #[test]
    fn only_a_post_is_a_call() {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "post", "X"] {
            for headers in [&[("content-type", "application/grpc")][..], &[]] {
                assert_eq!(Violation::of(&request(method, headers)), Some(Violation::Method), "{method}");
            }
        }
        let answer = Violation::Method.answer();
        assert_eq!(
            (answer.status(), &answer.headers()["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().expect("a value"))
        );
    }

    #[test]
    fn metadata_deadline_and_encoding_are_checked() {
        let with = |name: &'static str, value: &str| {
            Violation::of(&request("POST", &[("content-type", "application/grpc"), (name, value)]))
        };
        let room =
            MAX_METADATA_BYTES - size(request("POST", &[("content-type", "application/grpc"), ("x", "")]).headers());
        assert_eq!(with("x", &"v".repeat(room)), None);
        assert_eq!(with("x", &"v".repeat(room + 1)), Some(Violation::Metadata));
        let fields = |count: usize| {
            let mut request = request("POST", &[("content-type", "application/grpc")]);
            for _ in 1..count {
                request.headers_mut().append("x", "".parse().expect("a value"));
            }
            Violation::of(&request)
        };
        assert_eq!((fields(MAX_FIELDS), fields(MAX_FIELDS + 1)), (None, Some(Violation::Fields)));
        for bad in ["", "5", "S", "-1S", "123456789S", "5s", "1 S", "١S"] {
            assert_eq!(with("grpc-timeout", bad), Some(Violation::Timeout), "{bad}");
        }
        assert_eq!(with("grpc-timeout", "00000001n"), None);
        for bad in ["gzip", "deflate", "snappy", "Identity", "", "identity,gzip"] {
            assert_eq!(with("grpc-encoding", bad), Some(Violation::Encoding), "{bad}");
        }
        assert_eq!(with("grpc-encoding", "identity"), None);
        assert_eq!(Violation::Encoding.answer().headers()["grpc-accept-encoding"], "identity");
    }
}
