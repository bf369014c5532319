//! The access token as it is stored, and the changes that can be written to it.

use chrono::TimeDelta;

use crate::model::life_cycle::LifeCycleState;
use crate::model::secret::{CodeHash, PassCodeHash, SealedCode};
use crate::model::time::{self, Timestamp};

/// An access token, which identifies a customer. References are ids of directory objects of the same organisation.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessToken {
    /// Id: 32 upper-case hex digits (UUIDv7) when the service created the token; an imported id is kept as it is. It never changes, except
    /// that an import can replace an id that an earlier import derived.
    pub id: String,
    /// Prefix and ten digits, unique in the organisation.
    pub number: String,
    /// The state.
    pub life_cycle_state: LifeCycleState,
    /// Time of the last change of the state, where it is known.
    pub life_cycle_state_date: Option<Timestamp>,
    /// Code that a reader scans or a person types; unique in the organisation.
    pub authentication_code: String,
    /// Login name; unique in the organisation when present.
    pub identifier: Option<String>,
    /// The hash of the pass code that goes with the identifier.
    pub pass_code: Option<PassCodeHash>,
    /// The verification code issued last. It stays readable after it was used.
    pub verification: Option<VerificationCode>,
    /// The one-time password issued last.
    pub one_time_password: Option<OneTimePassword>,
    /// Time of the verification.
    pub verified_date: Option<Timestamp>,
    /// User that verified the token.
    pub verified_by_user: Option<String>,
    /// Masked number of the card, as provided.
    pub card_masked_number: Option<String>,
    /// User defined fields.
    pub udf: UserDefinedFields,
    /// The account that owns the token.
    pub accounts_receivable: Option<String>,
    /// The member that owns the token.
    pub rewards_participant: Option<String>,
    /// The classification; never changes after creation.
    pub classification: Option<String>,
    /// Audit stamp of the creation.
    pub created: AuditStamp,
    /// Audit stamp of the last change.
    pub updated: AuditStamp,
}

impl AccessToken {
    /// Returns the names of the token that a person may know, and must not choose as a pass code.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [self.authentication_code.as_str(), &self.number].into_iter().chain(self.identifier.as_deref())
    }
}

/// User defined fields. Index 0 of each array is the field with the number 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserDefinedFields {
    /// `udf_string_1` to `udf_string_8`.
    pub strings: [Option<String>; 8],
    /// `udf_float_1` to `udf_float_4`; always finite.
    pub floats: [Option<f64>; 4],
    /// `udf_date_1` to `udf_date_4`.
    pub dates: [Option<Timestamp>; 4],
}

/// A verification code in two forms: one to compare it, one to show it.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationCode {
    /// Keyed hash, for comparison.
    pub hash: CodeHash,
    /// Encrypted code, for callers with the permission `access_tokens.secrets`.
    pub sealed: SealedCode,
}

/// A one-time password.
#[derive(Debug, Clone, PartialEq)]
pub struct OneTimePassword {
    /// Keyed hash, for comparison.
    pub hash: CodeHash,
    /// Time from which the password is no longer valid.
    pub expiration_date: Timestamp,
}

/// Time and author of a write. User and units are ids; they are `None` where the caller has none.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditStamp {
    /// Time of the write.
    pub date: Timestamp,
    /// User of the caller.
    pub user: Option<String>,
    /// Unit that the caller is logged in to.
    pub unit: Option<String>,
    /// The business unit of that unit.
    pub business_unit: Option<String>,
}

impl AuditStamp {
    /// Returns the stamp of a change that follows another one. Imported dates can be ahead of the clock. The date is
    /// then one microsecond after the earlier one, because an import compares dates to find out what changed since.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        if earlier.date > self.date {
            let next = earlier.date.checked_add_signed(TimeDelta::microseconds(1));
            let in_calendar = next.filter(|next| time::CALENDAR.contains(&next.timestamp()));
            self.date = in_calendar.unwrap_or(earlier.date);
        }
        self
    }
}

/// Conditions that must still hold when a change is written. They are part of the condition of the write itself, so that exactly one of
/// several concurrent callers succeeds.
#[derive(Debug, Clone, Default)]
pub struct Precondition {
    /// The token is in this state.
    pub life_cycle_state: Option<LifeCycleState>,
    /// The verification code that was compared is still the one that was issued last.
    pub verification: Option<CodeHash>,
    /// The one-time password that was compared is still the one that was issued last, and is unused.
    pub one_time_password: Option<CodeHash>,
    /// The pass code that was compared is still the one that was set last.
    pub pass_code: Option<PassCodeHash>,
    /// The token has no identifier.
    pub without_identifier: bool,
}

/// A change of one token. `None` leaves a column as it is, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct TokenChanges {
    /// The new state.
    pub life_cycle_state: Option<LifeCycleState>,
    /// A new authentication code.
    pub authentication_code: Option<String>,
    /// A new identifier.
    pub identifier: Option<Option<String>>,
    /// A new pass code.
    pub pass_code: Option<Option<PassCodeHash>>,
    /// A new verification code.
    pub verification: Option<VerificationCode>,
    /// A new one-time password. `Some(None)` removes a used one.
    pub one_time_password: Option<Option<OneTimePassword>>,
    /// Time of the verification, and the user that verified.
    pub verified: Option<(Timestamp, Option<String>)>,
    /// A new masked card number.
    pub card_masked_number: Option<Option<String>>,
    /// New user defined strings.
    pub udf_strings: [Option<Option<String>>; 8],
    /// New user defined numbers.
    pub udf_floats: [Option<Option<f64>>; 4],
    /// New user defined dates.
    pub udf_dates: [Option<Option<Timestamp>>; 4],
}

impl TokenChanges {
    /// Removes the one-time password together with any change of a code, a secret or the state, unless the change sets
    /// another one. A one-time password is proof for the token as it was when the password was issued.
    #[must_use]
    pub fn ending_one_time_password(mut self) -> Self {
        let ends = self.life_cycle_state.is_some()
            || self.authentication_code.is_some()
            || self.identifier.is_some()
            || self.pass_code.is_some()
            || self.verification.is_some();
        if ends && self.one_time_password.is_none() {
            self.one_time_password = Some(None);
        }
        self
    }
}
