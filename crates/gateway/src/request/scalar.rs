//! Single values as old clients send them: numbers in texts and texts as numbers.

use access_tokens_domain::time::{self, DateError, TimeZone};
use access_tokens_proto::FieldViolation;
use access_tokens_proto::v1::ErrorReason;
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, Value};

use crate::json::JsonValue;

/// Reads a value of this kind. The error says what the value must be.
pub(super) fn read(kind: &Kind, node: &JsonValue, zone: TimeZone) -> Result<Value, String> {
    match kind {
        Kind::String => text(node).map(Value::String),
        Kind::Int32 => integer(node, "must be an integer of 32 bits").map(Value::I32),
        Kind::Int64 => integer(node, "must be an integer of 64 bits").map(Value::I64),
        Kind::Double => float(node).map(Value::F64),
        Kind::Bool => bool(node).map(Value::Bool),
        Kind::Enum(values) => choice(values, node).map(Value::EnumNumber),
        Kind::Message(_) => timestamp(kind, node, zone),
        // No field of the contract has another type.
        _ => Err("cannot be given".to_owned()),
    }
}

/// Returns the text of a session token among the parameters.
pub(super) fn token(node: JsonValue) -> Result<Option<String>, FieldViolation> {
    match node {
        JsonValue::Null => Ok(None),
        node => match text(&node) {
            Ok(token) => Ok(Some(token).filter(|token| !token.is_empty())),
            Err(what) => Err(FieldViolation::new(ErrorReason::InvalidFieldValue, "token", what)),
        },
    }
}

/// Returns the texts of a list that is given as one text, or as an array of texts.
pub(super) fn comma_separated(node: &JsonValue) -> Result<Vec<String>, String> {
    let split = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let wrong = || "must be a string of comma-separated names".to_owned();
    match node {
        JsonValue::Null => Ok(Vec::new()),
        JsonValue::Text(text) | JsonValue::QueryText(text) => Ok(split(text)),
        JsonValue::List(items) => {
            let texts =
                items.iter().map(|item| if let JsonValue::Text(text) = item { Ok(split(text)) } else { Err(wrong()) });
            texts.collect::<Result<Vec<_>, _>>().map(|texts| texts.concat())
        }
        _ => Err(wrong()),
    }
}

