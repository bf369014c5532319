//! Field masks of responses: the fields that a caller wants.

use access_tokens_domain::Reason;
use access_tokens_domain::error::Violations;
use access_tokens_domain::field_selection::FieldSelection;
use access_tokens_proto::fields::validate_path_of;
use prost::Name;
use prost_types::FieldMask;

/// The field of a request that holds the mask.
const FIELD: &str = "fields_set";
/// Maximum number of unknown paths that one error names.
pub(super) const SHOWN_PATHS: usize = 5;

/// Returns the fields that a mask selects of a message of type `M`. Without paths, or with `*`, these are all fields. A path that names
/// no field is a violation that lists those that exist.
pub(crate) fn selection<M: Name>(mask: Option<&FieldMask>, violations: &mut Violations) -> FieldSelection {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let mut selection = FieldSelection::NONE;
    let mut all = false;
    let mut unknown = 0;
    for path in paths.iter().map(|path| spelled(path)).filter(|path| !path.is_empty()) {
        let path = path.as_str();
        if path == "*" {
            all = true;
        } else if let Err(found) = validate_path_of::<M>(path) {
            unknown += 1;
            if unknown <= SHOWN_PATHS {
                violations.add(Reason::UnknownField, FIELD, found.to_string());
            }
        } else {
            selection.insert(path);
        }
    }
    if all || selection == FieldSelection::NONE { FieldSelection::All } else { selection }
}

/// Returns a path in the spelling of the contract. Masks in JSON, as grpcurl takes them, are in camel case, and arrive without the
/// underscore before a digit: `udfString1` arrives as `udf_string1`.
pub(super) fn spelled(path: &str) -> String {
    let mut spelled = String::with_capacity(path.len() + 2);
    for c in path.trim().chars() {
        if c.is_ascii_digit() && spelled.ends_with(|before: char| before.is_ascii_lowercase()) {
            spelled.push('_');
        }
        spelled.push(c);
    }
    spelled
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::Result;
    use access_tokens_domain::store::OwnerJoins;
    use access_tokens_proto::v1::{AccessToken, GenerateOtpResponse};

    use super::*;

    fn tree_of<M: Name>(paths: &[&str]) -> Result<FieldSelection> {
        let mask = FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() };
        let mut violations = Violations::default();
        let tree = selection::<M>(Some(&mask), &mut violations);
        violations.into_result().map(|()| tree)
    }

    fn tree(paths: &[&str]) -> Result<FieldSelection> {
        tree_of::<AccessToken>(paths)
    }

    #[test]
    fn paths_that_went_through_camel_case_are_understood() {
        assert_eq!(spelled(" udf_string1"), "udf_string_1");
        assert_eq!(spelled("card_last4_digits"), "card_last_4_digits");
        // No name of the contract has a digit after a letter, so nothing else can be meant.
        for message in access_tokens_proto::descriptor_pool().all_messages() {
            for field in message.fields().filter(|field| field.full_name().starts_with("accesstoken.")) {
                assert_eq!(spelled(field.name()), field.name());
            }
        }
    }

    #[test]
    fn nothing_blank_and_star_mean_everything() {
        assert_eq!(selection::<AccessToken>(None, &mut Violations::default()), FieldSelection::All);
        for paths in [&[][..], &[""], &[" ", ""], &["*"], &["number", "*"]] {
            assert_eq!(tree(paths).expect("known"), FieldSelection::All, "{paths:?}");
        }
    }

    #[test]
    fn only_what_is_named_is_wanted_and_loaded() {
        let tree = tree(&[" number", "accounts_receivable.account_owner.name "]).expect("known");
        assert!(tree.contains("number") && !tree.contains("id") && !tree.contains("verification_code"));
        let joins = OwnerJoins::from(&tree);
        assert!(joins.accounts_receivable && !joins.rewards_participant);
        assert_eq!(OwnerJoins::from(&FieldSelection::All), OwnerJoins::ALL);
    }

    #[test]
    fn unknown_names_are_all_named_with_the_known_ones() {
        let error = tree(&["numbr", "number", "accounts_receivable.nme", "id.x"]).expect_err("three unknown");
        assert_eq!(error.reason(), Reason::UnknownField);
        assert_eq!(error.violations().len(), 3);
        assert!(error.violations().iter().all(|v| v.field == "fields_set"));
        assert!(error.message().contains("`numbr`") && error.message().contains("authentication_code"));
        assert!(error.violations()[1].description.contains("account_owner"), "{}", error.message());
        assert!(tree_of::<GenerateOtpResponse>(&["authentication_code"]).is_err());
    }

    #[test]
    fn a_flood_of_unknown_names_makes_a_short_error() {
        let long = "x".repeat(10_000);
        let error = tree(&[long.as_str(); 100]).expect_err("unknown");
        assert_eq!(error.violations().len(), SHOWN_PATHS);
        assert!(error.message().len() < 4_000, "{}", error.message().len());
    }
}
