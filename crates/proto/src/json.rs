//! Messages as JSON, with the names of the contract.
//!
//! The mapping is the canonical one of Protocol Buffers, with these choices: keys are the field names (`udf_date_1`), only
//! fields that are set are written, and 64-bit integers are numbers. A date is RFC 3339 in UTC; a field mask is one string of
//! comma-separated lowerCamelCase paths.
//!
//! Reading accepts both forms of a name and takes null for "not set". It collects all errors, and no error repeats a
//! value, which may be a secret.

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};
use prost_types::{FieldMask, Timestamp};
use serde_json::{Map, Value as Json};

use crate::fields::known_names;
use crate::v1::ErrorReason;
use crate::{FieldViolation, descriptor_of, from_dynamic, to_dynamic, transcode};

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const FIELD_MASK: &str = "google.protobuf.FieldMask";

/// Returns a message as JSON.
pub fn to_value<M: Message + Name>(message: &M) -> Json {
    dynamic_to_value(&to_dynamic(message))
}

/// Returns a message as JSON, of a type that is known at run time.
pub fn dynamic_to_value(message: &DynamicMessage) -> Json {
    match message.descriptor().full_name() {
        TIMESTAMP => Json::String(from_dynamic::<Timestamp>(message).to_string()),
        FIELD_MASK => Json::String(field_mask_to_string(&from_dynamic(message))),
        _ => {
            let fields = message.fields();
            Json::Object(fields.map(|(field, value)| (field.name().to_owned(), write(&field.kind(), value))).collect())
        }
    }
}

/// Reads a message from JSON. The error lists every violation.
pub fn from_value<M: Message + Name + Default>(json: &Json) -> Result<M, Vec<FieldViolation>> {
    dynamic_from_value(&descriptor_of::<M>(), json).map(|dynamic| from_dynamic(&dynamic))
}

/// Reads a message from JSON as [`from_value`] does, of a type that is known at run time.
pub fn dynamic_from_value(descriptor: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, Vec<FieldViolation>> {
    let mut reader = Reader::default();
    let dynamic = reader.message(descriptor, json, "");
    dynamic.filter(|_| reader.violations.is_empty()).ok_or(reader.violations)
}

/// Returns the canonical form of a field mask: that of `udf_date_1` and `a_b.c_d` is `udfDate1,aB.cD`.
pub fn field_mask_to_string(mask: &FieldMask) -> String {
    mask.paths.iter().map(|path| lower_camel_case(path)).collect::<Vec<_>>().join(",")
}

/// Reads a field mask in its canonical form. Field names as in the contract are accepted too, and blanks around paths.
///
/// The canonical forms of `a_1` and `a1` are equal. No field of the contract has a digit after a letter (a test checks
/// it), so a digit always begins a word here.
pub fn field_mask_from_str(text: &str) -> FieldMask {
    let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty());
    FieldMask { paths: paths.map(snake_case).collect() }
}

fn lower_camel_case(path: &str) -> String {
    let mut camel = String::new();
    let mut upper = false;
    for letter in path.chars() {
        if letter == '_' {
            upper = true;
        } else {
            camel.push(if upper { letter.to_ascii_uppercase() } else { letter });
            upper = false;
        }
    }
    camel
}

fn snake_case(path: &str) -> String {
    let mut snake = String::new();
    let mut before = '.';
    for letter in path.chars() {
        let digits_begin = letter.is_ascii_digit() && before.is_ascii_alphabetic();
        if before != '.' && before != '_' && (letter.is_ascii_uppercase() || digits_begin) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        before = letter;
    }
    snake
}

fn write(kind: &Kind, value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::I32(value) => Json::from(*value),
        Value::I64(value) => Json::from(*value),
        Value::F64(value) => write_float(*value),
        Value::String(value) => Json::String(value.clone()),
        Value::EnumNumber(number) => write_enum(kind, *number),
        Value::Message(message) => dynamic_to_value(message),
        Value::List(values) => Json::Array(values.iter().map(|value| write(kind, value)).collect()),
        // No field of the contract has such a type. A test checks it.
        Value::U32(_) | Value::U64(_) | Value::F32(_) | Value::Bytes(_) | Value::Map(_) => Json::Null,
    }
}

fn write_float(value: f64) -> Json {
    if value.is_finite() {
        Json::from(value)
    } else if value.is_nan() {
        Json::from("NaN")
    } else {
        Json::from(if value > 0.0 { "Infinity" } else { "-Infinity" })
    }
}

fn write_enum(kind: &Kind, number: i32) -> Json {
    let value = kind.as_enum().and_then(|descriptor| descriptor.get_value(number));
    value.map_or_else(|| Json::from(number), |value| Json::from(value.name()))
}

/// Reads messages and collects violations.
#[derive(Default)]
struct Reader {
    violations: Vec<FieldViolation>,
}

