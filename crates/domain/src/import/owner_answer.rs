//! Saved answers about owners. The access tokens that are nested in them are imported, with the owner as their
//! reference.

use serde_json::Value;

use super::entity::Entity;
use super::merge::empty_document;
use super::record::{Kind, MAX_RECORD_BYTES, Object, Record};
use super::reference;
use super::token_answer::{Answers, token_record};
use crate::model::directory::{
    AccountsReceivable, Classification, ContactInformation, Country, Industry, IndustrySector, RewardsParticipant,
};
use crate::{Error, Reason, Result};

/// Members that hold an access token, or a list of them.
const NESTED_MEMBERS: [&str; 3] = ["access_token", "access_tokens", "access_tokens_set"];
/// Maximum size of the copies of one owner, one for each of its access tokens, in bytes.
const MAX_COPIES_BYTES: usize = 64 * 1_024 * 1_024;

/// Returns whether an object of an answer is an owner, with or without access tokens, and not an access token itself.
pub(super) fn is_owner(object: &Object) -> bool {
    !object.contains_key("authentication_code") && NESTED_MEMBERS.into_iter().any(|name| object.contains_key(name))
}

/// Returns the access tokens of an owner. Members of the owner that this service does not store are removed and
/// counted.
pub(super) fn records(mut owner: Object, answers: Answers) -> Result<Vec<Record>> {
    let mut tokens = Vec::new();
    for name in NESTED_MEMBERS {
        match owner.remove(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(token)) => tokens.push(token),
            Some(Value::Array(items)) => {
                for item in items {
                    let Value::Object(token) = item else { return Err(refused(name, "must be an array of objects")) };
                    tokens.push(token);
                }
            }
            Some(_) => return Err(refused(name, "must be an object or an array of objects")),
        }
    }
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let kind = kind(&owner).ok_or_else(|| {
        refused("life_cycle_state", "does not tell whether this is an accounts receivable or a rewards participant")
    })?;
    let ignored = prune(kind, &mut owner);
    let bytes = serde_json::to_string(&owner).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_RECORD_BYTES || bytes.saturating_mul(tokens.len()) > MAX_COPIES_BYTES {
        return Err(Error::new(
            Reason::RequestTooLarge,
            "the owner of the access tokens is too large, or has too many",
        ));
    }
    let mut records = Vec::with_capacity(tokens.len());
    for mut token in tokens {
        let member = token.entry(kind.name()).or_insert(Value::Null);
        if member.is_null() {
            *member = Value::Object(owner.clone());
        }
        records.push(token_record(token, answers)?);
    }
    if let Some(first) = records.first_mut() {
        first.ignored_members = ignored;
    }
    Ok(records)
}

fn refused(member: &str, what: &str) -> Error {
    Error::field(Reason::InvalidFieldValue, format!("data.{member}"), what)
}

/// Returns the kind of an owner, by members and states that only one of the two kinds has.
fn kind(owner: &Object) -> Option<Kind> {
    let has = |name: &str| owner.contains_key(name);
    let state = owner.get("life_cycle_state").and_then(Value::as_str);
    if has("sign_up_on") || has("participating_schemes_set") || has("accounts_receivable") || state == Some("EFFECTIVE")
    {
        Some(Kind::RewardsParticipant)
    } else if has("account_owner") || matches!(state, Some("ACTIVE" | "SUSPENDED")) {
        Some(Kind::AccountsReceivable)
    } else {
        None
    }
}

/// Removes the members of an object, and of those embedded in it, that its kind does not have. Returns their number.
fn prune(kind: Kind, object: &mut Object) -> usize {
    let Some(known) = known(kind) else { return 0 };
    let mut removed = retain(object, &known);
    for name in ["demographics", "company_profile"] {
        if let (Some(Value::Object(document)), Some(Value::Object(known))) =
            (object.get_mut(name), empty_document(name))
        {
            removed += retain(document, &known);
        }
    }
    for (path, kind) in reference::members(kind) {
        if let Some(Value::Object(embedded)) = reference::at(object, path) {
            removed += prune(*kind, embedded);
        }
    }
    removed
}