/// Returns a text. An integer counts as its digits.
fn text(node: &JsonValue) -> Result<String, String> {
    match node {
        JsonValue::Text(text) | JsonValue::QueryText(text) => Ok(text.clone()),
        JsonValue::Number(digits) if is_integer(digits) => Ok(digits.clone()),
        JsonValue::Number(_) => Err("must be a string: a number counts as one only if it is an integer".to_owned()),
        _ => Err("must be a string".to_owned()),
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Returns the characters of a number in JSON or in a text.
fn number(node: &JsonValue) -> Option<&str> {
    let text = match node {
        JsonValue::Number(text) | JsonValue::Text(text) | JsonValue::QueryText(text) => text,
        _ => return None,
    };
    // Rust reads more forms than JSON has: "inf", "nan", "+1".
    let known = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    (known && !text.starts_with('+')).then_some(text)
}

/// Reads an integer, also as `3.0`.
fn integer<T: TryFrom<i64>>(node: &JsonValue, what: &str) -> Result<T, String> {
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    let text = number(node).ok_or(what)?;
    let integer = text.parse::<i64>().ok().or_else(|| text.parse().ok().and_then(whole));
    integer.and_then(|integer| T::try_from(integer).ok()).ok_or_else(|| what.to_owned())
}

fn float(node: &JsonValue) -> Result<f64, String> {
    let float = number(node).and_then(|text| text.parse().ok());
    float.filter(|float: &f64| float.is_finite()).ok_or_else(|| "must be a number".to_owned())
}

fn bool(node: &JsonValue) -> Result<bool, String> {
    match node {
        JsonValue::Bool(value) => Ok(*value),
        JsonValue::Text(text) | JsonValue::QueryText(text) if text == "true" => Ok(true),
        JsonValue::Text(text) | JsonValue::QueryText(text) if text == "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn choice(values: &EnumDescriptor, node: &JsonValue) -> Result<i32, String> {
    let named = values.values().filter(|value| value.number() != 0).collect::<Vec<_>>();
    let found = match node {
        JsonValue::Text(name) | JsonValue::QueryText(name) => named.iter().find(|value| value.name() == name),
        _ => None,
    };
    found.map(|value| value.number()).ok_or_else(|| {
        let names: Vec<_> = named.iter().map(|value| value.name()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// Reads a date. It is the only message that is written as a text.
fn timestamp(kind: &Kind, node: &JsonValue, zone: TimeZone) -> Result<Value, String> {
    let text = match node {
        JsonValue::Text(text) | JsonValue::QueryText(text) => text,
        _ => return Err(DateError::Form.to_string()),
    };
    let time = time::read(text, zone).map_err(|error| error.to_string())?;
    let descriptor = kind.as_message().ok_or("cannot be given")?;
    let mut timestamp = DynamicMessage::new(descriptor.clone());
    timestamp.set_field_by_name("seconds", Value::I64(time.timestamp()));
    timestamp.set_field_by_name("nanos", Value::I32(time.timestamp_subsec_nanos() as i32));
    Ok(Value::Message(timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_node(text: &str) -> [JsonValue; 3] {
        [JsonValue::Number(text.to_owned()), JsonValue::Text(text.to_owned()), JsonValue::QueryText(text.to_owned())]
    }

    #[test]
    fn numbers_are_read_from_texts_too() {
        for (text, expected) in [("0", Some(0)), ("-7", Some(-7)), ("3.0", Some(3)), ("1e3", Some(1000)), ("1.5", None)]
        {
            for node in number_node(text) {
                assert_eq!(read(&Kind::Int32, &node, TimeZone::UTC).ok(), expected.map(Value::I32), "{text}");
            }
        }
        for bad in ["", "x", "inf", "NaN", "1e999", " 1", "+1", "0x10", "1_000"] {
            let node = JsonValue::Text(bad.to_owned());
            assert!(read(&Kind::Double, &node, TimeZone::UTC).is_err(), "{bad}");
            assert!(read(&Kind::Int64, &node, TimeZone::UTC).is_err(), "{bad}");
        }
        let large = JsonValue::Number("2147483648".to_owned());
        assert!(
            read(&Kind::Int32, &large, TimeZone::UTC).is_err() && read(&Kind::Int64, &large, TimeZone::UTC).is_ok()
        );
    }

    #[test]
    fn an_integer_is_a_text_by_its_digits() {
        let digits = "123456789012345678901234567890";
        let node = JsonValue::Number(digits.to_owned());
        assert_eq!(read(&Kind::String, &node, TimeZone::UTC), Ok(Value::String(digits.to_owned())));
        for bad in [
            JsonValue::Number("1.0".to_owned()),
            JsonValue::Number("1e3".to_owned()),
            JsonValue::Bool(true),
            JsonValue::List(vec![]),
        ] {
            assert!(read(&Kind::String, &bad, TimeZone::UTC).is_err());
        }
    }

    #[test]
    fn a_list_of_names_is_a_text_or_an_array() {
        let names = |node| comma_separated(&node).expect("names");
        assert_eq!(names(JsonValue::Text(" id , number,, ".to_owned())), ["id", "number"]);
        assert_eq!(
            names(JsonValue::List(vec![JsonValue::Text("id".to_owned()), JsonValue::Text("a.b, c".to_owned())])),
            ["id", "a.b", "c"]
        );
        assert!(names(JsonValue::Text(" ".to_owned())).is_empty() && names(JsonValue::Null).is_empty());
        assert!(
            comma_separated(&JsonValue::Bool(true)).is_err()
                && comma_separated(&JsonValue::List(vec![JsonValue::Null])).is_err()
        );
    }
}
