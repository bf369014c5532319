//! Headers that pass back to the client, by name; all others stay behind.

use http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataMap;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How far a caller has written, where the service reads from replicas.
pub(crate) const READ_AFTER: HeaderName = HeaderName::from_static("x-read-after");

/// What passes to the client as it is.
const COPIED: [HeaderName; 2] = [REQUEST_ID, READ_AFTER];

/// Adds what passes back to the headers of an answer.
pub(crate) fn copy_response_headers(metadata: &MetadataMap, headers: &mut HeaderMap) {
    for name in COPIED {
        if let Some(value) = metadata.as_ref().get(&name) {
            headers.insert(name, value.clone());
        }
    }
}
