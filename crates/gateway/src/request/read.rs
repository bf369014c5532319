//! Converts the members of a request to its message, by the descriptors.
//!
//! The form is that of the original API, not the canonical JSON of `access_tokens_proto::json` (ADR 48). Two rules cover the differences
//! in structure:
//!
//! - An alternative of a oneof whose message is declared inside of the message that holds the oneof is *inlined*: its keys are given in
//!   its place. So a credential is `{"identifier": …, "pass_code": …}`, or has a `one_time_password`.
//! - `update_mask` is not given, but consists of the keys that are given, including those that are null.

use access_tokens_domain::time::TimeZone;
use access_tokens_proto::FieldViolation;
use access_tokens_proto::fields::shown;
use access_tokens_proto::options::is_optional;
use access_tokens_proto::v1::ErrorReason;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Value};

use super::{query, scalar};
use crate::json::{JsonValue, join};

/// Name of the field with the paths that an update writes.
pub(crate) const UPDATE_MASK: &str = "update_mask";
/// Name of the field with the paths that a response shows.
pub(crate) const FIELDS_SET: &str = "fields_set";

/// The destination of the value of a key.
pub(crate) enum KeyTarget {
    /// A field of the message.
    Field(FieldDescriptor),
    /// The second field, which belongs to the message that is the value of the first.
    Inlined(FieldDescriptor, FieldDescriptor),
}

impl KeyTarget {
    /// Returns the field of the message itself.
    pub(crate) fn outer(&self) -> &FieldDescriptor {
        match self {
            Self::Field(field) | Self::Inlined(field, _) => field,
        }
    }

    /// Returns the field that receives the value.
    pub(crate) fn field(&self) -> &FieldDescriptor {
        match self {
            Self::Field(field) | Self::Inlined(_, field) => field,
        }
    }
}

/// Returns the keys of a message in the order of the contract, with the destinations of their values.
pub(crate) fn keys(message: &MessageDescriptor) -> Vec<KeyTarget> {
    let fields = message.fields().filter(|field| field.name() != UPDATE_MASK);
    let targets = fields.flat_map(|field| match inlined_message(&field) {
        Some(inner) => inner.fields().map(|inner| KeyTarget::Inlined(field.clone(), inner)).collect(),
        None => vec![KeyTarget::Field(field)],
    });
    targets.collect()
}

/// Returns the message whose keys are given in place of the field.
fn inlined_message(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(inner) = field.kind() else { return None };
    let own = inner.parent_message().is_some_and(|parent| parent == *field.parent_message());
    (own && field.containing_oneof().is_some()).then_some(inner)
}

/// Returns whether the caller chooses an alternative of the oneof. In the descriptors an `optional` field has a oneof of its own.
pub(crate) fn is_choice(oneof: &OneofDescriptor) -> bool {
    oneof.fields().all(|field| !field.field_descriptor_proto().proto3_optional())
}

/// Returns whether a field holds an object, as opposed to a date or a list of names.
pub(crate) fn is_object(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.package_name() != "google.protobuf")
}

