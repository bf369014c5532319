//! The fields of an answer that a caller asks for.

use std::collections::BTreeMap;

/// The selected fields of a message: all fields, or some, each with the selection below it. Fields that are not
/// selected are neither loaded, nor decrypted, nor answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldSelection {
    /// Every field.
    All,
    /// Only these fields, by their names in the contract.
    Only(BTreeMap<String, FieldSelection>),
}

impl FieldSelection {
    /// No field.
    pub const NONE: Self = Self::Only(BTreeMap::new());

    /// Adds a dotted path, such as `accounts_receivable.number`. A field that is selected whole stays whole.
    pub fn insert(&mut self, path: &str) {
        let Self::Only(fields) = self else { return };
        match path.split_once('.') {
            None => {
                fields.insert(path.to_owned(), Self::All);
            }
            Some((field, rest)) => fields.entry(field.to_owned()).or_insert(Self::NONE).insert(rest),
        }
    }

    /// Returns whether the field is selected, whole or in part.
    pub fn contains(&self, field: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(fields) => fields.contains_key(field),
        }
    }

    /// Returns a scalar field, made only if it is selected.
    pub fn value<T: Default>(&self, field: &str, make: impl FnOnce() -> T) -> T {
        if self.contains(field) { make() } else { T::default() }
    }

    /// Returns a message, made only if it is selected. `make` gets the selection below it.
    pub fn nested<T>(&self, field: &str, make: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        match self {
            Self::All => make(self),
            Self::Only(fields) => fields.get(field).and_then(make),
        }
    }

    /// Returns a message as [`Self::nested`] does, boxed, where the type of the contract is a box.
    pub fn boxed<T>(&self, field: &str, make: impl FnOnce(&Self) -> Option<T>) -> Option<Box<T>> {
        self.nested(field, |fields| make(fields).map(Box::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_selected() {
        let mut fields = FieldSelection::NONE;
        fields.insert("number");
        fields.insert("accounts_receivable.account_owner.name");
        assert!(fields.contains("number") && !fields.contains("id") && !fields.contains("rewards_participant"));
        let below = |below: &FieldSelection| Some((below.contains("account_owner"), below.contains("id")));
        assert_eq!(fields.nested("accounts_receivable", below), Some((true, false)));
        assert_eq!(fields.nested("classification", below), None);
        assert_eq!(fields.value("number", || 7), 7);
        assert_eq!(fields.value("id", || 7), 0);
    }

    #[test]
    fn a_whole_field_stays_whole_in_any_order() {
        for paths in [["classification", "classification.name"], ["classification.name", "classification"]] {
            let mut fields = FieldSelection::NONE;
            paths.iter().for_each(|path| fields.insert(path));
            assert_eq!(fields.nested("classification", |below| Some(below.clone())), Some(FieldSelection::All));
        }
    }
}
