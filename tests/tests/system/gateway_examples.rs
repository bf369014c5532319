//! The twelve documented examples over HTTP: the documented request, and the documented envelope.
//!
//! Each request goes to a gateway that presents the release of the example, whose answer has exactly the documented keys; and to
//! one that presents the last release, where every additional key was added by a later release.

use std::collections::BTreeSet;

use access_tokens_gateway::{GatewayConfig, Release};
use access_tokens_testapp::{Deployment, TestApp};
use serde_json::{Value, json};

use crate::examples::{EXAMPLES, example, except, import_before};
use crate::on_both_databases;

/// The release of each example, and its call. The list has two forms of calls.
const CALLS: [(&str, &str, &str); 13] = [
    ("01-show", "R8.0.0", "show"),
    ("02-list", "R10.0.0", "list?accounts_receivable_identifier=number=ACR001018"),
    ("02-list", "R10.0.0", "list?rewards_participant_identifier=number=115"),
    ("03-get_not_associated", "R8.0.0", "get_not_associated?number=5"),
    ("04-create", "R8.0.0", "create"),
    ("05-create-fields_set", "R10.0.0", "create"),
    ("06-update", "R8.0.0", "update"),
    ("07-verify", "R9.0.0", "verify"),
    ("08-reset_pass_code", "R10.0.0", "reset_pass_code"),
    ("09-reset_verification_code", "R13.0.0", "reset_verification_code"),
    ("10-generate_otp", "R13.0.0", "generate_otp"),
    ("11-set_as_effective", "R13.0.0", "set_as_effective"),
    ("12-set_as_not_effective", "R13.0.0", "set_as_not_effective"),
];

/// Keys that an example leaves out although its release has them: other examples show them, also with null.
const LEFT_OUT: [(&str, &str); 3] = [
    ("04-create", "accounts_receivable.account_owner.demographics.country_of_residence"),
    ("08-reset_pass_code", "log_information.created_by_user.email"),
    ("09-reset_verification_code", "log_information.created_by_user.email"),
];

/// Keys that were added after the release of some example, with the release that added them, from the reference.
const FIELDS_OF_LATER_RELEASES: [(&str, &str); 29] = [
    ("verification_code", "R9.0.0"),
    ("verified_date", "R9.0.0"),
    ("verified_by_user", "R9.0.0"),
    ("classification", "R10.0.0"),
    ("udf_string_1", "R10.1.0"),
    ("udf_string_2", "R10.1.0"),
    ("udf_string_3", "R10.1.0"),
    ("udf_string_4", "R10.1.0"),
    ("udf_string_5", "R10.1.0"),
    ("udf_string_6", "R10.1.0"),
    ("udf_string_7", "R10.1.0"),
    ("udf_string_8", "R10.1.0"),
    ("udf_float_1", "R10.1.0"),
    ("udf_float_2", "R10.1.0"),
    ("udf_float_3", "R10.1.0"),
    ("udf_float_4", "R10.1.0"),
    ("udf_date_1", "R10.1.0"),
    ("udf_date_2", "R10.1.0"),
    ("udf_date_3", "R10.1.0"),
    ("udf_date_4", "R10.1.0"),
    ("rewards_participant.life_cycle_state", "R12.0.0"),
    ("id_number_expiration_date", "R14.0.0"),
    ("passport_number_expiration_date", "R14.0.0"),
    ("card_last_4_digits", "R15.0.0"),
    ("dialing_code", "R15.1.0"),
    ("country_flag", "R15.1.0"),
    ("card_masked_number", "R16.2.0"),
    ("created_by_business_unit", "R18.0.0"),
    ("updated_by_business_unit", "R18.0.0"),
];

/// An example, and the result of its call.
struct Answered {
    name: &'static str,
    release: Release,
    ours: Value,
}

/// Makes the documented call of every example, each on a database of its own.
async fn answers(app: &TestApp, last: bool) -> Vec<Answered> {
    let mut answers = Vec::new();
    for (name, release, how) in CALLS {
        let app = app.another().await;
        import_before(&app, name).await;
        let release: Release = release.parse().expect("a release");
        let http = if last {
            app.gateway(Deployment::Separate, GatewayConfig::default()).await.canonical()
        } else {
            app.gateway(Deployment::InProcess, GatewayConfig { release, ..Default::default() }).await
        };
        let answer = match how.split_once('?') {
            Some((method, query)) => http.get(&format!("access_tokens/{method}"), query).await,
            None => {
                let mut request = example(&format!("{name}.request"));
                request["token"] = json!(app.session());
                http.post(&format!("access_tokens/{how}"), request).await
            }
        };
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        answers.push(Answered { name, release, ours: answer.json() });
    }
    answers
}