fn retain(object: &mut Object, known: &Object) -> usize {
    let before = object.len();
    object.retain(|name, _| known.contains_key(name));
    before - object.len()
}

/// Returns an object of a kind that owners embed, with every member that it can have.
fn known(kind: Kind) -> Option<Object> {
    fn members<T: Entity>() -> Option<Object> {
        serde_json::to_value(T::new("")).ok()?.as_object().cloned()
    }
    match kind {
        Kind::AccountsReceivable => members::<AccountsReceivable>(),
        Kind::RewardsParticipant => members::<RewardsParticipant>(),
        Kind::ContactInformation => members::<ContactInformation>(),
        Kind::Country => members::<Country>(),
        Kind::Industry => members::<Industry>(),
        Kind::IndustrySector => members::<IndustrySector>(),
        Kind::Classification => members::<Classification>(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{parse, parse_with};
    use super::*;

    fn taken(data: Value) -> Vec<Record> {
        parse(&json!({"status": {"code": "OK"}, "data": data}).to_string()).expect("taken")
    }

    fn token(code: &str) -> Value {
        json!({"id": code, "number": code, "authentication_code": code, "life_cycle_state": "EFFECTIVE", "udf_string_1": "x"})
    }

    #[test]
    fn tokens_of_a_participant_have_it_as_their_owner() {
        let participant = json!({
            "id": "P", "number": "RP1", "life_cycle_state": "EFFECTIVE", "sign_up_on": "2014-08-05T15:49:59", "udf_float_1": 10,
            "accounts_receivable": {"id": "A", "number": "ACR1", "balance": 7, "account_owner": {"id": "C", "phones": [], "demographics": {"gender": "MALE", "shoe_size": 9}}},
            "access_token": token("1"), "access_tokens_set": [token("2"), token("3")],
        });
        let records = taken(json!([participant, {"id": "Q", "sign_up_on": null, "access_token": null}]));
        assert_eq!(records.len(), 3);
        let owner = json!({
            "id": "P", "number": "RP1", "life_cycle_state": "EFFECTIVE",
            "accounts_receivable": {"id": "A", "number": "ACR1", "account_owner": {"id": "C", "demographics": {"gender": "MALE"}}},
        });
        for (record, code) in records.iter().zip(["1", "2", "3"]) {
            assert_eq!((record.kind, &record.object["authentication_code"]), (Kind::AccessToken, &json!(code)));
            assert_eq!(record.object["rewards_participant"], owner);
        }
        assert_eq!(records.iter().map(|record| record.ignored_members).sum::<usize>(), 5);
    }

    #[test]
    fn tokens_of_an_account_have_it_as_their_owner() {
        let records =
            taken(json!({"id": "A", "number": "ACR1", "life_cycle_state": "ACTIVE", "access_tokens": [token("1")]}));
        assert_eq!(
            records[0].object["accounts_receivable"],
            json!({"id": "A", "number": "ACR1", "life_cycle_state": "ACTIVE"})
        );
        assert_eq!(records[0].ignored_members, 0);
    }

    #[test]
    fn what_is_no_whole_token_or_no_owner_is_refused() {
        let refused = |data: Value, answers| {
            let text = json!({ "data": data }).to_string();
            parse_with(&text, answers).expect_err("refused").message().to_owned()
        };
        let short = json!({"id": "A", "life_cycle_state": "ACTIVE", "access_token": {"id": "T", "number": "AT1"}});
        assert!(refused(short.clone(), Answers::Complete).contains("authentication_code"));
        let taken = parse_with(&json!({ "data": short }).to_string(), Answers::Incomplete).expect("taken");
        assert!(taken[0].incomplete);
        for bad in [
            json!({"id": "A", "life_cycle_state": "ACTIVE", "access_tokens": [7]}),
            json!({"id": "A", "life_cycle_state": "ACTIVE", "access_token": "x"}),
            json!({"id": "A", "life_cycle_state": "TERMINATED", "access_token": token("1")}),
        ] {
            refused(bad, Answers::Incomplete);
        }
        let large =
            json!({"id": "A", "name": "x".repeat(300_000), "life_cycle_state": "ACTIVE", "access_token": token("1")});
        assert!(refused(large, Answers::Complete).contains("too large"));
    }
}
