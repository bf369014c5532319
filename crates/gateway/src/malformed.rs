//! Requests that violate HTTP. They are refused before their paths are read.

use std::net::Ipv6Addr;

use access_tokens_proto::FieldViolation;
use access_tokens_proto::v1::ErrorReason;
use axum::body::Body;
use http::header::HOST;
use http::{Request, Response, StatusCode, Version};

use crate::error::ApiError;
use crate::route::Mount;

/// The kinds of requests that violate HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The syntax is not that of HTTP.
    Syntax,
    /// The request names no host, several hosts, or an invalid one (RFC 9112, section 3.2).
    Host,
    /// The head has too many bytes or fields.
    HeadTooLarge,
    /// Path and query are too long.
    TargetTooLong,
}

impl Malformed {
    /// Checks the host of a request. `None`: the host is valid.
    ///
    /// A request of HTTP/1.1 has exactly one `Host`, which may be empty. A request of HTTP/1.0 may have none.
    pub fn of_host<B>(request: &Request<B>) -> Option<Self> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let good = match (hosts.next(), hosts.next()) {
            (None, _) => request.version() < Version::HTTP_11,
            (Some(host), None) => is_host(host.as_bytes()),
            (Some(_), Some(_)) => false,
        };
        (!good).then_some(Self::Host)
    }

    /// Returns the HTTP status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Syntax | Self::Host => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
        }
    }

    /// Returns a description of the violation, for people.
    pub fn description(self) -> &'static str {
        match self {
            Self::Syntax => "the request is not valid HTTP",
            Self::Host => "must stand once, and name a host with or without a port",
            Self::HeadTooLarge => "the head of the request is too large",
            Self::TargetTooLong => "the path and the query are too long",
        }
    }

    /// Returns the response of the gateway.
    pub fn answer(self) -> Response<Body> {
        let text = self.description();
        let error = match self {
            Self::Host => ApiError::from(FieldViolation::invalid("Host", text)),
            Self::Syntax => ApiError::new(ErrorReason::InvalidFieldValue, self.status(), text),
            Self::HeadTooLarge | Self::TargetTooLong => {
                ApiError::new(ErrorReason::RequestTooLarge, self.status(), text)
            }
        };
        // The response has a canonical HTTP status, also below the paths of the original API.
        error.into_response(Mount::Canonical)
    }
}

/// Returns whether this is a host with or without a port, as RFC 3986 defines them. An empty host is valid.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        // A colon within an IPv6 address does not begin a port.
        Some(at) if !host[at..].contains(&b']') => (&host[..at], &host[at + 1..]),
        _ => (host, &b""[..]),
    };
    port.iter().all(u8::is_ascii_digit) && (is_address(name) || is_name(name))
}

fn is_address(name: &[u8]) -> bool {
    let inner = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    inner.and_then(|inner| std::str::from_utf8(inner).ok()).is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

/// Returns whether this consists of letters, digits, the marks that RFC 3986 allows, and bytes escaped by a percent sign.
fn is_name(mut name: &[u8]) -> bool {
    while let Some((first, rest)) = name.split_first() {
        name = match first {
            b'%' => match rest {
                [a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
                _ => return false,
            },
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) => rest,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in ["", "h", "h:80", "h:", ":80", "127.0.0.1:8080", "[::1]", "[::1]:80", "a_b.example", "x%20y", "h."]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a/b", "http://h", "u@h", "h:x", "h:80:80", "h:-1", "a, b", "::1", "[::1", "::1]", "[x]", "[::1]x",
            "h%2", "h%zz", "h?q", "h#f", "<h>", "h\\", "h\t", "\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn only_old_requests_may_name_no_host() {
        let of = |version, hosts: &[&str]| {
            let mut request = Request::builder().version(version).uri("/");
            for host in hosts {
                request = request.header(HOST, *host);
            }
            Malformed::of_host(&request.body(()).expect("a request"))
        };
        for (version, missing) in [(Version::HTTP_11, Some(Malformed::Host)), (Version::HTTP_10, None)] {
            assert_eq!(of(version, &[]), missing);
            assert_eq!(of(version, &["h"]), None);
            assert_eq!(of(version, &["h", "h"]), Some(Malformed::Host));
            assert_eq!(of(version, &["a b"]), Some(Malformed::Host));
        }
    }
}
