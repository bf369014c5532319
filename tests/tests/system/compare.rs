//! Comparison of an answer with a documented one, field by field.

use serde_json::Value;

/// Returns the differences between a documented answer and ours, as paths with both values.
///
/// A documented `null` is equal to an unset field. `reward_participant` is the name of `rewards_participant` before R13. Dates are compared
/// as instants. `except` lists the paths (prefixes) that are left out.
pub(crate) fn differences(documented: &Value, ours: &Value, except: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    compare("", documented, ours, except, &mut found);
    found
}

fn compare(path: &str, documented: &Value, ours: &Value, except: &[&str], found: &mut Vec<String>) {
    if except.iter().any(|prefix| path == *prefix || path.starts_with(&format!("{prefix}."))) {
        return;
    }
    match (documented, ours) {
        (Value::Object(documented), Value::Object(ours)) => {
            for (key, value) in documented {
                let key = if key == "reward_participant" { "rewards_participant" } else { key };
                compare(&join(path, key), value, ours.get(key).unwrap_or(&Value::Null), except, found);
            }
            let undocumented = ours.iter().filter(|(key, value)| {
                let old_name = *key == "rewards_participant" && documented.contains_key("reward_participant");
                !documented.contains_key(*key) && !old_name && !value.is_null()
            });
            for (key, value) in undocumented {
                compare(&join(path, key), &Value::Null, value, except, found);
            }
        }
        (Value::Array(documented), Value::Array(ours)) if documented.len() == ours.len() => {
            for (i, (documented, ours)) in documented.iter().zip(ours).enumerate() {
                compare(&join(path, &i.to_string()), documented, ours, except, found);
            }
        }
        // An object whose members are all null is an empty message.
        (Value::Object(documented), Value::Null) if documented.values().all(Value::is_null) => {}
        (Value::String(a), Value::String(b)) if same_moment(a, b) => {}
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: documented {a}, ours {b}")),
    }
}

fn same_moment(a: &str, b: &str) -> bool {
    match (access_tokens_domain::time::parse(a), access_tokens_domain::time::parse(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn every_kind_of_difference_is_found() {
        let documented =
            json!({"a": null, "b": "x", "d": "2015-05-27T12:03:05", "e": {"f": 1}, "reward_participant": {"id": "1"}});
        let same = json!({"b": "x", "d": "2015-05-27T12:03:05Z", "e": {"f": 1}, "rewards_participant": {"id": "1"}});
        assert_eq!(differences(&documented, &same, &[]), Vec::<String>::new());
        for other in [
            json!({"a": 1, "b": "x", "d": "2015-05-27T12:03:05Z", "e": {"f": 1}, "rewards_participant": {"id": "1"}}),
            json!({"b": "x", "d": "2015-05-27T12:03:06Z", "e": {"f": 1}, "rewards_participant": {"id": "1"}}),
            json!({"b": "x", "d": "2015-05-27T12:03:05Z", "e": {"f": 2}, "rewards_participant": {"id": "1"}}),
            json!({"b": "x", "d": "2015-05-27T12:03:05Z", "e": {"f": 1}, "rewards_participant": {"id": "1"}, "g": 7}),
            json!({"b": "x", "d": "2015-05-27T12:03:05Z", "e": {"f": 1}}),
        ] {
            assert_eq!(differences(&documented, &other, &[]).len(), 1, "{other}");
        }
        assert!(differences(&documented, &json!({"b": "y"}), &["b", "d", "e", "rewards_participant"]).is_empty());
    }
}
