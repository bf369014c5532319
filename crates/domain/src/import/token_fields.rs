//! The members of a record of an access token.

use chrono::TimeDelta;
use serde_json::Value;

use super::{Batch, Existing, Object};
use crate::Reason;
use crate::model::access_token::{AccessToken, OneTimePassword, VerificationCode};
use crate::model::card;
use crate::model::life_cycle::LifeCycleState;
use crate::model::secret::{PassCodeHash, Secret};
use crate::model::time::{self, DateError, Timestamp};
use crate::ports::{HashCost, Purpose};

/// Minimum number of digits of a one-time password that a policy can require. The hash does not reveal the number.
const MIN_OTP_DIGITS: usize = 6;

/// Applies the members of a record to a token.
pub(super) struct Fields<'f, 'a> {
    pub(super) batch: &'f mut Batch<'a>,
    pub(super) path: &'f str,
    /// Whether the token is new.
    pub(super) new: bool,
}

impl Fields<'_, '_> {
    /// Applies the members to a token. Returns whether they set a one-time password.
    pub(super) fn apply(mut self, token: &mut AccessToken, mut object: Object) -> bool {
        let expiration_date = object.remove("expiration_date");
        let has_password = object.get("one_time_password").is_some_and(|value| !value.is_null());
        let before = token.updated.date;
        let password = object.remove("one_time_password");
        for (key, value) in object {
            self.member(token, &key, value);
        }
        // The token may have consumed its one-time password since. So only a record that is newer than the token may
        // set one.
        let comes_in =
            self.new || self.batch.context.options.existing != Existing::KeepNewer || token.updated.date > before;
        if let Some(value) = password.filter(|_| comes_in) {
            self.one_time_password("one_time_password", value, token);
        }
        // Read in any case: whether a wrong date is reported must not depend on stored data.
        let stored = token.one_time_password.as_ref().map(|password| password.expiration_date);
        let date = expiration_date.and_then(|date| self.date("expiration_date", date, stored));
        // The lifetime is that of a password that is issued here. A later date is no error, since the clock of the
        // other system may be ahead.
        let latest = self.latest_expiration(token);
        if let (Some(password), Some(date)) = (&mut token.one_time_password, date.filter(|_| has_password && comes_in))
        {
            password.expiration_date = date.min(latest);
        }
        has_password && comes_in
    }

    /// Returns the expiration date of a one-time password that would be issued now for this token.
    fn latest_expiration(&self, token: &AccessToken) -> Timestamp {
        let policy = self.batch.policy(token.classification.as_deref());
        self.batch.context.now + TimeDelta::seconds(policy.otp_lifetime_seconds.into())
    }

    fn member(&mut self, token: &mut AccessToken, key: &str, value: Value) {
        match key {
            "id" => {}
            "number" => self.mandatory(key, value, &mut token.number),
            "authentication_code" => self.mandatory(key, value, &mut token.authentication_code),
            "identifier" => token.identifier = self.string(key, value),
            "life_cycle_state" => self.state(key, value, token),
            "card_masked_number" => self.card(key, value, token),
            "card_last_4_digits" => self.last_4_digits(key, value, token),
            "verification_code" => self.verification_code(key, value, token),
            "pass_code_hash" => self.pass_code_hash(key, value, token),
            // A pass code in clear was hashed before. A secret of null never clears a secret.
            "pass_code" | "random_pass_code" => {}
            "verified_date" => token.verified_date = self.date(key, value, token.verified_date),
            "verified_by_user" => token.verified_by_user = self.string(key, value),
            "accounts_receivable" => token.accounts_receivable = self.string(key, value),
            "rewards_participant" => token.rewards_participant = self.string(key, value),
            "classification" => token.classification = self.string(key, value),
            "log_information" => self.log_information(key, value, token),
            _ => self.user_defined(key, value, token),
        }
    }

    fn user_defined(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        let slot = |prefix: &str, count: usize| {
            let number: usize = key.strip_prefix(prefix)?.parse().ok()?;
            (1..=count).contains(&number).then(|| number - 1)
        };
        if let Some(i) = slot("udf_string_", 8) {
            token.udf.strings[i] = self.string(key, value);
        } else if let Some(i) = slot("udf_float_", 4) {
            token.udf.floats[i] = self.expect(key, "a number", value, |v| v.as_f64());
        } else if let Some(i) = slot("udf_date_", 4) {
            token.udf.dates[i] = self.date(key, value, token.udf.dates[i]);
        } else {
            self.unknown(key);
        }
    }

