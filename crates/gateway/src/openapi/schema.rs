//! Schemas of requests and responses, by the same rules by which they are read and written.

use std::collections::BTreeMap;

use access_tokens_proto::options::{field_info, is_optional, is_required};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;
use crate::request::{FIELDS_SET, KeyTarget, TOKEN, UPDATE_MASK, is_choice, is_object, keys};
use crate::response::NEVER_NULL;
use crate::{Release, names};

const TIMESTAMP: &str = "google.protobuf.Timestamp";
/// A date without a zone.
const DATE: &str = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d$";
/// A number in a string.
const NUMBER: &str = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$";
const INTEGER: &str = "^-?[0-9]+$";

/// Builds schemas and keeps those that others refer to.
pub(super) struct Schemas<'a> {
    pub(super) comments: &'a Comments,
    release: Release,
    /// The schemas that others refer to, by name.
    pub(super) named: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(comments: &'a Comments, release: Release) -> Self {
        Self { comments, release, named: BTreeMap::new() }
    }

    /// Returns a reference to the schema of an object in a response.
    pub(super) fn answer(&mut self, message: &MessageDescriptor) -> Value {
        let name = message.name().to_owned();
        if !self.named.contains_key(&name) {
            self.named.insert(name.clone(), Value::Null);
            let present = message.fields().filter(|field| names::is_present(field, self.release)).collect::<Vec<_>>();
            let properties: Map<_, _> =
                present.iter().map(|field| (names::key(field, self.release), self.answer_field(field))).collect();
            let description = self.comments.of_message(message);
            let order: Vec<_> = present.iter().map(|field| names::key(field, self.release)).collect();
            let schema =
                json!({ "type": "object", "description": description, "properties": properties, "x-order": order });
            self.named.insert(name.clone(), schema);
        }
        reference(&name)
    }

    fn answer_field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(message) if message.full_name() == TIMESTAMP => {
                json!({ "type": ["string", "null"], "pattern": DATE, "examples": ["2015-05-27T12:03:05"] })
            }
            Kind::Message(message) if NEVER_NULL.contains(&message.full_name()) => self.answer(&message),
            Kind::Message(message) => json!({ "anyOf": [self.answer(&message), { "type": "null" }] }),
            Kind::Enum(values) => {
                let names: Vec<_> = value_names(&values).into_iter().map(Value::from).chain([Value::Null]).collect();
                json!({ "type": ["string", "null"], "enum": names })
            }
            kind => json!({ "type": [type_name(&kind), "null"] }),
        };
        if field.is_list() {
            schema = json!({ "type": "array", "items": schema });
        }
        self.annotate(&mut schema, field);
        schema
    }

    /// Returns a reference to the schema of a request's body.
    pub(super) fn request(&mut self, message: &MessageDescriptor, with_token: bool) -> Value {
        let name = message.name().to_owned();
        if !self.named.contains_key(&name) {
            let mut schema = self.members(message, &keys(message), false);
            if with_token {
                schema["properties"][TOKEN] = json!({
                    "type": ["string", "null"],
                    "description": "The session token, unless it is in the `Authorization` header.",
                });
            }
            let chosen: Vec<_> = message.fields().filter(in_choice).collect();
            if !chosen.is_empty() {
                schema["oneOf"] = alternatives(&chosen);
            }
            schema["description"] = self.comments.of_message(message).into();
            self.named.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// Returns the schema of an object in a request: one schema for each alternative, if it has alternatives.
    fn object(&mut self, message: &MessageDescriptor) -> Value {
        let name = message.name().to_owned();
        if !self.named.contains_key(&name) {
            let mut schema = if message.oneofs().any(|oneof| is_choice(&oneof)) {
                let alternatives = message.fields().map(|field| {
                    let own: Vec<_> = keys(message).into_iter().filter(|target| *target.outer() == field).collect();
                    self.members(message, &own, true)
                });
                json!({ "oneOf": alternatives.collect::<Vec<_>>() })
            } else {
                self.members(message, &keys(message), false)
            };
            schema["description"] = self.comments.of_message(message).into();
            self.named.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// Returns the schema of the keys of a message: of all, or of those of one alternative, which is then required.
    fn members(&mut self, message: &MessageDescriptor, targets: &[KeyTarget], alternative: bool) -> Value {
        let nullable = message.get_field_by_name(UPDATE_MASK).is_some();
        let mut properties = Map::new();
        let mut required = Vec::new();
        for target in targets {
            let field = target.field();
            let in_choice = in_choice(field);
            let must = is_required(field) || (in_choice && alternative);
            let mut schema = self.request_field(field, !must);
            // An identifier or a required field is not empty.
            if (must || in_choice) && field.kind() == Kind::String {
                schema["minLength"] = 1.into();
            }
            if nullable && !is_object(field) && field.name() != FIELDS_SET {
                schema["x-null"] = "empties the field".into();
            }
            self.annotate(&mut schema, field);
            properties.insert(field.name().to_owned(), schema);
            if must {
                required.push(field.name().to_owned());
            }
        }
        let order: Vec<_> = targets.iter().map(|target| target.field().name().to_owned()).collect();
        let mut schema =
            json!({ "type": "object", "properties": properties, "additionalProperties": false, "x-order": order });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }

    fn request_field(&mut self, field: &FieldDescriptor, nullable: bool) -> Value {
        if !field.is_list() {
            return self.request_value(field, nullable);
        }
        let types: &[&str] = if nullable { &["array", "null"] } else { &["array"] };
        json!({ "type": types, "items": self.request_value(field, false) })
    }

    fn request_value(&mut self, field: &FieldDescriptor, nullable: bool) -> Value {
        let types = |names: &[&str]| -> Value {
            names.iter().copied().chain(nullable.then_some("null")).map(Value::from).collect::<Vec<_>>().into()
        };
        match field.kind() {
            Kind::Message(message) if is_object(field) => {
                let schema = self.object(&message);
                if nullable { json!({ "anyOf": [schema, { "type": "null" }] }) } else { schema }
            }
            // The schema leaves out the form with the name of a time zone, because it cannot list the names. The description has it.
            Kind::Message(message) if message.full_name() == TIMESTAMP => json!({
                "anyOf": [{ "type": types(&["string"]), "format": "date-time" }, { "type": "string", "pattern": DATE }],
                "examples": ["2015-11-27T16:08:55"],
                "x-date": true,
            }),
            // A list of names.
            Kind::Message(_) => json!({
                "type": types(&["string", "array"]),
                "items": { "type": "string" },
                "examples": ["id,number"],
            }),
            Kind::Enum(values) => {
                let names = value_names(&values).into_iter().map(Value::from).chain(nullable.then_some(Value::Null));
                json!({ "type": types(&["string"]), "enum": names.collect::<Vec<_>>() })
            }
            Kind::String => json!({ "type": types(&["string", "integer"]) }),
            Kind::Double => {
                json!({ "anyOf": [{ "type": types(&["number"]) }, { "type": "string", "pattern": NUMBER }] })
            }
            kind => {
                let mut number = json!({ "type": types(&[type_name(&kind)]) });
                if kind == Kind::Int32 {
                    number["minimum"] = i32::MIN.into();
                    number["maximum"] = i32::MAX.into();
                }
                json!({ "anyOf": [number, { "type": "string", "pattern": INTEGER }] })
            }
        }
    }

    /// Returns the parameters of a query.
    pub(super) fn parameters(&mut self, message: &MessageDescriptor) -> Vec<Value> {
        let parameters = keys(message).into_iter().map(|target| {
            let field = target.field();
            let mut schema = match field.kind() {
                Kind::Message(message) if is_object(field) => {
                    let names: Vec<_> = keys(&message).iter().map(|target| target.field().name().to_owned()).collect();
                    json!({ "type": "string", "pattern": format!("^({})=.", names.join("|")) })
                }
                Kind::Enum(values) => json!({ "type": "string", "enum": value_names(&values) }),
                Kind::Int32 => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
                Kind::Int64 | Kind::Double => json!({ "type": type_name(&field.kind()) }),
                _ => json!({ "type": "string" }),
            };
            self.annotate(&mut schema, field);
            json!({ "name": field.name(), "in": "query", "required": is_required(field), "schema": schema })
        });
        parameters.collect()
    }

    /// Adds the facts that the contract states about a field in addition to its type.
    fn annotate(&self, schema: &mut Value, field: &FieldDescriptor) {
        let info = field_info(field);
        schema["description"] = self.comments.of_field(field).into();
        if let Some(from) = info.available_from {
            schema["x-available-from"] = from.into();
        }
        if let Some(from) = info.deprecated_from {
            if self.release.has(Some(&from)) {
                schema["deprecated"] = true.into();
            }
            schema["x-deprecated-from"] = from.into();
        }
    }
}

/// Returns whether a field is an alternative that the caller chooses.
fn in_choice(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| is_choice(&oneof))
}

/// Returns the schema of an object that has exactly one of several keys. Null counts as absent. If the contract says that they are
/// optional, the object may also have none.
fn alternatives(fields: &[FieldDescriptor]) -> Value {
    let only = |given: Option<&FieldDescriptor>| {
        let properties = fields.iter().map(|field| {
            let unset = json!({ "type": "null" });
            (field.name().to_owned(), if given == Some(field) { json!({ "not": unset }) } else { unset })
        });
        let required: Vec<_> = given.iter().map(|field| field.name()).collect();
        json!({ "required": required, "properties": properties.collect::<Map<_, _>>() })
    };
    let none = fields.iter().any(is_optional).then(|| only(None));
    fields.iter().map(|field| only(Some(field))).chain(none).collect()
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Double => "number",
        Kind::Int32 | Kind::Int64 => "integer",
        _ => "string",
    }
}

fn value_names(values: &EnumDescriptor) -> Vec<String> {
    values.values().filter(|value| value.number() != 0).map(|value| value.name().to_owned()).collect()
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
