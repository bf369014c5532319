//! Common operations of all kinds of directory objects: an id, a natural key, and members.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Kind;
use crate::Reason;
use crate::model::directory::{
    AccountsReceivable, BusinessUnit, Classification, ContactInformation, Country, Demographics, Industry,
    IndustrySector, RewardsParticipant, Unit, User,
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
    ($type:ident $(, key = $key:ident)? $(, unique = $unique:literal)?
        $(, check = $check:expr)? $(, guarded = $guarded:ident)?) => {
        impl Entity for $type {
            const KIND: Kind = Kind::$type;
            $(const UNIQUE: bool = $unique;)?

            fn new(id: &str) -> Self {
                Self { id: id.to_owned(), ..Self::default() }
            }

            fn id(&self) -> &str {
                &self.id
            }

            $(const NATURAL_KEY: Option<&'static str> = Some(stringify!($key));

            fn natural_key(&self) -> Option<&str> {
                self.$key.as_deref()
            })?

            $(fn check(&self, max_guess_chance: f64, path: &str, violations: &mut Violations) {
                $check(self, max_guess_chance, path, violations);
            })?

            $(fn guarded_change(&self, before: &Self) -> Option<&'static str> {
                (self.$guarded != before.$guarded).then_some(stringify!($guarded))
            })?
        }
    };
}

entity!(Unit, key = name);
entity!(BusinessUnit, key = name);
entity!(User, key = username, unique = true);
entity!(Country, key = name);
entity!(Industry, key = name);
entity!(IndustrySector, key = name);
entity!(Classification, key = name, check = check_policy, guarded = policy);
entity!(AccountsReceivable, key = number, unique = true);
entity!(RewardsParticipant, key = number, unique = true);
entity!(ContactInformation, check = check_dates);

fn check_policy(classification: &Classification, max_guess_chance: f64, path: &str, violations: &mut Violations) {
    if let Some(policy) = &classification.policy {
        policy.check(max_guess_chance, &format!("{path}.policy"), violations);
    }
}

fn check_dates(contact: &ContactInformation, _: f64, path: &str, violations: &mut Violations) {
    let Some(Demographics { date_of_birth, name_day, .. }) = &contact.demographics else { return };
    let ranges = [
        ("date_of_birth.day", date_of_birth.day, 31),
        ("date_of_birth.month", date_of_birth.month, 12),
        ("date_of_birth.year", date_of_birth.year, 9_999),
        ("name_day.day", name_day.day, 31),
        ("name_day.month", name_day.month, 12),
    ];
    for (field, value, high) in ranges {
        if value.is_some_and(|value| !(1..=high).contains(&value)) {
            let field = format!("{path}.demographics.{field}");
            violations.add(Reason::InvalidFieldValue, field, format!("must be between 1 and {high}"));
        }
    }
}
