//! Saved answers of the original API, as records.
//!
//! Answers of all methods have the same envelope. Only answers about access tokens are accepted: each of their objects
//! has an authentication code and a state among its members, null or not. No other object has a state of the same
//! meaning. Answers about owners are accepted for the access tokens that are nested in them.

use serde_json::Value;

use super::owner_answer;
use super::record::{Object, Record};
use super::token_answer::{Answers, token_record};
use crate::{Error, Reason, Result};

/// Maximum length of a code or message of another system that an error quotes, in characters.
const MAX_QUOTE_LENGTH: usize = 200;

/// Returns the records of an answer.
pub(super) fn records(mut answer: Object, answers: Answers) -> Result<Vec<Record>> {
    let (status, data) = (answer.remove("status"), answer.remove("data"));
    if let Some(unknown) = answer.keys().next() {
        let unknown: String = unknown.chars().take(64).collect();
        return Err(Error::field(Reason::UnknownField, unknown, "does not belong to an answer (status, data)"));
    }
    check_status(status.as_ref())?;
    let items = match data {
        Some(Value::Array(items)) => items,
        Some(Value::Null) | None => Vec::new(),
        Some(item) => vec![item],
    };
    let mut records = Vec::with_capacity(items.len());
    for item in items {
        records.extend(records_of(item, answers)?);
    }
    Ok(records)
}

/// Refuses an answer whose status is an error, even if it has data.
fn check_status(status: Option<&Value>) -> Result<()> {
    let text = |name: &str| status.and_then(|status| status.get(name)).and_then(Value::as_str);
    match status {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(_)) if text("code") == Some("OK") => Ok(()),
        Some(_) => {
            let (code, message) =
                (quote(text("code").unwrap_or("no code")), quote(text("message").unwrap_or_default()));
            let what = format!("the answer is not OK but {code}: {message}");
            Err(Error::field(Reason::InvalidFieldValue, "status.code", what.trim_end_matches(": ")))
        }
    }
}

fn quote(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_QUOTE_LENGTH).collect()
}

/// Returns the access tokens of one object of an answer: the object itself, or those that are nested in an owner.
fn records_of(item: Value, answers: Answers) -> Result<Vec<Record>> {
    let Value::Object(object) = item else {
        return Err(Error::field(Reason::InvalidFieldValue, "data", "must be an object or an array of objects"));
    };
    if owner_answer::is_owner(&object) {
        return owner_answer::records(object, answers);
    }
    token_record(object, answers).map(|record| vec![record])
}

#[cfg(test)]
mod tests {
    use super::super::{parse, parse_with};
    use super::*;

    fn refused(text: &str, answers: Answers) -> String {
        parse_with(text, answers).expect_err(text).message().to_owned()
    }

    #[test]
    fn an_answer_that_refuses_is_refused_with_its_code() {
        let text = r#"{"status": {"code": "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION", "message": "Expired"}, "data": {"authentication_code": "7", "life_cycle_state": "EFFECTIVE"}}"#;
        for answers in [Answers::Complete, Answers::Incomplete] {
            let message = refused(text, answers);
            assert!(message.contains("INVALIDTOKENEXCEPTION") && message.contains("Expired"), "{message}");
        }
        for status in ["{}", "7", r#"{"code": null}"#, r#"{"code": "ok"}"#, r#"{"code": "OK "}"#] {
            refused(&format!(r#"{{"status": {status}, "data": []}}"#), Answers::Incomplete);
        }
        assert!(parse(r#"{"status": {"code": "OK"}}"#).expect("nothing").is_empty());
    }

    #[test]
    fn answers_about_something_else_are_refused_and_said_to_be() {
        for (data, what) in [
            (
                r#"{"id": "1", "number": "RP1", "life_cycle_state": "EFFECTIVE", "sign_up_on": "2015-01-01T00:00:00"}"#,
                "participant",
            ),
            (r#"{"id": "1", "number": "ACR1", "life_cycle_state": "ACTIVE"}"#, "accounts receivable"),
            (r#"{"id": "1", "number": "ACR1", "account_owner": null}"#, "accounts receivable"),
            (r#"{"id": "1", "number": "AT1", "one_time_password": "1", "expiration_date": null}"#, "generate_otp"),
            (r#"{"token": "abc"}"#, "login"),
            (r#"{"id": "1", "name": "Card", "alternative_code": "C"}"#, "classification"),
            (r#"{"id": "1", "name": "Card", "alternative_code": "C", "description": "plastic"}"#, "classification"),
        ] {
            for text in
                [format!(r#"{{"status": {{"code": "OK"}}, "data": {data}}}"#), format!(r#"{{"data": [{data}]}}"#)]
            {
                for answers in [Answers::Complete, Answers::Incomplete] {
                    let message = refused(&text, answers);
                    assert!(message.contains(what) && !message.contains("abc"), "{message}");
                }
            }
        }
    }

    #[test]
    fn incomplete_answers_are_taken_when_that_is_allowed() {
        let text =
            r#"{"status":{"code":"OK"},"data":{"id":"A3FE","number":"RP0000000916","life_cycle_state":"EFFECTIVE"}}"#;
        assert!(refused(text, Answers::Complete).contains("authentication_code"));
        assert!(parse_with(text, Answers::Incomplete).expect("taken")[0].incomplete);
        let whole =
            r#"{"data": {"authentication_code": "7", "life_cycle_state": "EFFECTIVE", "random_pass_code": "1234"}}"#;
        let record = parse(whole).expect("taken").remove(0);
        assert!(!record.incomplete && !record.object.contains_key("random_pass_code"));
        // A state of null counts as no state: a new token with it is not effective.
        assert!(parse(&whole.replace(r#""EFFECTIVE""#, "null")).expect("taken")[0].incomplete);
    }
}
