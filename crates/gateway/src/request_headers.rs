//! Headers that are copied to the service, by name. All others are dropped.
//!
//! The copied headers are bounded here. The service refuses a list of headers above 16 KiB, and an HTTP/2 library answers a list above
//! about 64 KiB by closing the connection, which all callers share (ADR 35).

use access_tokens_proto::v1::ErrorReason;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tonic::metadata::MetadataMap;

use crate::address::{ClientAddress, FORWARDED_FOR};
use crate::error::ApiError;
use crate::response_headers::{READ_AFTER, REQUEST_ID};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Maximum size of the credentials of a call in bytes, together: session tokens, API keys, `Authorization`. The service reads no session
/// token above 8 KiB.
pub(crate) const MAX_CREDENTIAL_BYTES: usize = 8 * 1024 + 64;
/// Maximum size of all other copied headers, together, in bytes as HTTP/2 counts them: name, value and 32 for each.
pub(crate) const MAX_HEADER_BYTES: usize = 4 * 1024;
/// Bytes that HTTP/2 counts for a header in addition to its name and value.
const HEADER_OVERHEAD_BYTES: usize = 32;

/// Names of the headers that are copied to the service unchanged.
static COPIED: [HeaderName; 6] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    REQUEST_ID,
    USER_AGENT,
    API_KEY,
    READ_AFTER,
];

/// Base64 as clients write it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the metadata of a call. A session token among the parameters takes precedence over the headers.
///
/// Errors: INVALID_TOKEN (401) for credentials above [`MAX_CREDENTIAL_BYTES`], because no credential is that long; REQUEST_TOO_LARGE
/// (431) for other headers above [`MAX_HEADER_BYTES`].
pub(crate) fn service_metadata(
    headers: &HeaderMap,
    token: Option<&str>,
    client: Option<ClientAddress>,
) -> Result<MetadataMap, ApiError> {
    let credentials = [AUTHORIZATION, API_KEY].map(|name| size(headers, &name)).iter().sum::<usize>();
    if credentials + token.map_or(0, str::len) > MAX_CREDENTIAL_BYTES {
        return Err(ApiError::new(ErrorReason::InvalidToken, StatusCode::UNAUTHORIZED, "the session is not valid"));
    }
    bounded(headers)?;
    let mut metadata = HeaderMap::new();
    for name in &COPIED {
        for value in headers.get_all(name) {
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
    Ok(MetadataMap::from_headers(metadata))
}

/// Refuses headers above [`MAX_HEADER_BYTES`], and names the largest.
fn bounded(headers: &HeaderMap) -> Result<(), ApiError> {
    let sizes = || COPIED.iter().filter(|name| **name != API_KEY).map(|name| (size(headers, name), name));
    if sizes().map(|(size, _)| size).sum::<usize>() <= MAX_HEADER_BYTES {
        return Ok(());
    }
    let largest = sizes().max_by_key(|(size, _)| *size).map_or("", |(_, name)| name.as_str());
    let description = format!("is too large: {} together are at most {MAX_HEADER_BYTES} bytes", names());
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(ApiError::new(ErrorReason::RequestTooLarge, status, "the headers are too large")
        .with_violation(largest, description))
}

/// Returns the names of the headers that share one bound.
fn names() -> String {
    let names = COPIED.iter().filter(|name| **name != API_KEY).map(HeaderName::as_str);
    names.collect::<Vec<_>>().join(", ")
}

/// Returns the size of all values of a header in bytes, as HTTP/2 counts it.
fn size(headers: &HeaderMap, name: &HeaderName) -> usize {
    let values = headers.get_all(name).iter();
    values.map(|value| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES).sum()
}

/// Copies `Authorization`: `Bearer` unchanged, `Basic` as an API key. Any other scheme is copied too, and the service refuses it.
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

/// Returns the API key of `Basic`: the user name, with an empty password or without one.
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

/// Inserts a header. A value that no header can have is left out: it cannot be a token either, and a call without a token is refused.
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
        service_metadata(&headers(pairs), token, None).expect("small enough").into_headers()
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
        let metadata =
            service_metadata(&headers(&[("x-forwarded-for", "1.2.3.4")]), None, client).expect("small").into_headers();
        let sent: Vec<_> = metadata.get_all(FORWARDED_FOR).iter().collect();
        assert_eq!(sent, ["192.0.2.7"]);
        let unknown =
            service_metadata(&headers(&[("x-forwarded-for", "1.2.3.4")]), None, None).expect("small").into_headers();
        assert!(!unknown.contains_key(FORWARDED_FOR));
    }

    /// HTTP status and description of a refusal.
    fn refused(pairs: &[(&'static str, &str)], token: Option<&str>) -> (u16, String) {
        let error = service_metadata(&headers(pairs), token, None).expect_err("too large");
        let response = error.into_response(crate::route::Mount::Canonical);
        let reason = response.headers()[crate::error::ERROR_REASON].to_str().expect("text").to_owned();
        (response.status().as_u16(), reason)
    }

    #[test]
    fn credentials_that_are_too_long_are_no_credentials() {
        for length in [MAX_CREDENTIAL_BYTES + 1, 16_000, 65_000, 1_000_000] {
            let long = "a".repeat(length);
            let (bearer, basic) = (format!("Bearer {long}"), format!("Basic {}", BASE64.encode(&long)));
            let invalid = (401, "INVALID_TOKEN".to_owned());
            assert_eq!(refused(&[], Some(&long)), invalid);
            for header in [("x-api-key", &long), ("authorization", &bearer), ("authorization", &basic)] {
                assert_eq!(refused(&[(header.0, header.1.as_str())], None), invalid, "{} {length}", header.0);
                assert_eq!(refused(&[(header.0, header.1.as_str())], Some("short")), invalid);
            }
        }
        let half = "a".repeat(MAX_CREDENTIAL_BYTES / 2);
        assert_eq!(refused(&[("x-api-key", &half), ("authorization", &half)], None).0, 401, "together");
        let longest = "a".repeat(8 * 1024);
        assert_eq!(forwarded(&[], Some(&longest))[AUTHORIZATION].len(), 7 + 8 * 1024);
    }

    #[test]
    fn other_headers_are_bounded_together() {
        let too_large = (431, "REQUEST_TOO_LARGE".to_owned());
        for name in ["traceparent", "tracestate", "x-request-id", "user-agent", "x-read-after"] {
            for length in [MAX_HEADER_BYTES, 16_000, 65_000] {
                assert_eq!(refused(&[(name, &"a".repeat(length))], None), too_large, "{name}");
            }
            let part = "a".repeat(MAX_HEADER_BYTES / 2);
            assert_eq!(refused(&[(name, &part), (name, &part)], Some("t")), too_large, "{name} twice");
            let many: Vec<_> = std::iter::repeat_n((name, ""), MAX_HEADER_BYTES / 32).collect();
            assert_eq!(refused(&many, None), too_large, "{name} many times");
        }
        assert!(forwarded(&[("cookie", &"a".repeat(100_000)), ("x-unknown", &"a".repeat(100_000))], None).is_empty());
    }

    #[test]
    fn whatever_passes_is_smaller_than_what_the_service_takes() {
        // The bound of the service, less the headers that the gRPC client and traces add: path, authority, content type, deadline, a second
        // traceparent.
        let limit = 16 * 1024 - 2 * 1024;
        assert!(MAX_CREDENTIAL_BYTES + MAX_HEADER_BYTES + "Bearer ".len() + 2 * HEADER_OVERHEAD_BYTES + 100 < limit);
    }
}
