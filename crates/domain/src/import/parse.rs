//! Reads records from JSON.

use serde_json::Value;

use super::answer;
use super::merge::Strict;
use super::record::{Kind, Record};
use super::token_answer::Answers;
use crate::{Error, Reason, Result};

/// Returns the records of a JSON text: one record, or those of a whole answer about access tokens.
pub fn parse(text: &str) -> Result<Vec<Record>> {
    parse_with(text, Answers::Complete)
}

/// Returns records as [`parse`] does, with a choice of accepted answers.
pub fn parse_with(text: &str, answers: Answers) -> Result<Vec<Record>> {
    let value: Strict = serde_json::from_str(text).map_err(|error| {
        // The message of serde_json may quote the value, which may be a secret.
        let what = if error.is_eof() { "ends too early" } else { "is not valid JSON" };
        let what = if error.to_string().starts_with("duplicate key") { "has a duplicate key" } else { what };
        Error::field(Reason::InvalidFieldValue, "", format!("{what} (column {})", error.column()))
    })?;
    records(value.0, answers)
}

/// Returns the records of a JSON value: one record, or those of a whole answer about access tokens.
pub fn from_value(value: Value) -> Result<Vec<Record>> {
    records(value, Answers::Complete)
}

fn records(value: Value, answers: Answers) -> Result<Vec<Record>> {
    let Value::Object(object) = value else { return Err(not_a_record()) };
    if object.contains_key("data") || object.contains_key("status") {
        return answer::records(object, answers);
    }
    let mut members = object.into_iter();
    let (Some((key, value)), None) = (members.next(), members.next()) else { return Err(not_a_record()) };
    let Some(kind) = Kind::from_name(&key) else {
        let known: Vec<_> = Kind::ALL.into_iter().map(Kind::name).collect();
        let text = format!("is not a kind of record; known are {}", known.join(", "));
        return Err(Error::field(Reason::UnknownField, key.chars().take(64).collect::<String>(), text));
    };
    match value {
        Value::Object(object) => Ok(vec![Record::new(kind, object)?]),
        _ => Err(Error::field(Reason::InvalidFieldValue, key, "must be an object")),
    }
}

fn not_a_record() -> Error {
    let text = "a record is an object with one key, its kind, or a whole answer with status and data";
    Error::field(Reason::InvalidFieldValue, "", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_key() {
        let records = parse(r#"{"unit": {"id": "1", "name": "Admin"}}"#).expect("a record");
        assert_eq!(records[0].kind, Kind::Unit);
        for bad in ["{}", "[]", "7", r#"{"unit": {}, "user": {}}"#, r#"{"unit": 7}"#, r#"{"card": {}}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_its_tokens() {
        let many = parse(r#"{"status": {"code": "OK"}, "data": [{"authentication_code": "A", "life_cycle_state": "EFFECTIVE"}, {"authentication_code": "B", "life_cycle_state": "EFFECTIVE"}]}"#).expect("two tokens");
        assert_eq!(many.len(), 2);
        assert!(many.iter().all(|record| record.kind == Kind::AccessToken));
        let one = r#"{"data": {"authentication_code": null, "life_cycle_state": null}, "status": null}"#;
        assert_eq!(parse(one).expect("one token").len(), 1);
    }

    #[test]
    fn broken_lines_are_refused_without_their_content() {
        let secret = r#"{"user": {"password": "hunter2"#;
        for bad in
            [secret, r#"{"user": {"password": "hunter2" "x"}}"#, r#"{"user": {"password": 1, "password": "hunter2"}}"#]
        {
            let error = parse(bad).expect_err("refused");
            assert!(!error.message().contains("hunter2"), "{error}");
        }
        assert!(parse(r#"{"user": {"id": "1", "id": "2"}}"#).expect_err("refused").message().contains("duplicate key"));
    }
}
