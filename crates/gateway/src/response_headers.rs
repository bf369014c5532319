//! Headers of the service's response that are copied to the client, by name. All others are dropped.

use http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataMap;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Name of the header with the position of a caller's writes, if the service reads from replicas.
pub(crate) const READ_AFTER: HeaderName = HeaderName::from_static("x-read-after");

/// Names of the headers that are copied unchanged.
const COPIED: [HeaderName; 2] = [REQUEST_ID, READ_AFTER];

/// Copies these headers to those of a response.
pub(crate) fn copy_response_headers(metadata: &MetadataMap, headers: &mut HeaderMap) {
    for name in COPIED {
        if let Some(value) = metadata.as_ref().get(&name) {
            headers.insert(name, value.clone());
        }
    }
}
