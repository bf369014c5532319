//! Common operations of all kinds of directory objects: an id, a natural key, and members.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Kind;
use crate::Reason;
use crate::model::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Industry, IndustrySector,
    RewardsParticipant, Unit, User,
};
use crate::model::error::Violations;

/// A kind of directory object.
pub(super) trait Entity: Serialize + DeserializeOwned + Clone + Default + PartialEq {
    /// Kind of the object.
    const KIND: Kind;
    /// Member by which a record without an id finds its object. `None`: such a record is refused.
    const NATURAL_KEY: Option<&'static str> = None;
    /// Whether only one object may have a value of the natural key.
    const UNIQUE: bool = false;

    /// Returns an object of which only the id is known.
    fn new(id: &str) -> Self;

    /// Returns the id.
    fn id(&self) -> &str;

    /// Returns the value of the natural key.
    fn natural_key(&self) -> Option<&str> {
        None
    }

    /// Checks rules beyond types and lengths. `max_guess_chance` is the maximum chance of an attacker that a policy may
    /// allow.
    fn check(&self, _max_guess_chance: f64, _path: &str, _violations: &mut Violations) {}

    /// Returns the member that differs from `before` and that only an administrator may change.
    fn guarded_change(&self, _before: &Self) -> Option<&'static str> {
        None
    }
}

macro_rules! entity {
    ($type:ident, $key:ident, unique = $unique:literal $(, check = $check:expr, guarded = $guarded:ident)?) => {
        impl Entity for $type {
            const KIND: Kind = Kind::$type;
            const NATURAL_KEY: Option<&'static str> = Some(stringify!($key));
            const UNIQUE: bool = $unique;

            fn new(id: &str) -> Self {
                Self { id: id.to_owned(), ..Self::default() }
            }

            fn id(&self) -> &str {
                &self.id
            }

            fn natural_key(&self) -> Option<&str> {
                self.$key.as_deref()
            }

            $(fn check(&self, max_guess_chance: f64, path: &str, violations: &mut Violations) {
                $check(self, max_guess_chance, path, violations);
            }

            fn guarded_change(&self, before: &Self) -> Option<&'static str> {
                (self.$guarded != before.$guarded).then_some(stringify!($guarded))
            })?
        }
    };
}

entity!(Unit, name, unique = false);
entity!(BusinessUnit, name, unique = false);
entity!(User, username, unique = true);
entity!(Country, name, unique = false);
entity!(Industry, name, unique = false);
entity!(IndustrySector, name, unique = false);
entity!(Classification, name, unique = false, check = check_policy, guarded = policy);
entity!(AccountsReceivable, number, unique = true);
entity!(RewardsParticipant, number, unique = true);

impl Entity for ContactInformation {
    const KIND: Kind = Kind::ContactInformation;

    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self, _: f64, path: &str, violations: &mut Violations) {
        let Some(demographics) = &self.demographics else { return };
        let (birth, name_day) = (demographics.date_of_birth, demographics.name_day);
        let mut range = |field: &str, value: Option<i32>, high: i32| {
            if value.is_some_and(|v| !(1..=high).contains(&v)) {
                let field = format!("{path}.demographics.{field}");
                violations.add(Reason::InvalidFieldValue, field, format!("must be between 1 and {high}"));
            }
        };
        range("date_of_birth.day", birth.day, 31);
        range("date_of_birth.month", birth.month, 12);
        range("date_of_birth.year", birth.year, 9_999);
        range("name_day.day", name_day.day, 31);
        range("name_day.month", name_day.month, 12);
    }
}

fn check_policy(classification: &Classification, max_guess_chance: f64, path: &str, violations: &mut Violations) {
    if let Some(policy) = &classification.policy {
        policy.check(max_guess_chance, &format!("{path}.policy"), violations);
    }
}
