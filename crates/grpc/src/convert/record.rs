//! Records of an import, and their results.
//!
//! A record is converted to the JSON form of files, with the names of the contract, so that imports over gRPC and of files share one way.

use access_tokens_domain::error::Violations;
use access_tokens_domain::import::{self, Existing, Kind, Object, Options, Outcome, Record, Unknown};
use access_tokens_domain::{Error, Reason, Result};
use access_tokens_proto::v1::import_directory_request::Record as Wire;
use access_tokens_proto::v1::{self, record_result};
use access_tokens_proto::{fields, json};
use prost::Name;
use serde_json::Value;

use crate::status;

/// Names of the fields of a request that are not the record.
const NULL_FIELDS: &str = "null_fields";
const CHECK: &str = "check";
const EXISTING: &str = "existing";
const REFUSE_UNKNOWN_OWNERS: &str = "refuse_unknown_owners";
const REFUSE_UNKNOWN_CLASSIFICATIONS: &str = "refuse_unknown_classifications";

const OPTIONS: [&str; 5] = [NULL_FIELDS, CHECK, EXISTING, REFUSE_UNKNOWN_OWNERS, REFUSE_UNKNOWN_CLASSIFICATIONS];

/// Returns the kind of the record of a request. `None` if there is no record.
pub(crate) fn kind(request: &v1::ImportDirectoryRequest) -> Option<Kind> {
    Some(match request.record.as_ref()? {
        Wire::Organisation(_) => Kind::Organisation,
        Wire::Unit(_) => Kind::Unit,
        Wire::BusinessUnit(_) => Kind::BusinessUnit,
        Wire::User(_) => Kind::User,
        Wire::Country(_) => Kind::Country,
        Wire::Industry(_) => Kind::Industry,
        Wire::IndustrySector(_) => Kind::IndustrySector,
        Wire::ContactInformation(_) => Kind::ContactInformation,
        Wire::AccountsReceivable(_) => Kind::AccountsReceivable,
        Wire::RewardsParticipant(_) => Kind::RewardsParticipant,
        Wire::Classification(_) => Kind::Classification,
        Wire::AccessToken(_) => Kind::AccessToken,
    })
}

/// Returns the options of the import.
pub(crate) fn options(request: &v1::ImportDirectoryRequest) -> Options {
    use v1::import_directory_request::Existing as Wire;
    let unknown = |refused| if refused { Unknown::Refuse } else { Unknown::Create };
    Options {
        existing: match request.existing() {
            Wire::Unspecified | Wire::KeepNewer => Existing::KeepNewer,
            Wire::Overwrite => Existing::Overwrite,
            Wire::UpdateOnly => Existing::UpdateOnly,
        },
        owners: unknown(request.refuse_unknown_owners),
        classifications: unknown(request.refuse_unknown_classifications),
    }
}

/// Returns the record of a request. Fields that are not set are left out; fields that `null_fields` names are null.
pub(crate) fn record(request: &v1::ImportDirectoryRequest) -> Result<Record> {
    let kind = kind(request).ok_or_else(|| Error::field(Reason::RequiredFieldMissing, "record", "is required"))?;
    let Value::Object(mut members) = json::to_value(request) else {
        return Err(Error::internal("a message is not an object"));
    };
    for name in OPTIONS {
        members.remove(name);
    }
    let mut violations = Violations::default();
    if let Some(object) = members.get_mut(kind.name()).and_then(Value::as_object_mut) {
        for path in request.null_fields.iter().flat_map(|mask| &mask.paths) {
            clear(kind, object, path.trim(), &mut violations);
        }
    }
    violations.into_result()?;
    let mut records = import::from_value(Value::Object(members))?;
    records.pop().ok_or_else(|| Error::internal("a record became none"))
}

/// Sets the member at the path to null.
fn clear(kind: Kind, object: &mut Object, path: &str, violations: &mut Violations) {
    let full_path = format!("{}.{path}", kind.name());
    if let Err(unknown) = fields::validate_path(&v1::ImportDirectoryRequest::full_name(), &full_path) {
        violations.add(Reason::UnknownField, NULL_FIELDS, unknown.to_string());
        return;
    }
    let mut object = object;
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            if object.contains_key(name) {
                violations.add(Reason::InvalidFieldValue, path, format!("is set, and named in {NULL_FIELDS} too"));
            } else {
                object.insert(name.to_owned(), Value::Null);
            }
            return;
        }
        let below = object.entry(name).or_insert_with(|| Value::Object(Object::new()));
        let Some(below) = below.as_object_mut() else {
            violations.add(Reason::InvalidFieldValue, path, format!("is below a field that {NULL_FIELDS} names too"));
            return;
        };
        object = below;
    }
}

