//! Field masks: checks of their paths, and their application to messages.

use std::fmt;

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};
use prost_types::FieldMask;

use crate::{descriptor_of, descriptor_pool, from_dynamic, to_dynamic};

/// Maximum number of characters that an error repeats of a name in a request.
const MAX_SHOWN_CHARACTERS: usize = 64;

/// Returns as much of an unknown name as an error repeats.
pub fn shown(name: &str) -> String {
    name.chars().take(MAX_SHOWN_CHARACTERS).collect()
}

/// A path of a field mask that names no field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPath {
    /// Unknown part of the path.
    pub segment: String,
    /// Names that are known in its place, in the order of the contract.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown field `{}`; ", shown(&self.segment))?;
        if self.known.is_empty() {
            write!(f, "there are none here")
        } else {
            write!(f, "known: {}", self.known.join(", "))
        }
    }
}

impl std::error::Error for UnknownPath {}

/// Checks that a dotted path names a field of the message, such as `accounts_receivable.number` of
/// `accesstoken.v1.AccessToken`.
///
/// Dates and lists are leaves: no path continues below them.
pub fn validate_path(message_full_name: &str, path: &str) -> Result<(), UnknownPath> {
    validate(descriptor_pool().get_message_by_name(message_full_name), path)
}

/// Checks a path as [`validate_path`] does, for a message type of the contract.
pub fn validate_path_of<M: Name>(path: &str) -> Result<(), UnknownPath> {
    validate(Some(descriptor_of::<M>()), path)
}

fn validate(message: Option<MessageDescriptor>, path: &str) -> Result<(), UnknownPath> {
    let mut message = message;
    for segment in path.split('.') {
        match message.as_ref().and_then(|message| message.get_field_by_name(segment)) {
            Some(field) => message = nested(&field),
            None => {
                let known = message.iter().flat_map(known_names).collect();
                return Err(UnknownPath { segment: segment.to_owned(), known });
            }
        }
    }
    Ok(())
}

/// Returns the names of the fields of a message, in the order of the contract.
pub(crate) fn known_names(message: &MessageDescriptor) -> Vec<String> {
    message.fields().map(|field| field.name().to_owned()).collect()
}

/// Returns the message of a field, if paths may continue below it.
fn nested(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && message.package_name() != "google.protobuf" => Some(message),
        _ => None,
    }
}

/// Returns the message with only the fields that the mask names, or the whole message if it names none.
///
/// Paths that do not exist select nothing. Check them with [`validate_path`] first.
pub fn select<M: Message + Name + Default>(message: M, mask: &FieldMask) -> M {
    if mask.paths.is_empty() {
        return message;
    }
    let mut dynamic = to_dynamic(&message);
    let paths: Vec<Vec<&str>> = mask.paths.iter().map(|path| path.split('.').collect()).collect();
    retain(&mut dynamic, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>());
    from_dynamic(&dynamic)
}

fn retain(message: &mut DynamicMessage, paths: &[&[&str]]) {
    for field in message.descriptor().fields() {
        keep(message, &field, paths);
    }
}

fn keep(message: &mut DynamicMessage, field: &FieldDescriptor, paths: &[&[&str]]) {
    let below: Vec<&[&str]> = paths
        .iter()
        .filter(|path| path.first().is_some_and(|name| *name == field.name()))
        .map(|path| &path[1..])
        .collect();
    if below.is_empty() {
        message.clear_field(field);
    } else if below.iter().all(|rest| !rest.is_empty())
        && message.has_field(field)
        && let Value::Message(inner) = message.get_field_mut(field)
    {
        retain(inner, &below);
    }
}
