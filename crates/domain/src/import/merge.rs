//! Merges the members of a record into a stored object.

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::Serialize;
use serde_json::Value;

use super::Object;
use crate::Reason;
use crate::model::directory::{CompanyProfile, DateOfBirth, Demographics, NameDay};
use crate::model::error::Violations;
use crate::model::text;
use crate::model::time::{self, TimeZone};

/// Returns the empty value of a member that is merged member by member. Every other object replaces the stored one.
pub(super) fn empty_document(key: &str) -> Option<Value> {
    match key {
        "demographics" => serde_json::to_value(Demographics::default()).ok(),
        "company_profile" => serde_json::to_value(CompanyProfile::default()).ok(),
        "date_of_birth" => serde_json::to_value(DateOfBirth::default()).ok(),
        "name_day" => serde_json::to_value(NameDay::default()).ok(),
        _ => None,
    }
}

/// Members that are dates. Stored documents have them in RFC 3339.
const DATE_MEMBERS: [&str; 4] =
    ["id_number_expiration_date", "passport_number_expiration_date", "established_date", "vat_registration_date"];

/// Returns the entity with the members of a record merged into it. The error names every field at fault.
///
/// Dates without an offset are in the time zone.
pub(super) fn merge<T: Serialize + DeserializeOwned>(
    entity: &T,
    patch: Object,
    path: &str,
    time_zone: TimeZone,
) -> Result<T, Violations> {
    let mut violations = Violations::default();
    let Ok(Value::Object(mut target)) = serde_json::to_value(entity) else {
        violations.add(Reason::Internal, path, "cannot be merged");
        return Err(violations);
    };
    merge_members(&mut target, patch, path, time_zone, &mut violations);
    if !violations.is_empty() {
        return Err(violations);
    }
    serde_path_to_error::deserialize(Value::Object(target)).map_err(|error| {
        let at = error.path().to_string();
        let field = if at == "." { path.to_owned() } else { format!("{path}.{at}") };
        violations.add(Reason::InvalidFieldValue, field, without_value(&error.into_inner().to_string()));
        violations
    })
}

fn merge_members(target: &mut Object, patch: Object, path: &str, time_zone: TimeZone, violations: &mut Violations) {
    for (key, value) in patch {
        let field = format!("{path}.{key}");
        let Some(old) = target.get_mut(&key) else {
            violations.add(Reason::UnknownField, field, "is not a field of this record");
            continue;
        };
        if let (Some(empty), true) = (empty_document(&key), value.is_object())
            && !old.is_object()
        {
            *old = empty;
        }
        match (old, value) {
            (Value::Object(inner), Value::Object(patch)) if empty_document(&key).is_some() => {
                merge_members(inner, patch, &field, time_zone, violations);
            }
            (old, Value::String(text)) if DATE_MEMBERS.contains(&key.as_str()) => {
                let stored = old.as_str().and_then(time::parse);
                match time::read_or_stored(&text, stored, time_zone) {
                    Ok(date) => *old = Value::String(date.to_rfc3339()),
                    Err(error) => violations.add(Reason::InvalidFieldValue, field, error.to_string()),
                }
            }
            // An unchanged value is not checked: it may have been stored before a rule.
            (old, new) if *old == new => {}
            (old, new) => {
                check_texts(&field, &new, violations);
                *old = new;
            }
        }
    }
}

/// Checks the limits of every text in a value.
pub(super) fn check_texts(field: &str, value: &Value, violations: &mut Violations) {
    match value {
        Value::String(string) => {
            let last = field.rsplit('.').next().unwrap_or(field);
            let checked = match last {
                "id" | "number" | "username" | "authentication_code" | "identifier" => text::written(string),
                "description" => text::bounded(string, text::MAX_LONG_TEXT_LENGTH),
                _ if last.starts_with("udf_string_") => text::bounded(string, text::MAX_LONG_TEXT_LENGTH),
                _ => text::bounded(string, text::MAX_NAME_LENGTH),
            };
            violations.check(field, checked);
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| check_texts(&format!("{field}.{key}"), value, violations));
        }
        Value::Array(items) => items.iter().for_each(|item| check_texts(field, item, violations)),
        _ => {}
    }
}

/// Removes members that are null, at every depth.
pub(super) fn drop_nulls(object: &mut Object) {
    object.retain(|_, value| !value.is_null());
    object.values_mut().filter_map(Value::as_object_mut).for_each(drop_nulls);
}

/// Returns the message of serde without the value that it quotes.
fn without_value(message: &str) -> String {
    match message.split_once(", expected ") {
        Some((start, expected)) if !start.starts_with("unknown field") => format!("expected {expected}"),
        _ => message.to_owned(),
    }
}

/// A JSON value in which no object has the same key twice. The usual parser would keep the last value.
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some((key, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(key, value).is_some() {
                return Err(de::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::directory::{ContactInformation, Unit};

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn absent_stays_null_clears_value_replaces() {
        let unit = Unit { id: "1".into(), name: Some("old".into()), description: Some("d".into()), ..Unit::default() };
        let merged =
            merge(&unit, object(json!({"name": "new", "description": null})), "unit", TimeZone::UTC).expect("merged");
        assert_eq!(merged, Unit { id: "1".into(), name: Some("new".into()), ..Unit::default() });
    }

    #[test]
    fn documents_are_merged_member_by_member() {
        let contact = ContactInformation { id: "1".into(), ..ContactInformation::default() };
        let first = merge(
            &contact,
            object(json!({"demographics": {"gender": "FEMALE", "date_of_birth": {"year": 1963}}})),
            "c",
            TimeZone::UTC,
        );
        let second = merge(
            &first.expect("merged"),
            object(json!({"demographics": {"date_of_birth": {"day": 9}}})),
            "c",
            TimeZone::UTC,
        );
        let demographics = second.expect("merged").demographics.expect("demographics");
        assert_eq!((demographics.date_of_birth.year, demographics.date_of_birth.day), (Some(1963), Some(9)));
    }

    #[test]
    fn every_field_at_fault_is_named_and_no_value_is_shown() {
        let error =
            merge(&Unit::default(), object(json!({"nmae": 1, "group_name": "x".repeat(1_001)})), "unit", TimeZone::UTC);
        let error = error.expect_err("two violations").into_result().expect_err("two violations");
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["unit.group_name", "unit.nmae"]);
        let error =
            merge(&Unit::default(), object(json!({"name": 4711})), "unit", TimeZone::UTC).expect_err("a number");
        let error = error.into_result().expect_err("a violation");
        assert_eq!(error.message(), "unit.name: expected a string");
    }
}
