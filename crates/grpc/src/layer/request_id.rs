//! The id of a call, by which people find it in the log.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;
use uuid::Uuid;

use super::middleware::{Handler, Middleware, Next};

/// Name of the metadata that carries the id, in requests and in responses.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of an id that is accepted, in bytes.
const MAX_LENGTH: usize = 128;

/// The id of a call: the caller's, if it is valid, else a new UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Returns the given id if it consists of 1 to 128 printable ASCII characters without spaces, else a new one.
    pub fn of(given: Option<&HeaderValue>) -> Self {
        let sane = |id: &&str| (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        match given.and_then(|value| value.to_str().ok()).filter(sane) {
            Some(id) => Self(id.into()),
            None => Self::new(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "it is for people and the log: no rule depends on it")]
    fn new() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone)]
pub struct AssignRequestId;

impl Middleware for AssignRequestId {
    async fn handle<N: Handler>(&self, mut request: Request<Body>, next: Next<'_, N>) -> Response<Body> {
        let id = RequestId::of(request.headers().get(HEADER));
        let echo = HeaderValue::from_str(id.as_str());
        request.extensions_mut().insert(id);
        let mut response = next.run(request).await;
        if let Ok(echo) = echo {
            response.headers_mut().insert(HEADER, echo);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        let of = |id: &'static str| RequestId::of(Some(&HeaderValue::from_static(id))).as_str().to_owned();
        assert_eq!(of("order-17/retry~2"), "order-17/retry~2");
        let long: &'static str = Box::leak("x".repeat(MAX_LENGTH + 1).into_boxed_str());
        for bad in ["", "two words", "tab\t", long] {
            let id = of(bad);
            assert!(Uuid::parse_str(&id).is_ok(), "{bad:?} became {id}");
        }
        let binary = HeaderValue::from_bytes(b"\xff\xfe").expect("a header value");
        assert!(Uuid::parse_str(RequestId::of(Some(&binary)).as_str()).is_ok());
        assert_ne!(RequestId::of(None), RequestId::of(None));
    }
}