    fn log_information(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        let Value::Object(members) = value else {
            if !value.is_null() {
                self.bad(key, "an object");
            }
            return;
        };
        for (member, value) in members {
            let field = format!("{key}.{member}");
            let (stamp, what) = match member.split_once('_') {
                Some(("created", what)) => (&mut token.created, what),
                Some(("updated", what)) => (&mut token.updated, what),
                _ => (&mut token.created, ""),
            };
            match what {
                "date" => stamp.date = self.date(&field, value, Some(stamp.date)).unwrap_or(stamp.date),
                "by_user" => stamp.user = self.string(&field, value),
                "by_unit" => stamp.unit = self.string(&field, value),
                "by_business_unit" => stamp.business_unit = self.string(&field, value),
                _ => self.unknown(&field),
            }
        }
    }

    fn state(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        let what = "EFFECTIVE, NOT_EFFECTIVE or PENDING_VERIFICATION";
        let state = self.expect(key, what, value, |v| v.as_str().and_then(LifeCycleState::from_name));
        token.life_cycle_state = state.unwrap_or(token.life_cycle_state);
    }

    fn card(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        token.card_masked_number = self.string(key, value);
        if let Some(masked) = &token.card_masked_number {
            self.batch.violations.check(&format!("{}.{key}", self.path), card::check(masked));
        }
    }

    /// Stores the last four digits, which is all that records older than R16.2 have, as a masked number.
    fn last_4_digits(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        let digits = |value: Value| {
            let text = value.as_str().filter(|text| text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit()));
            text.map(str::to_owned)
        };
        if let Some(digits) = self.expect(key, "four digits", value, digits)
            && token.card_masked_number.is_none()
        {
            token.card_masked_number = Some(format!("************{digits}"));
        }
    }

    /// Seals and hashes the code in any case, so that the time reveals nothing about the stored code. An equal code
    /// keeps its stored form.
    fn verification_code(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        let Some(code) = self.string(key, value).map(Secret::new) else { return };
        let secrets = self.batch.context.secrets;
        let stored = token.verification.as_ref().map(|stored| &stored.hash);
        let same = secrets.code_matches(Purpose::Verification, &token.id, &code, stored);
        match VerificationCode::protect(secrets, &token.id, &code) {
            Ok(sealed) if !same => token.verification = Some(sealed),
            Ok(_) => {}
            Err(_) => self.bad(key, "a code that can be sealed"),
        }
    }

    fn one_time_password(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        let Some(code) = self.string(key, value).map(Secret::new) else { return };
        let secrets = self.batch.context.secrets;
        if code.expose().chars().count() < MIN_OTP_DIGITS {
            let text = format!("must have at least {MIN_OTP_DIGITS} characters");
            return self.fault(Reason::PolicyViolation, key, text);
        }
        let stored = token.one_time_password.as_ref().map(|stored| &stored.hash);
        let same = secrets.code_matches(Purpose::OneTimePassword, &token.id, &code, stored);
        match secrets.code_hash(Purpose::OneTimePassword, &token.id, &code) {
            // Without an expiration date the password is expired from the start.
            Ok(hash) if !same => {
                token.one_time_password = Some(OneTimePassword { hash, expiration_date: self.batch.context.now });
            }
            Ok(_) => {}
            Err(_) => self.bad(key, "a code that can be hashed"),
        }
    }

    fn pass_code_hash(&mut self, key: &str, value: Value, token: &mut AccessToken) {
        let Some(hash) = self.string(key, value).map(PassCodeHash::from_stored) else { return };
        match self.batch.context.secrets.hash_cost(&hash) {
            Ok(cost) => {
                self.batch.pending_tally.weak_hashes += u64::from(cost == HashCost::Weak);
                token.pass_code = Some(hash);
            }
            Err(what) => self.fault(Reason::InvalidFieldValue, key, what),
        }
    }

    fn mandatory(&mut self, key: &str, value: Value, target: &mut String) {
        if let Some(text) = self.string(key, value) {
            *target = text;
        }
    }

    fn string(&mut self, key: &str, value: Value) -> Option<String> {
        self.expect(key, "a string", value, |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// Reads a date in the configured zone. Returns the stored date if an answer shows it as this text.
    fn date(&mut self, key: &str, value: Value, stored: Option<Timestamp>) -> Option<Timestamp> {
        let read = match &value {
            Value::Null => return None,
            Value::String(text) => time::read_or_stored(text, stored, self.batch.context.time_zone),
            _ => Err(DateError::Form),
        };
        read.map_err(|error| self.fault(Reason::InvalidFieldValue, key, error.to_string())).ok()
    }

    fn expect<T>(&mut self, key: &str, what: &str, value: Value, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        if value.is_null() {
            return None;
        }
        let read = read(value);
        if read.is_none() {
            self.bad(key, what);
        }
        read
    }

    fn bad(&mut self, key: &str, what: &str) {
        self.fault(Reason::InvalidFieldValue, key, format!("must be {what}"));
    }

    fn unknown(&mut self, key: &str) {
        self.fault(Reason::UnknownField, key, "is not a field of this record");
    }

    fn fault(&mut self, reason: Reason, key: &str, description: impl Into<String>) {
        self.batch.violations.add(reason, format!("{}.{key}", self.path), description);
    }
}
