//! The access token as it is kept, and the changes that can be written to it.

use chrono::TimeDelta;

use crate::model::life_cycle::LifeCycleState;
use crate::model::secret::{CodeHash, PassCodeHash, SealedCode};
use crate::model::time::{self, Timestamp};

/// An access token: what a customer presents. References are ids of directory objects of the same organisation.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessToken {
    /// 32 upper-case hex digits (UUIDv7) when created here; imported ids are kept as they are. Never changes.
    pub id: String,
    /// Prefix and ten digits, unique in the organisation.
    pub number: String,
    /// The state.
    pub life_cycle_state: LifeCycleState,
    /// When it came into that state, where that is known.
    pub life_cycle_state_date: Option<Timestamp>,
    /// What is scanned or typed; unique in the organisation.
    pub authentication_code: String,
    /// A login name; unique in the organisation when present.
    pub identifier: Option<String>,
    /// The hash of the pass code that goes with the identifier.
    pub pass_code: Option<PassCodeHash>,
    /// The verification code issued last. It stays readable after it was used.
    pub verification: Option<VerificationCode>,
    /// The one-time password issued last.
    pub one_time_password: Option<OneTimePassword>,
    /// When the token was verified.
    pub verified_date: Option<Timestamp>,
    /// The user that verified it.
    pub verified_by_user: Option<String>,
    /// The masked number of the card, as provided.
    pub card_masked_number: Option<String>,
    /// User defined fields.
    pub udf: UserDefinedFields,
    /// The account that owns the token.
    pub accounts_receivable: Option<String>,
    /// The member that owns the token.
    pub rewards_participant: Option<String>,
    /// The classification; never changes after creation.
    pub classification: Option<String>,
    /// Who wrote the record first.
    pub created: AuditStamp,
    /// Who wrote it last.
    pub updated: AuditStamp,
}

impl AccessToken {
    /// Returns the names that a person may know of it, and must not choose as a pass code.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [self.authentication_code.as_str(), &self.number].into_iter().chain(self.identifier.as_deref())
    }
}

/// User defined fields, 1 to 8 and 1 to 4, counted from zero here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserDefinedFields {
    /// `udf_string_1` to `udf_string_8`.
    pub strings: [Option<String>; 8],
    /// `udf_float_1` to `udf_float_4`; always finite.
    pub floats: [Option<f64>; 4],
    /// `udf_date_1` to `udf_date_4`.
    pub dates: [Option<Timestamp>; 4],
}

/// A verification code, twice: to compare it and to show it.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationCode {
    /// For comparison.
    pub hash: CodeHash,
    /// For callers with the permission to see it.
    pub sealed: SealedCode,
}

/// A one-time password.
#[derive(Debug, Clone, PartialEq)]
pub struct OneTimePassword {
    /// For comparison.
    pub hash: CodeHash,
    /// The first moment at which it is worthless.
    pub expiration_date: Timestamp,
}

/// Who wrote and when. Users and units are ids; a caller without them leaves them empty.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditStamp {
    /// When.
    pub date: Timestamp,
    /// The caller's user.
    pub user: Option<String>,
    /// The unit the caller is logged in to.
    pub unit: Option<String>,
    /// The business unit of that unit.
    pub business_unit: Option<String>,
}

impl AuditStamp {
    /// Returns the stamp of a change that follows another one. Where the date of the other one is ahead of the clock, as imported dates can
    /// be, its date is a microsecond later: an import compares dates to see what was changed since.
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

/// What must still be true when a change is written. It is part of the write's own condition, so that of
/// concurrent callers exactly one succeeds.
#[derive(Debug, Clone, Default)]
pub struct Precondition {
    /// The state.
    pub life_cycle_state: Option<LifeCycleState>,
    /// The verification code that was compared is still the one issued last.
    pub verification: Option<CodeHash>,
    /// The one-time password that was compared is still the one issued last, and was not used.
    pub one_time_password: Option<CodeHash>,
    /// The pass code that was compared is still the one set last.
    pub pass_code: Option<PassCodeHash>,
    /// The token has no identifier.
    pub without_identifier: bool,
}

/// A change of one token: `None` leaves a column alone, `Some(None)` empties it.
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
    /// A new one-time password, or none: it was used.
    pub one_time_password: Option<Option<OneTimePassword>>,
    /// When and by whom it was verified.
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
    /// Ends the one-time password together with any change of a code, a secret or the state, unless the change sets
    /// another one. A one-time password proves who presents it for the token as it was when the password was issued.
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
