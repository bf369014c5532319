//! JSON as a client sends it. Unlike in a `serde_json::Value`, numbers keep their digits, and a key that occurs twice is an error.

use std::collections::HashSet;
use std::fmt;

use access_tokens_proto::FieldViolation;
use access_tokens_proto::fields::shown;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Maximum depth of nesting.
const MAX_DEPTH: usize = 32;

/// A value of a request. It has no `Debug`, because it may be a secret.
pub(crate) enum JsonValue {
    Null,
    Bool(bool),
    /// The digits as they were written.
    Number(String),
    Text(String),
    List(Vec<JsonValue>),
    Object(Vec<(String, JsonValue)>),
    /// A text of the query, where every value is a text. It may stand for a number, or for an object as `field=value`.
    QueryText(String),
}

/// Reads one JSON value.
pub(crate) fn parse(text: &str, path: &str) -> Result<JsonValue, FieldViolation> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
        let place = format!("is not JSON: line {}, column {}", error.line(), error.column());
        FieldViolation::invalid(path, if path.is_empty() { format!("the body {place}") } else { place })
    })?;
    node(raw, path, 1)
}

/// Reads a text that is known to be JSON, except that its strings may hold half of a surrogate pair.
fn node(raw: &RawValue, path: &str, depth: usize) -> Result<JsonValue, FieldViolation> {
    if depth > MAX_DEPTH {
        return Err(FieldViolation::invalid(path, format!("is nested deeper than {MAX_DEPTH}")));
    }
    let text = raw.get();
    let broken = |_| FieldViolation::invalid(path, "holds a text with an invalid escape");
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(broken)?;
            object(members, path, depth)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
            let items = items.into_iter().enumerate();
            let items = items.map(|(index, item)| node(item, &format!("{path}[{index}]"), depth + 1));
            items.collect::<Result<_, _>>().map(JsonValue::List)
        }
        Some(b'"') => serde_json::from_str(text).map(JsonValue::Text).map_err(broken),
        Some(b't') => Ok(JsonValue::Bool(true)),
        Some(b'f') => Ok(JsonValue::Bool(false)),
        Some(b'n') => Ok(JsonValue::Null),
        _ => Ok(JsonValue::Number(text.to_owned())),
    }
}

fn object(members: Vec<(String, &RawValue)>, path: &str, depth: usize) -> Result<JsonValue, FieldViolation> {
    let mut seen = HashSet::new();
    if let Some((key, _)) = members.iter().find(|(key, _)| !seen.insert(key.as_str())) {
        return Err(FieldViolation::invalid(join(path, key), "stands twice"));
    }
    let members = members.into_iter().map(|(key, value)| {
        let value = node(value, &join(path, &key), depth + 1)?;
        Ok((key, value))
    });
    members.collect::<Result<_, FieldViolation>>().map(JsonValue::Object)
}

/// Returns the path of a member.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { shown(key) } else { format!("{path}.{}", shown(key)) }
}

/// The members of an object in their order, including repeated ones.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (String, String) {
        let fault = parse(text, "").err().expect("refused");
        (fault.field, fault.description)
    }

    #[test]
    fn numbers_keep_their_digits() {
        let Ok(JsonValue::List(items)) = parse("[180581, 123456789012345678901234567890, 1.50, -0]", "") else {
            panic!("a list")
        };
        let digits: Vec<_> = items.iter().map(|item| matches!(item, JsonValue::Number(n) if n.len() > 1)).collect();
        assert_eq!(digits, [true; 4]);
        assert!(matches!(&items[1], JsonValue::Number(n) if n == "123456789012345678901234567890"));
    }

    #[test]
    fn a_key_that_stands_twice_is_named() {
        assert_eq!(fault(r#"{"a":1,"a":2}"#), ("a".to_owned(), "stands twice".to_owned()));
        assert_eq!(fault(r#"{"x":{"a":1,"\u0061":2}}"#).0, "x.a");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(MAX_DEPTH), "").is_ok());
        for depth in [MAX_DEPTH + 1, 30_000] {
            assert!(fault(&nested(depth)).1.contains("deeper"));
        }
        let objects = format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
        assert!(fault(&objects).1.contains("deeper"));
    }

    #[test]
    fn what_is_no_json_is_refused_without_repeating_it() {
        for text in ["secret", "{", "{'secret':1}", r#"{"a":secret}"#, "{} secret", "[1,]", "\u{0}", "NaN", "01"] {
            let (_, description) = fault(text);
            assert!(description.contains("is not JSON: line 1") && !description.contains("secret"), "{description}");
        }
        assert_eq!(fault(r#"{"a":"\ud800"}"#).0, "a");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let ours = parse(&text, "").is_ok();
            let serde = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            proptest::prop_assert!(!ours || serde);
        }
    }
}
