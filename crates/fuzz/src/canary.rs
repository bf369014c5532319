//! A value that is put in place of others: an answer that repeats it would have repeated a secret.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use serde_json::Value as Json;

/// No answer contains it by itself.
pub(crate) const CANARY: &str = "hushed7value";

/// Puts the canary in place of every text and number below the members that `hide` names by their keys.
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

/// Puts the canary in place of every text of a message. Masks stay: an error may repeat the names of fields.
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
