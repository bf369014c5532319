//! Update masks: the fields that a caller writes, including those that it sets to null.

use std::collections::BTreeSet;

use access_tokens_domain::Reason;
use access_tokens_domain::error::Violations;
use access_tokens_proto::fields::shown;
use prost_types::FieldMask;

use super::fields::{SHOWN_PATHS, spelled};

/// The field of a request that holds the mask.
const FIELD: &str = "update_mask";

/// All fields that an update may write.
const UPDATABLE: [&str; 20] = [
    "authentication_code",
    "identifier",
    "pass_code",
    "card_masked_number",
    "udf_string_1",
    "udf_string_2",
    "udf_string_3",
    "udf_string_4",
    "udf_string_5",
    "udf_string_6",
    "udf_string_7",
    "udf_string_8",
    "udf_float_1",
    "udf_float_2",
    "udf_float_3",
    "udf_float_4",
    "udf_date_1",
    "udf_date_2",
    "udf_date_3",
    "udf_date_4",
];

/// The fields to write: those of the mask, or those that are set if there is no mask.
#[derive(Debug)]
pub(super) struct UpdateMask {
    paths: Option<BTreeSet<String>>,
}

impl UpdateMask {
    /// Reads the mask of a request. A mask without paths counts as none. A path that cannot be written is a violation that lists the
    /// fields that can.
    pub(super) fn of(mask: Option<FieldMask>, violations: &mut Violations) -> Self {
        let paths = mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
        let paths = paths.map(|paths| paths.iter().map(|path| spelled(path)).collect::<BTreeSet<_>>());
        let unknown = paths.iter().flatten().filter(|path| !UPDATABLE.contains(&path.as_str()));
        for path in unknown.take(SHOWN_PATHS) {
            let text = format!("`{}` cannot be updated; known: {}", shown(path), UPDATABLE.join(", "));
            violations.add(Reason::UnknownField, FIELD, text);
        }
        Self { paths }
    }

    /// Returns the change of a field: `None` leaves it unchanged, `Some(None)` empties it. A value for a field that the mask leaves out is
    /// a violation, because it would be lost.
    pub(super) fn apply<T>(&self, field: &str, value: Option<T>, violations: &mut Violations) -> Option<Option<T>> {
        debug_assert!(UPDATABLE.contains(&field), "{field}");
        match &self.paths {
            None => value.map(Some),
            Some(paths) if paths.contains(field) => Some(value),
            Some(_) => {
                if value.is_some() {
                    violations.add(Reason::InvalidFieldValue, field, format!("is set, but missing from {FIELD}"));
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::v1::UpdateAccessTokenRequest;
    use prost::Name;

    use super::*;

    fn mask(paths: &[&str]) -> (UpdateMask, Violations) {
        let mut violations = Violations::default();
        let mask = FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() };
        (UpdateMask::of(Some(mask), &mut violations), violations)
    }

    #[test]
    fn the_list_is_that_of_the_contract() {
        let pool = access_tokens_proto::descriptor_pool();
        let message = pool.get_message_by_name(&UpdateAccessTokenRequest::full_name()).expect("the request");
        let other = ["access_token_identifier", FIELD, "fields_set"];
        let names = message.fields().map(|f| f.name().to_owned()).filter(|name| !other.contains(&name.as_str()));
        assert_eq!(names.collect::<Vec<_>>(), UPDATABLE);
    }

    #[test]
    fn without_a_mask_what_is_set_is_written() {
        for mask in [UpdateMask::of(None, &mut Violations::default()), mask(&[]).0] {
            let mut violations = Violations::default();
            assert_eq!(mask.apply("identifier", Some("a"), &mut violations), Some(Some("a")));
            assert_eq!(mask.apply("identifier", None::<&str>, &mut violations), None);
            assert!(violations.is_empty());
        }
    }

    #[test]
    fn with_a_mask_exactly_its_paths_are_written_and_unset_means_null() {
        let (mask, mut violations) = mask(&["identifier", " pass_code "]);
        assert_eq!(mask.apply("identifier", Some(""), &mut violations), Some(Some("")));
        assert_eq!(mask.apply("pass_code", None::<&str>, &mut violations), Some(None));
        assert_eq!(mask.apply("udf_float_1", None::<f64>, &mut violations), None);
        assert!(violations.is_empty());
        assert_eq!(mask.apply("udf_float_1", Some(1.0), &mut violations), None);
        let error = violations.into_result().expect_err("a change would be lost");
        assert_eq!((error.reason(), error.violations()[0].field.as_str()), (Reason::InvalidFieldValue, "udf_float_1"));
    }

    #[test]
    fn what_cannot_be_written_is_named_with_what_can() {
        for bad in ["life_cycle_state", "classification", "id", "udf_string_9", "*", "", "identifier.x"] {
            let error = mask(&[bad]).1.into_result().expect_err(bad);
            assert_eq!((error.reason(), error.violations()[0].field.as_str()), (Reason::UnknownField, FIELD));
            assert!(error.message().contains("card_masked_number"));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_mask_is_read_or_refused(paths in proptest::collection::vec(".*", 0..8)) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let _ = mask(&paths);
        }
    }
}
