//! A value that replaces others: an answer that repeats it would have repeated a secret.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use serde_json::Value as Json;

/// The value. No answer contains it otherwise.
pub(crate) const CANARY: &str = "hushed7value";

/// Replaces every text and number below the members whose keys `hide` accepts by the canary.
pub(crate) fn in_json(value: &mut Json, hide: &impl Fn(&str) -> bool) {
    match value {
        Json::Object(members) => {
            for (key, member) in members {
                match member {
                    Json::Object(_) | Json::Array(_) => in_json(member, hide),
                    Json::String(_) | Json::Number(_) if hide(key) => *member = CANARY.into(),
                    _ => {}
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| in_json(item, hide)),
        _ => {}
    }
}

/// Replaces every text of a message by the canary. Masks stay, because an error may repeat the names of fields.
pub(crate) fn in_message(message: &mut DynamicMessage) {
    if message.descriptor().package_name() == "google.protobuf" {
        return;
    }
    message.fields_mut().for_each(|(_, value)| in_value(value));
}

fn in_value(value: &mut Value) {
    match value {
        Value::String(text) if !text.is_empty() => CANARY.clone_into(text),
        Value::Message(message) => in_message(message),
        Value::List(items) => items.iter_mut().for_each(in_value),
        _ => {}
    }
}
