//! Fields of an access token to which a column can be mapped.

use access_tokens_domain::life_cycle::LifeCycleState;

use super::value;

/// The kind of a field. It decides how the text is read, and whether messages may repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// A text. Messages may repeat it.
    Text,
    /// A code, an identifier or a secret. No message repeats it.
    Code,
    Number,
    Date,
    State,
}

/// The name of a field, with dots between the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldName {
    pub(super) path: &'static str,
    pub(super) kind: FieldKind,
}

use FieldKind::{Code, Date, Number, State, Text};

/// All fields, in the order of messages.
const FIELDS: [(&str, FieldKind); 38] = [
    ("id", Text),
    ("number", Text),
    ("authentication_code", Code),
    ("identifier", Code),
    ("pass_code", Code),
    ("pass_code_hash", Code),
    ("life_cycle_state", State),
    ("verification_code", Code),
    ("verified_date", Date),
    ("card_masked_number", Code),
    ("card_last_4_digits", Code),
    ("udf_string_1", Text),
    ("udf_string_2", Text),
    ("udf_string_3", Text),
    ("udf_string_4", Text),
    ("udf_string_5", Text),
    ("udf_string_6", Text),
    ("udf_string_7", Text),
    ("udf_string_8", Text),
    ("udf_float_1", Number),
    ("udf_float_2", Number),
    ("udf_float_3", Number),
    ("udf_float_4", Number),
    ("udf_date_1", Date),
    ("udf_date_2", Date),
    ("udf_date_3", Date),
    ("udf_date_4", Date),
    ("classification.id", Text),
    ("classification.name", Text),
    ("classification.alternative_code", Text),
    ("accounts_receivable.id", Text),
    ("accounts_receivable.number", Text),
    ("accounts_receivable.name", Text),
    ("accounts_receivable.life_cycle_state", Text),
    ("rewards_participant.id", Text),
    ("rewards_participant.number", Text),
    ("log_information.created_date", Date),
    ("log_information.updated_date", Date),
];

impl FieldName {
    /// Returns the field of this name.
    pub(super) fn find(path: &str) -> Option<Self> {
        FIELDS.into_iter().find(|(name, _)| *name == path).map(|(path, kind)| Self { path, kind })
    }

    /// Returns whether fields of this name have members, such as `classification`.
    pub(super) fn is_group(path: &str) -> bool {
        FIELDS.iter().any(|(name, _)| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Returns why a cell is not a value of this field. A field that names an object refuses a text for a missing value, such as NULL,
    /// because many rows would name the same object by it. A pass code refuses such a text, because many tokens would share it.
    pub(super) fn refusal(self, text: &str) -> Option<&'static str> {
        let is_key = self.path == "id" || self.path.ends_with(".id") || self.path.ends_with("number");
        match self.path {
            "pass_code" => value::is_placeholder(text),
            "authentication_code" | "identifier" | "classification.name" => value::is_no_name(text),
            _ if is_key => value::is_no_name(text),
            _ => None,
        }
    }

    /// Returns the names of all fields, for messages.
    pub(super) fn known() -> String {
        FIELDS.map(|(name, _)| name).join(", ")
    }

    /// Checks a value that is known before the first row.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        if self.kind == State && LifeCycleState::from_name(value).is_none() {
            let known = "EFFECTIVE, NOT_EFFECTIVE and PENDING_VERIFICATION";
            return Err(format!("{value:?} is no state; states are {known}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_groups_are_no_fields() {
        for (path, kind) in FIELDS {
            assert_eq!(FieldName::find(path), Some(FieldName { path, kind }));
        }
        for path in ["", "udf_string_9", "classification", "authentication_code.x", "Number"] {
            assert_eq!(FieldName::find(path), None, "{path}");
        }
        assert!(
            FieldName::is_group("classification") && !FieldName::is_group("class") && !FieldName::is_group("number")
        );
    }
}