/// Returns the alternatives of a oneof as a client may give them. An inlined one is its first field with the others.
fn alternatives(oneof: &OneofDescriptor) -> String {
    let names = oneof.fields().map(|field| {
        let inner: Vec<_> = inlined_message(&field).iter().flat_map(MessageDescriptor::fields).collect();
        match inner.as_slice() {
            [first, others @ ..] if !others.is_empty() => {
                let others: Vec<_> = others.iter().map(FieldDescriptor::name).collect();
                format!("{} with {}", first.name(), others.join(" or "))
            }
            _ => field.name().to_owned(),
        }
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Spellings of clients of the original API that `/v1` refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tolerance {
    /// An empty text counts as no value. False in an update, where an empty text must be distinguished from null.
    pub(super) empty_is_absent: bool,
    /// An empty array counts as an empty object, because PHP has one notation for both.
    pub(super) array_is_object: bool,
}

/// Reads messages and collects violations.
pub(super) struct Reader {
    pub(super) zone: TimeZone,
    pub(super) tolerance: Tolerance,
    pub(super) violations: Vec<FieldViolation>,
}

impl Reader {
    /// Returns the message of a request. The caller has removed `fields_set` from the members.
    pub(super) fn request(
        &mut self,
        descriptor: &MessageDescriptor,
        members: &[(String, JsonValue)],
    ) -> DynamicMessage {
        let mut message = self.message(descriptor, members, "");
        if let Some(mask) = descriptor.get_field_by_name(UPDATE_MASK) {
            // The identifier of the access token is an object. All other keys are written.
            let written = |key: &&String| descriptor.get_field_by_name(key).is_some_and(|field| !is_object(&field));
            let paths = members.iter().map(|(key, _)| key).filter(written).cloned();
            set_mask(&mut message, &mask, paths);
        }
        message
    }

    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        members: &[(String, JsonValue)],
        path: &str,
    ) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let targets = keys(descriptor);
        let mut given = Vec::new();
        for (key, node) in members {
            let Some(target) = targets.iter().find(|target| target.field().name() == key) else {
                self.unknown(&targets, key, path);
                continue;
            };
            if matches!(node, JsonValue::Null) || (is_empty(node) && self.is_absent(target, &targets, members)) {
                continue;
            }
            given.push(target);
            let Some(value) = self.value(target.field(), node, &join(path, key)) else { continue };
            match target {
                KeyTarget::Field(field) => message.set_field(field, value),
                KeyTarget::Inlined(outer, inner) => {
                    if let Value::Message(outer) = message.get_field_mut(outer) {
                        outer.set_field(inner, value);
                    }
                }
            }
        }
        for oneof in descriptor.oneofs().filter(is_choice) {
            self.choice(&oneof, &given, path);
        }
        message
    }

    /// Returns whether an empty text for this key counts as no value.
    ///
    /// Inlined keys belong together: an empty pass code beside an identifier is a wrong pass code. If it counted as no value, the identifier
    /// alone would name the access token, and a check would become a lookup.
    fn is_absent(&self, target: &KeyTarget, targets: &[KeyTarget], members: &[(String, JsonValue)]) -> bool {
        let together = |other: &&KeyTarget| match (target, *other) {
            (KeyTarget::Inlined(outer, _), KeyTarget::Inlined(other, _)) => outer == other,
            _ => false,
        };
        let has_value = |other: &KeyTarget| {
            let mut given = members.iter().filter(|(key, _)| key == other.field().name());
            given.any(|(_, node)| !matches!(node, JsonValue::Null) && !is_empty(node))
        };
        self.tolerance.empty_is_absent && !targets.iter().filter(together).any(has_value)
    }

    /// Requires exactly one alternative, with all keys that belong to it. At the top level a oneof has no name, and the service refuses a
    /// request without any alternative.
    fn choice(&mut self, oneof: &OneofDescriptor, given: &[&KeyTarget], path: &str) {
        let given: Vec<_> =
            given.iter().filter(|target| target.outer().containing_oneof().as_ref() == Some(oneof)).collect();
        // Optional alternatives name nothing. They only exclude each other.
        let optional = oneof.fields().any(|field| is_optional(&field));
        let reason = if optional { ErrorReason::InvalidFieldValue } else { ErrorReason::InvalidIdentifier };
        let several = given.windows(2).any(|pair| pair[0].outer() != pair[1].outer());
        if several && path.is_empty() {
            let names: Vec<_> = given.iter().map(|target| target.field().name()).collect();
            let what = format!("only one of {} may be given", names.join(", "));
            self.violations.extend(names.iter().map(|name| FieldViolation::new(reason, *name, what.clone())));
        } else if several || (given.is_empty() && !path.is_empty() && !optional) {
            let found = if several { "has several" } else { "has none" };
            let what = format!("must have exactly one of: {}; {found}", alternatives(oneof));
            self.violations.push(FieldViolation::new(reason, path, what));
        } else if let Some(KeyTarget::Inlined(outer, _)) = given.first()
            && let Some(first) = inlined_message(outer).and_then(|inner| inner.fields().next())
            && !given.iter().any(|target| *target.field() == first)
        {
            // The first field of an inlined message is its subject.
            let what = format!("is required with {}", given[0].field().name());
            self.violations.push(FieldViolation::new(reason, join(path, first.name()), what));
        }
    }

    fn value(&mut self, field: &FieldDescriptor, node: &JsonValue, path: &str) -> Option<Value> {
        if field.is_list() {
            let JsonValue::List(items) = node else { return self.fault(path, "must be an array") };
            let items = items.iter().enumerate();
            let values = items.filter_map(|(index, item)| self.single(field, item, &format!("{path}[{index}]")));
            return Some(Value::List(values.collect()));
        }
        self.single(field, node, path)
    }

    fn single(&mut self, field: &FieldDescriptor, node: &JsonValue, path: &str) -> Option<Value> {
        let kind = field.kind();
        match (&kind, node) {
            (Kind::Message(inner), JsonValue::Object(members)) if is_object(field) => {
                Some(Value::Message(self.message(inner, members, path)))
            }
            (Kind::Message(inner), JsonValue::QueryText(text)) if is_object(field) => {
                match query::members(text, path) {
                    Ok(members) => Some(Value::Message(self.message(inner, &members, path))),
                    Err(fault) => {
                        self.violations.push(fault);
                        None
                    }
                }
            }
            (Kind::Message(inner), JsonValue::List(items))
                if is_object(field) && items.is_empty() && self.tolerance.array_is_object =>
            {
                Some(Value::Message(self.message(inner, &[], path)))
            }
            (Kind::Message(_), _) if is_object(field) => self.fault(path, "must be an object"),
            _ => scalar::read(&kind, node, self.zone).map_or_else(|what| self.fault(path, what), Some),
        }
    }

    fn unknown(&mut self, targets: &[KeyTarget], key: &str, path: &str) {
        let top = if path.is_empty() { Some("token") } else { None };
        let known: Vec<_> = targets.iter().map(|target| target.field().name()).chain(top).collect();
        let what = format!("unknown field `{}`; known: {}", shown(key), known.join(", "));
        self.violations.push(FieldViolation::new(ErrorReason::UnknownField, join(path, key), what));
    }

    fn fault<T>(&mut self, path: &str, what: impl Into<String>) -> Option<T> {
        self.violations.push(FieldViolation::invalid(path, what));
        None
    }
}

fn is_empty(node: &JsonValue) -> bool {
    matches!(node, JsonValue::Text(text) | JsonValue::QueryText(text) if text.is_empty())
}

/// Sets a field mask, unless it would be empty.
pub(super) fn set_mask(message: &mut DynamicMessage, field: &FieldDescriptor, paths: impl Iterator<Item = String>) {
    let paths: Vec<_> = paths.map(Value::String).collect();
    if !paths.is_empty()
        && let Value::Message(mask) = message.get_field_mut(field)
    {
        mask.set_field_by_name("paths", Value::List(paths));
    }
}
