//! One object of a saved answer, as the record of an access token.

use serde_json::Value;

use super::record::{Kind, Object, Record};
use crate::{Error, Reason, Result};

/// The answers that are accepted as records of access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answers {
    /// Answers whose objects all have an authentication code and a state.
    #[default]
    Complete,
    /// Answers as for [`Self::Complete`], and answers whose objects lack the code or the state, unless they look like
    /// answers about another kind of object. A new token without a state is NOT_EFFECTIVE.
    Incomplete,
}

/// Returns an object of an answer as a record. A new token without a state is not effective, since the answer may be
/// about a blocked one.
pub(super) fn token_record(mut object: Object, answers: Answers) -> Result<Record> {
    let missing = ["authentication_code", "life_cycle_state"].into_iter().find(|name| !object.contains_key(*name));
    if let Some(missing) = missing {
        if let Some(other) = resembles(&object) {
            return Err(Error::field(
                Reason::InvalidFieldValue,
                "data",
                format!("looks like {other}, not an access token"),
            ));
        }
        if answers == Answers::Complete {
            let what =
                format!("has no {missing}: it is no whole answer about access tokens (--allow-incomplete takes it)");
            return Err(Error::field(Reason::InvalidFieldValue, "data", what));
        }
    }
    // The pass code in an answer of reset_pass_code was meant for the customer, who may have changed it since.
    object.remove("random_pass_code");
    let stateless = object.get("life_cycle_state").is_none_or(Value::is_null);
    let record = Record::new(Kind::AccessToken, object)?;
    Ok(Record { incomplete: missing.is_some() || stateless, ..record })
}

/// Returns the probable subject of an answer without the members of an access token.
fn resembles(object: &Object) -> Option<&'static str> {
    let has = |name: &str| object.contains_key(name);
    let state = object.get("life_cycle_state").and_then(Value::as_str);
    if has("sign_up_on") || has("participating_schemes_set") {
        Some("a rewards participant")
    } else if has("account_owner") || matches!(state, Some("ACTIVE" | "SUSPENDED")) {
        Some("an accounts receivable")
    } else if has("one_time_password") {
        Some("an answer of generate_otp")
    } else if has("token") {
        Some("an answer of a login")
    } else if has("name")
        && object.keys().all(|key| ["id", "name", "alternative_code", "description"].contains(&key.as_str()))
    {
        Some("a classification; import it as a record of that kind")
    } else {
        None
    }
}