/// Returns the result of the record at a position.
pub(crate) fn result(index: usize, kind: Option<Kind>, result: Result<(Outcome, String)>) -> v1::RecordResult {
    let kind = kind.map(Kind::name).unwrap_or_default();
    let mut wire = v1::RecordResult {
        index: i64::try_from(index).unwrap_or(i64::MAX),
        kind: kind.to_owned(),
        ..v1::RecordResult::default()
    };
    match result {
        Ok((outcome, id)) => {
            wire.id = id;
            wire.set_outcome(match outcome {
                Outcome::Created => record_result::Outcome::Created,
                Outcome::Updated => record_result::Outcome::Updated,
                Outcome::Unchanged => record_result::Outcome::Unchanged,
                Outcome::Kept => record_result::Outcome::Kept,
            });
        }
        Err(error) => {
            status::log(&error);
            wire.set_outcome(record_result::Outcome::Failed);
            wire.set_reason(v1::ErrorReason::from_str_name(error.reason().name()).unwrap_or_default());
            wire.message = status::message(&error);
            wire.field_violations = status::violations(&error)
                .map(|violation| record_result::FieldViolation {
                    field: below(kind, &violation.field).to_owned(),
                    description: violation.description.clone(),
                })
                .collect();
        }
    }
    wire
}

