use std::collections::BTreeSet;
use std::sync::LazyLock;

use access_tokens_grpc::fuzzing::convert;
use access_tokens_proto::descriptor_pool;
use access_tokens_proto::json::{dynamic_from_value, dynamic_to_value, field_mask_from_str, field_mask_to_string};
use access_tokens_proto::options::methods;
use prost::Message;
use prost_reflect::MessageDescriptor;
use serde_json::Value;

use crate::canary::{self, CANARY};
use crate::selection::select;

/// The requests of all methods and then their answers, each once, in the order of the contract.
static MESSAGES: LazyLock<Vec<MessageDescriptor>> = LazyLock::new(|| {
    let names = methods().iter().map(|method| &method.input).chain(methods().iter().map(|method| &method.output));
    let mut seen = BTreeSet::new();
    let descriptor = |name: &String| descriptor_pool().get_message_by_name(name).expect("a message of the contract");
    names.filter(|name| seen.insert(name.as_str())).map(descriptor).collect()
});

/// JSON by the canonical mapping. Asserts that a message that was read is written and read again as the same message.
pub fn json(data: &[u8]) {
    let Some((message, text)) = select(&MESSAGES, data) else { return };
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return };
    round_trip(message, &value);
    // The same message with wrong values only: an error must not repeat any of them.
    canary::in_json(&mut value, &|_| true);
    round_trip(message, &value);
}

fn round_trip(descriptor: &MessageDescriptor, value: &Value) {
    match dynamic_from_value(descriptor, value) {
        Ok(message) => {
            let written = dynamic_to_value(&message);
            let again = dynamic_from_value(descriptor, &written)
                .unwrap_or_else(|violations| panic!("{written} is refused: {violations:?}"));
            let bytes = message.encode_to_vec();
            if masks_survive(value) {
                assert_eq!(dynamic_to_value(&again), written);
                // Bytes, because a number that is none is not equal to itself.
                assert_eq!(again.encode_to_vec(), bytes, "{written}");
            }
            // The generated code reads it too.
            for method in methods().iter().filter(|method| method.input == descriptor.full_name()) {
                assert!(convert(&method.grpc_path, &bytes).is_some(), "{written}");
            }
        }
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a violation");
            for violation in violations {
                let description = &violation.description;
                assert!(!description.is_empty() && !description.contains(CANARY), "{violation:?}");
                assert!(description.len() < 4_000, "{violation:?}");
            }
        }
    }
}

/// Returns whether all paths of masks are names of fields. A mask may hold other paths, such as `_a`, which do not survive camel
/// case.
fn masks_survive(message: &Value) -> bool {
    let names = ["fields_set", "fieldsSet", "update_mask", "updateMask", "null_fields", "nullFields"];
    names.iter().filter_map(|field| message.get(field)?.as_str()).all(|mask| {
        let read = field_mask_from_str(mask);
        field_mask_from_str(&field_mask_to_string(&read)) == read
    })
}
