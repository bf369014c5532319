//! Field masks: which paths exist, and what a message is with only those.

use std::fmt;

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};
use prost_types::FieldMask;

use crate::{descriptor_of, descriptor_pool, from_dynamic, to_dynamic};

/// A path of a field mask that names no field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPath {
    /// The part of the path that is unknown.
    pub segment: String,
    /// The names that are known in its place, in the order of the contract.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown field `{}`; ", self.segment)?;
        if self.known.is_empty() {
            write!(f, "there are none here")
        } else {
            write!(f, "known: {}", self.known.join(", "))
        }
    }
}

impl std::error::Error for UnknownPath {}

/// Does the dotted path name a field of the message, such as `accounts_receivable.number` of `accesstoken.v1.AccessToken`?
///
/// A date is a leaf, and so is a list.
pub fn validate_path(message_full_name: &str, path: &str) -> Result<(), UnknownPath> {
    validate(descriptor_pool().get_message_by_name(message_full_name), path)
}

/// [`validate_path`] for a message of the contract.
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

/// The names of the fields of a message, in the order of the contract.
pub(crate) fn known_names(message: &MessageDescriptor) -> Vec<String> {
    message.fields().map(|field| field.name().to_owned()).collect()
}

/// The message below a field, if paths may go on there.
fn nested(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && message.package_name() != "google.protobuf" => Some(message),
        _ => None,
    }
}

/// The message with only the fields that the mask names; all of them when it names none.
///
/// Paths that do not exist select nothing: check them with [`validate_path`] first.
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
