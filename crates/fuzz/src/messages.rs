use access_tokens_domain::{Error, Reason};
use access_tokens_grpc::fuzzing::convert;
use access_tokens_grpc::status;
use access_tokens_proto::descriptor_pool;
use access_tokens_proto::options::methods;
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};

use crate::canary::{self, CANARY};
use crate::selection::select;

/// Size of headers that clients accept.
const MAX_HEADER_BYTES: usize = 8 * 1_024;

/// Requests on the wire. Asserts that the encoding does not change the request, and that an error names fields of the request,
/// repeats no value, and fits into the headers of an answer.
pub fn messages(data: &[u8]) {
    let Some((method, bytes)) = select(methods(), data) else { return };
    let Some(converted) = convert(&method.grpc_path, bytes) else { return };
    let descriptor = descriptor_pool().get_message_by_name(&method.input).expect("a message of the contract");
    let mut message = DynamicMessage::decode(descriptor.clone(), bytes).expect("decoded before");
    let again = convert(&method.grpc_path, &message.encode_to_vec()).expect("decoded before");
    assert_eq!(again.as_ref().err().map(Error::message), converted.as_ref().err().map(Error::message));
    if let Err(error) = converted {
        refused(&error, &descriptor);
    }
    canary::in_message(&mut message);
    if let Some(Err(error)) = convert(&method.grpc_path, &message.encode_to_vec()) {
        refused(&error, &descriptor);
        assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
    }
}

fn refused(error: &Error, request: &MessageDescriptor) {
    assert_ne!(error.reason(), Reason::Internal, "{error:?}");
    assert!(!error.violations().is_empty(), "{error:?}");
    for violation in error.violations() {
        assert!(names_a_field(request, &violation.field), "{violation:?}");
        assert!(!violation.description.is_empty());
    }
    let response = status::from_error(error).into_http::<()>();
    let size: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(size <= MAX_HEADER_BYTES, "{size} bytes of headers");
}

/// Returns whether the path names a field or a oneof of the message.
fn names_a_field(message: &MessageDescriptor, path: &str) -> bool {
    let (name, below) = path.split_once('.').map_or((path, None), |(name, below)| (name, Some(below)));
    let name = name.split('[').next().unwrap_or_default();
    if message.oneofs().any(|oneof| oneof.name() == name) {
        return below.is_none();
    }
    match (message.get_field_by_name(name), below) {
        (Some(_), None) => true,
        (Some(field), Some(below)) => inner(&field).is_some_and(|message| names_a_field(&message, below)),
        (None, _) => false,
    }
}

fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    field.kind().as_message().cloned()
}