impl Answered {
    /// Compares the whole envelope with the documented one.
    fn compared(&self, except: &[&str]) -> Found {
        let documented = example(&format!("{}.response", self.name));
        assert_eq!(self.ours["status"], documented["status"], "{}", self.name);
        assert_eq!(self.ours.as_object().map(|envelope| envelope.len()), Some(2), "{}", self.name);
        let mut found = Found::default();
        compare("", &documented["data"], &self.ours["data"], except, &mut found);
        let left_out = LEFT_OUT.iter().filter(|(name, _)| *name == self.name).map(|(_, path)| *path);
        for path in left_out {
            assert!(found.added.remove(path), "{}: {path} is documented", self.name);
        }
        found
    }
}

/// The result of a comparison.
#[derive(Debug, Default, PartialEq)]
struct Found {
    different: Vec<String>,
    added: BTreeSet<String>,
}

/// Compares key by key and value by value, with nulls and texts as they are. `except` lists the paths that are left out.
fn compare(path: &str, documented: &Value, ours: &Value, except: &[&str], found: &mut Found) {
    if except.iter().any(|prefix| path == *prefix || path.starts_with(&format!("{prefix}."))) {
        return;
    }
    match (documented, ours) {
        (Value::Object(documented), Value::Object(ours)) => {
            for (key, value) in documented {
                let below = join(path, key);
                // The key has another name from R13 on.
                let renamed = if key == "reward_participant" { ours.get("rewards_participant") } else { None };
                match ours.get(key).or(renamed) {
                    Some(ours) => compare(&below, value, ours, except, found),
                    None => found.different.push(format!("{below} is missing")),
                }
            }
            for key in ours.keys().filter(|key| !documented.contains_key(*key)) {
                if key != "rewards_participant" || !documented.contains_key("reward_participant") {
                    let below = join(path, key);
                    if !except.contains(&below.as_str()) {
                        found.added.insert(below);
                    }
                }
            }
        }
        (Value::Array(documented), Value::Array(ours)) if documented.len() == ours.len() => {
            documented.iter().zip(ours).for_each(|(documented, ours)| compare(path, documented, ours, except, found));
        }
        _ if documented == ours => {}
        _ => found.different.push(format!("{path}: documented {documented}, ours {ours}")),
    }
}

fn join(path: &str, key: &str) -> String {
    let key = if key == "reward_participant" { "rewards_participant" } else { key };
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns the keys that were added after a release.
fn later(than: Release) -> impl Iterator<Item = &'static str> {
    FIELDS_OF_LATER_RELEASES
        .iter()
        .filter(move |(_, release)| release.parse::<Release>().is_ok_and(|release| release > than))
        .map(|(key, _)| *key)
}

/// Returns whether a path ends with these keys.
fn ends_with(path: &str, keys: &str) -> bool {
    path.strip_suffix(keys).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Checks that every path that is left out is needed by some example.
fn review(answers: &[Answered]) {
    let paths: BTreeSet<&str> = EXAMPLES.iter().flat_map(|(name, _)| except(name)).collect();
    for path in paths {
        let needed = answers.iter().any(|answered| {
            let all = except(answered.name);
            let without: Vec<_> = all.iter().copied().filter(|other| *other != path).collect();
            all.contains(&path) && answered.compared(&all) != answered.compared(&without)
        });
        assert!(needed, "{path} is left out without need");
    }
}

on_both_databases! {
    async fn at_its_release_each_example_is_answered_as_documented(app) {
        let answers = answers(&app, false).await;
        for answered in &answers {
            assert_eq!(answered.compared(&except(answered.name)), Found::default(), "{}", answered.name);
        }
    }

    async fn at_the_last_release_there_are_the_documented_keys_and_later_ones(app) {
        let answers = answers(&app, true).await;
        let mut seen = BTreeSet::new();
        for answered in &answers {
            let found = answered.compared(&except(answered.name));
            assert!(found.different.is_empty(), "{}: {:#?}", answered.name, found.different);
            for path in found.added {
                let key = later(answered.release).find(|key| ends_with(&path, key));
                seen.insert(key.unwrap_or_else(|| panic!("{}: {path} is nowhere documented", answered.name)));
            }
        }
        let all: BTreeSet<_> = later(Release::new(0, 0, 0)).collect();
        assert_eq!(seen, all);
        review(&answers);
    }
}