/// Returns a path without the kind of the record at its beginning, which the domain writes because a line of a file has it.
fn below<'a>(kind: &str, field: &'a str) -> &'a str {
    match field.strip_prefix(kind) {
        Some("") => "",
        Some(rest) => rest.strip_prefix('.').unwrap_or(field),
        None => field,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prost_types::FieldMask;
    use serde_json::json;

    use super::*;

    fn request(record: Wire, null_fields: &[&str]) -> v1::ImportDirectoryRequest {
        let paths = null_fields.iter().map(|path| (*path).to_owned()).collect();
        v1::ImportDirectoryRequest {
            record: Some(record),
            null_fields: Some(FieldMask { paths }),
            check: true,
            ..Default::default()
        }
    }

    fn account() -> v1::AccountsReceivable {
        v1::AccountsReceivable {
            id: "A".to_owned(),
            account_owner: Some(Box::new(v1::ContactInformation { id: "C".to_owned(), ..Default::default() })),
            ..Default::default()
        }
    }

    #[test]
    fn only_what_is_set_is_there_and_what_is_named_is_null() {
        let nulls = ["name", "account_owner.title", " account_owner.demographics.name_day.day "];
        let read = record(&request(Wire::AccountsReceivable(account()), &nulls)).expect("a record");
        assert_eq!(read.kind, Kind::AccountsReceivable);
        let owner = json!({"id": "C", "title": null, "demographics": {"name_day": {"day": null}}});
        assert_eq!(Value::Object(read.object), json!({"id": "A", "name": null, "account_owner": owner}));
    }

    #[test]
    fn dates_states_numbers_and_lists_have_the_form_of_files() {
        let user = v1::UserRecord {
            id: "1".to_owned(),
            permissions: vec!["admin".to_owned()],
            default_unit: Some(v1::Unit { id: "U".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let read = record(&request(Wire::User(user), &[])).expect("a record");
        let unit = json!({"id": "U"});
        assert_eq!(Value::Object(read.object), json!({"id": "1", "permissions": ["admin"], "default_unit": unit}));
        let token = v1::AccessTokenRecord {
            life_cycle_state: v1::access_token::LifeCycleState::NotEffective.into(),
            verified_date: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            udf_float_1: Some(0.5),
            udf_string_1: Some(String::new()),
            ..Default::default()
        };
        let read = record(&request(Wire::AccessToken(token), &[])).expect("a record");
        let expected = json!({
            "life_cycle_state": "NOT_EFFECTIVE",
            "verified_date": "1970-01-01T00:00:00Z",
            "udf_float_1": 0.5,
            "udf_string_1": "",
        });
        assert_eq!(Value::Object(read.object), expected);
    }

    #[test]
    fn a_policy_has_the_names_of_the_rules() {
        use access_tokens_domain::policy::{IssuePolicy, LockPolicy, Policy};
        let lock = v1::LockPolicy {
            attempts: Some(1),
            seconds: Some(2),
            max_seconds: Some(3),
            hard_limit: Some(4),
            attempts_per_day: Some(5),
        };
        let issue = v1::IssuePolicy { burst: Some(6), cooldown_seconds: Some(0), per_day: Some(7) };
        let policy = v1::Policy { lock: Some(lock), issue: Some(issue), ..Default::default() };
        let classification = v1::ClassificationRecord { policy: Some(policy), ..Default::default() };
        let read = record(&request(Wire::Classification(classification), &[])).expect("a record");
        let read: Policy = serde_json::from_value(read.object["policy"].clone()).expect("a policy");
        let lock = LockPolicy { attempts: 1, seconds: 2, max_seconds: 3, hard_limit: 4, attempts_per_day: 5 };
        assert_eq!(read.lock, lock);
        assert_eq!(read.issue, IssuePolicy { burst: 6, cooldown_seconds: 0, per_day: 7 });
    }

    /// The domain and the contract have the same fields of a policy.
    #[test]
    fn policies_have_the_same_fields_here_and_there() {
        let pool = access_tokens_proto::descriptor_pool();
        let contract = pool.get_message_by_name(&v1::Policy::full_name()).expect("the policy");
        let contract = contract.fields().map(|field| {
            let below =
                field.kind().as_message().map(|message| message.fields().map(|f| f.name().to_owned()).collect());
            (field.name().to_owned(), below.unwrap_or_default())
        });
        // Stored only where it is set.
        let policy = access_tokens_domain::policy::Policy { refuse_common_codes: true, ..Default::default() };
        let rules = serde_json::to_value(policy).expect("JSON");
        let rules = rules.as_object().expect("an object").iter().map(|(name, value)| {
            let below = value.as_object().map(|below| below.keys().cloned().collect());
            (name.clone(), below.unwrap_or_default())
        });
        let contract: BTreeMap<String, BTreeSet<String>> = contract.collect();
        assert_eq!(contract, rules.collect());
    }

    #[test]
    fn null_fields_that_do_not_exist_or_are_set_are_refused_together() {
        let nulls = ["nonsense", "id", "", "account_owner", "account_owner.id.x"];
        let error = record(&request(Wire::AccountsReceivable(account()), &nulls)).expect_err("refused");
        let found: Vec<_> = error.violations().iter().map(|v| (v.field.as_str(), v.reason)).collect();
        let (unknown, set) = (Reason::UnknownField, Reason::InvalidFieldValue);
        let at_mask = (NULL_FIELDS, unknown);
        assert_eq!(found, [at_mask, ("id", set), at_mask, ("account_owner", set), at_mask]);
    }

    #[test]
    fn a_null_below_a_null_is_refused() {
        let nulls = ["account_owner", "account_owner.title"];
        let account = v1::AccountsReceivable { id: "A".to_owned(), ..Default::default() };
        let error = record(&request(Wire::AccountsReceivable(account), &nulls)).expect_err("refused");
        assert_eq!(error.violations()[0].field, "account_owner.title");
    }

    #[test]
    fn a_request_without_record_is_refused() {
        let error = record(&v1::ImportDirectoryRequest::default()).expect_err("refused");
        assert_eq!(error.reason(), Reason::RequiredFieldMissing);
    }

    #[test]
    fn every_kind_has_its_name_in_the_contract() {
        let pool = access_tokens_proto::descriptor_pool();
        let message = pool.get_message_by_name(&v1::ImportDirectoryRequest::full_name()).expect("the request");
        let names = message.fields().map(|f| f.name().to_owned()).filter(|name| !OPTIONS.contains(&name.as_str()));
        assert_eq!(names.collect::<Vec<_>>(), Kind::ALL.map(Kind::name));
    }

    #[test]
    fn a_failure_names_reason_and_fields_below_the_record() {
        let mut violations = Violations::default();
        violations.add(Reason::FieldTooLong, "unit.name", "is too long");
        violations.add(Reason::InvalidFieldValue, "unit", "is odd");
        violations.add(Reason::InvalidFieldValue, "unity", "is odd");
        let failed = result(7, Some(Kind::Unit), Err(violations.into_result().expect_err("three")));
        assert_eq!((failed.index, failed.kind.as_str()), (7, "unit"));
        assert_eq!(
            (failed.outcome(), failed.reason()),
            (record_result::Outcome::Failed, v1::ErrorReason::FieldTooLong)
        );
        let fields: Vec<_> = failed.field_violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["name", "", "unity"]);
    }
}
