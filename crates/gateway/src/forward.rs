//! Headers that pass the gateway, by name; all others stay behind.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;

use crate::address::{ClientAddress, FORWARDED_FOR};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How far a caller has written, where the service reads from replicas.
const READ_AFTER: HeaderName = HeaderName::from_static("x-read-after");

/// What passes to the service as it is.
const INWARDS: [HeaderName; 6] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    REQUEST_ID,
    USER_AGENT,
    API_KEY,
    READ_AFTER,
];

/// What passes to the client as it is.
const OUTWARDS: [HeaderName; 2] = [REQUEST_ID, READ_AFTER];

/// Base64 as clients write it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The metadata of a call. The session token among the parameters counts before the headers.
pub(crate) fn inwards(headers: &HeaderMap, token: Option<&str>, client: Option<ClientAddress>) -> MetadataMap {
    let mut metadata = HeaderMap::new();
    for name in INWARDS {
        for value in headers.get_all(&name) {
            metadata.append(name.clone(), value.clone());
        }
    }
    match token {
        Some(token) => {
            metadata.remove(API_KEY);
            insert(&mut metadata, AUTHORIZATION, &format!("Bearer {token}"));
        }
        None => authorization(headers, &mut metadata),
    }
    if let Some(client) = client {
        insert(&mut metadata, FORWARDED_FOR, &client.to_string());
    }
    MetadataMap::from_headers(metadata)
}

/// Adds what passes back to the headers of an answer.
pub(crate) fn outwards(metadata: &MetadataMap, headers: &mut HeaderMap) {
    for name in OUTWARDS {
        if let Some(value) = metadata.as_ref().get(&name) {
            headers.insert(name, value.clone());
        }
    }
}

/// `Bearer` passes as it is, `Basic` becomes an API key. All else passes too: the service refuses it.
fn authorization(headers: &HeaderMap, metadata: &mut HeaderMap) {
    for value in headers.get_all(AUTHORIZATION) {
        match api_key(value) {
            Some(key) => {
                metadata.append(API_KEY, key);
            }
            None => {
                metadata.append(AUTHORIZATION, value.clone());
            }
        }
    }
}

/// The key of `Basic`: the user name, with an empty password or without one.
fn api_key(value: &HeaderValue) -> Option<HeaderValue> {
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = BASE64.decode(credentials.trim()).ok()?;
    let key = credentials.strip_suffix(b":").unwrap_or(&credentials);
    let mut key = HeaderValue::from_bytes(key).ok().filter(|_| !key.contains(&b':'))?;
    key.set_sensitive(true);
    Some(key)
}

/// A value that no header can have is left out: it cannot be a token either, and the call is refused for having none.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(name == AUTHORIZATION);
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    fn forwarded(pairs: &[(&'static str, &str)], token: Option<&str>) -> HeaderMap {
        inwards(&headers(pairs), token, None).into_headers()
    }

    fn basic(credentials: &str) -> HeaderMap {
        forwarded(&[("authorization", &format!("Basic {}", BASE64.encode(credentials)))], None)
    }

    #[test]
    fn only_what_is_listed_passes() {
        let passed = forwarded(
            &[
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("x-request-id", "7"),
                ("cookie", "secret"),
                ("x-forwarded-for", "1.2.3.4"),
                ("host", "example.com"),
                ("grpc-timeout", "1n"),
                ("content-length", "7"),
            ],
            None,
        );
        let mut names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["traceparent", "x-request-id"]);
    }

    #[test]
    fn a_token_among_the_parameters_counts_before_the_headers() {
        let both = forwarded(&[("authorization", "Bearer old"), ("x-api-key", "key")], Some("new"));
        assert_eq!(both[AUTHORIZATION], "Bearer new");
        assert!(!both.contains_key(API_KEY));
        assert_eq!(forwarded(&[("authorization", "Bearer old")], None)[AUTHORIZATION], "Bearer old");
        assert!(forwarded(&[], Some("line\nbreak")).is_empty());
    }

    #[test]
    fn basic_is_an_api_key_with_and_without_the_colon() {
        for credentials in ["atk_1", "atk_1:"] {
            let passed = basic(credentials);
            assert_eq!(passed[API_KEY], "atk_1");
            assert!(!passed.contains_key(AUTHORIZATION));
        }
        let unpadded = forwarded(&[("authorization", "basic YXRrXzE")], None);
        assert_eq!(unpadded[API_KEY], "atk_1");
        for other in ["user:password", "user:password:"] {
            assert!(!basic(other).contains_key(API_KEY), "{other}");
        }
    }

    #[test]
    fn the_address_of_the_client_replaces_what_it_says_itself() {
        let client = Some(ClientAddress::new([192, 0, 2, 7].into()));
        let metadata = inwards(&headers(&[("x-forwarded-for", "1.2.3.4")]), None, client).into_headers();
        let sent: Vec<_> = metadata.get_all(FORWARDED_FOR).iter().collect();
        assert_eq!(sent, ["192.0.2.7"]);
        let unknown = inwards(&headers(&[("x-forwarded-for", "1.2.3.4")]), None, None).into_headers();
        assert!(!unknown.contains_key(FORWARDED_FOR));
    }
}
