//! The query of a request: `param=value` and `param=field=value`.

use access_tokens_proto::FieldViolation;
use access_tokens_proto::v1::ErrorReason;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::error::ApiError;
use crate::json::{self, JsonValue};

/// Maximum number of parameters. No method has nearly as many.
const MAX_PARAMETERS: usize = 256;

/// Returns the parameters of a query, in their order.
pub(super) fn parse(query: &str) -> Result<Vec<(String, JsonValue)>, ApiError> {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > MAX_PARAMETERS {
        let message = format!("the query has more than {MAX_PARAMETERS} parameters");
        return Err(ApiError::new(ErrorReason::InvalidFieldValue, StatusCode::BAD_REQUEST, message));
    }
    let parameters = pairs.into_iter().map(|pair| {
        // The first `=` ends the name. Later ones belong to the value, encoded or not.
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name =
            decode(name).ok_or_else(|| FieldViolation::invalid("", "the query holds a name that is not UTF-8"))?;
        let value = decode(value).ok_or_else(|| FieldViolation::invalid(json::join("", &name), "is not UTF-8"))?;
        Ok((name, JsonValue::QueryText(value)))
    });
    parameters.collect::<Result<_, FieldViolation>>().map_err(ApiError::from)
}

/// Returns the members of a parameter that stands for an object: `field=value`, or a JSON object.
pub(super) fn members(value: &str, path: &str) -> Result<Vec<(String, JsonValue)>, FieldViolation> {
    if value.trim_start().starts_with('{') {
        match json::parse(value, path)? {
            JsonValue::Object(members) => return Ok(members),
            _ => return Err(FieldViolation::invalid(path, "must be an object")),
        }
    }
    match value.split_once('=') {
        Some((field, value)) if !field.is_empty() => {
            Ok(vec![(field.to_owned(), JsonValue::QueryText(value.to_owned()))])
        }
        _ => Err(FieldViolation::invalid(path, "must be given as field=value or as a JSON object")),
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(query: &str) -> Vec<(String, String)> {
        let parameters = parse(query).expect("valid");
        let text = |node| if let JsonValue::QueryText(text) = node { text } else { panic!("a text") };
        parameters.into_iter().map(|(name, node)| (name, text(node))).collect()
    }

    #[test]
    fn the_first_equals_sign_ends_the_name() {
        let expected = [("a".to_owned(), "number=ACR001018".to_owned())];
        for query in ["a=number=ACR001018", "a=number%3DACR001018", "a=number%3dACR001018", "&a=number=ACR001018&"] {
            assert_eq!(texts(query), expected, "{query}");
        }
        assert_eq!(
            texts("a=x%26y+z%2B&b&c="),
            [("a", "x&y z+"), ("b", ""), ("c", "")].map(|(a, b)| (a.into(), b.into()))
        );
        assert_eq!(texts(""), []);
    }

    #[test]
    fn an_object_is_given_as_field_and_value_or_in_json() {
        for value in ["name=a=b", r#"{"name":"a=b"}"#, r#" {"name":"a=b"} "#] {
            let members = members(value, "owner").expect("an object");
            assert_eq!(members.len(), 1);
            assert_eq!(members[0].0, "name");
            assert!(matches!(&members[0].1, JsonValue::QueryText(text) | JsonValue::Text(text) if text == "a=b"));
        }
        for bad in ["", "ACR001018", "=x", "[1]", r#"{"name""#] {
            assert_eq!(members(bad, "owner").err().expect("refused").field, "owner", "{bad}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        assert!(parse("a=%ff").is_err() && parse("%ff=a").is_err());
        assert!(parse(&"a=1&".repeat(MAX_PARAMETERS + 1)).is_err());
    }
}