impl Reader {
    fn message(&mut self, descriptor: &MessageDescriptor, json: &Json, path: &str) -> Option<DynamicMessage> {
        match (descriptor.full_name(), json) {
            (TIMESTAMP, Json::String(text)) => match read_timestamp(text) {
                Some(timestamp) => Some(transcode(descriptor.clone(), &timestamp)),
                None => self.invalid(path, "must be a date and time as in RFC 3339, such as 2017-09-14T12:18:01Z"),
            },
            (FIELD_MASK, Json::String(text)) => Some(transcode(descriptor.clone(), &field_mask_from_str(text))),
            (TIMESTAMP, _) => self.invalid(path, "must be a date and time in a string"),
            (FIELD_MASK, _) => self.invalid(path, "must be a string of comma-separated paths"),
            (_, Json::Object(members)) => Some(self.members(descriptor, members, path)),
            _ => self.invalid(path, "must be an object"),
        }
    }

    fn members(&mut self, descriptor: &MessageDescriptor, members: &Map<String, Json>, path: &str) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for (key, json) in members {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let field = descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key));
            let Some(field) = field else {
                let description = format!("unknown field; known: {}", known_names(descriptor).join(", "));
                self.violations.push(FieldViolation::new(ErrorReason::UnknownField, path, description));
                continue;
            };
            if json.is_null() {
                continue;
            }
            if let Some(other) = set_already(&message, &field) {
                let description = format!("excludes `{other}`: only one of them may be given");
                self.violations.push(FieldViolation::new(ErrorReason::InvalidIdentifier, path, description));
                continue;
            }
            if let Some(value) = self.field(&field, json, &path) {
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, json: &Json, path: &str) -> Option<Value> {
        if !field.is_list() {
            return self.value(&field.kind(), json, path);
        }
        let Some(items) = json.as_array() else { return self.invalid(path, "must be an array") };
        let items = items.iter().enumerate();
        let values = items.filter_map(|(index, json)| self.value(&field.kind(), json, &format!("{path}[{index}]")));
        Some(Value::List(values.collect()))
    }

    fn value(&mut self, kind: &Kind, json: &Json, path: &str) -> Option<Value> {
        let value = match kind {
            Kind::Message(descriptor) => return self.message(descriptor, json, path).map(Value::Message),
            Kind::Enum(descriptor) => return self.enumeration(descriptor, json, path),
            Kind::String => json.as_str().map(|text| Value::String(text.to_owned())).ok_or("must be a string"),
            Kind::Bool => json.as_bool().map(Value::Bool).ok_or("must be true or false"),
            Kind::Double => read_float(json).map(Value::F64).ok_or("must be a number"),
            Kind::Int32 => integer(json).map(Value::I32).ok_or("must be an integer of 32 bits"),
            Kind::Int64 => integer(json).map(Value::I64).ok_or("must be an integer of 64 bits"),
            // No field of the contract has another type. A test checks it.
            _ => Err("cannot be given as JSON"),
        };
        value.map_or_else(|description| self.invalid(path, description), Some)
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor, json: &Json, path: &str) -> Option<Value> {
        let by_name = json.as_str().and_then(|name| descriptor.get_value_by_name(name));
        let by_number = || json.as_i64().and_then(|number| descriptor.get_value(i32::try_from(number).ok()?));
        if let Some(value) = by_name.or_else(by_number) {
            return Some(Value::EnumNumber(value.number()));
        }
        let names: Vec<_> =
            descriptor.values().filter(|value| value.number() != 0).map(|v| v.name().to_owned()).collect();
        self.invalid(path, &format!("must be one of {}", names.join(", ")))
    }

    fn invalid<T>(&mut self, path: &str, description: &str) -> Option<T> {
        self.violations.push(FieldViolation::invalid(path, description));
        None
    }
}

/// Returns the name of a field of the same oneof, or of the same field under its other name, that was already read.
fn set_already(message: &DynamicMessage, field: &FieldDescriptor) -> Option<String> {
    let same: Vec<_> = field.containing_oneof().map_or_else(|| vec![field.clone()], |oneof| oneof.fields().collect());
    same.iter().find(|other| message.has_field(other)).map(|other| other.name().to_owned())
}

/// Reads an integer. It may be a number, also in the form `3.0`, or a string.
fn integer<T: TryFrom<i64>>(json: &Json) -> Option<T> {
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    let number = match json {
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    number.and_then(|number| T::try_from(number).ok())
}

fn read_float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        // "NaN" and "Infinity" are the canonical forms. The service decides whether a number must be finite.
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Reads a date in RFC 3339, which has a `T` and an offset, within the years 1 to 9999. This is the canonical form of
/// the contract. The domain reads the other forms of dates, in which the HTTP API and imports have them; this crate
/// knows no other crate.
fn read_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let zone = bytes.last().is_some_and(|last| last.eq_ignore_ascii_case(&b'Z'))
        || bytes.len().checked_sub(6).is_some_and(|at| matches!(bytes[at], b'+' | b'-') && bytes[at + 3] == b':');
    if !text.is_ascii() || bytes.len() < 20 || !bytes[10].eq_ignore_ascii_case(&b'T') || !zone {
        return None;
    }
    let timestamp: Timestamp = text.parse().ok()?;
    (-62_135_596_800..=253_402_300_799).contains(&timestamp.seconds).then_some(timestamp)
}
