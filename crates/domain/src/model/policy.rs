//! Policies: the rules for codes of tokens, and who creates the codes.
//!
//! An organisation has one definition; a classification may carry its own policy. If a token has a classification
//! with a policy, only that one applies.

use serde::{Deserialize, Serialize};

use crate::Reason;
use crate::model::error::Violations;
use crate::model::text::Check;

/// The rules for the tokens of an organisation or of one classification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Rules of the authentication code.
    #[serde(deserialize_with = "partial::authentication_code")]
    pub authentication_code: CodePolicy,
    /// Rules of the identifier.
    #[serde(deserialize_with = "partial::identifier")]
    pub identifier: CodePolicy,
    /// Rules of the pass code.
    #[serde(deserialize_with = "partial::pass_code")]
    pub pass_code: CodePolicy,
    /// Whether a token may lack identifier and pass code.
    pub allow_without_identifier_and_pass_code: bool,
    /// Whether a new token waits for a verification code.
    pub verification_required: bool,
    /// Number of digits of a verification code, 6 to 10.
    pub verification_code_length: u8,
    /// Number of digits of a one-time password, 6 to 8.
    pub otp_length: u8,
    /// Lifetime of a one-time password, 1 to 600 seconds.
    pub otp_lifetime_seconds: u32,
    /// Maximum number of tokens of one owner under this policy.
    pub max_per_owner: Option<u32>,
    /// Limits on attempts at a secret.
    pub lock: LockPolicy,
    /// Limits on the issuing of codes.
    pub issue: IssuePolicy,
    /// Whether pass codes that attackers try first are refused. Stored only when it is set, since servers of the
    /// previous release do not know the member.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refuse_common_codes: bool,
}

/// Limits on attempts at a secret of a token; see [`crate::policy::attempts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LockPolicy {
    /// Number of consecutive wrong attempts that lock, 1 to 100.
    pub attempts: u32,
    /// Duration of the first lock, 1 to 86,400 seconds. Each further lock in a series lasts twice as long.
    pub seconds: u32,
    /// Maximum duration of a lock, 1 to 604,800 seconds.
    pub max_seconds: u32,
    /// Number of consecutive wrong attempts that lock until an operator unlocks, 1 to 1,000.
    pub hard_limit: u32,
    /// Maximum number of wrong attempts in any 24 hours, 1 to 10,000. At most half of them are possible without
    /// waiting.
    pub attempts_per_day: u32,
}

/// Limits on the issuing of codes of one kind for one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssuePolicy {
    /// Number of codes before the cooldown applies, 1 to 1,000.
    pub burst: u32,
    /// Time after which one more code may be issued, 0 to 86,400 seconds.
    pub cooldown_seconds: u32,
    /// Maximum number of codes in any 24 hours, 1 to 10,000. At most half of them are possible without waiting.
    pub per_day: u32,
}

/// The rules of one code. A member that a policy omits has the default of that code: an authentication code is AUTO_ID,
/// a pass code has at least four characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodePolicy {
    /// Source of the code when the caller gives none.
    pub creation: Creation,
    /// Form of the code.
    pub format: Format,
    /// Minimum number of characters, at most 256.
    pub min_length: u16,
    /// Minimum number of letters.
    pub min_letters: u16,
    /// Minimum number of digits.
    pub min_digits: u16,
    /// Minimum number of characters that are neither letters nor digits.
    pub min_special: u16,
}

/// The source of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Creation {
    /// Only the caller gives it.
    None,
    /// The service takes it from a sequence of the organisation. A pass code is random digits instead.
    AutoNumber,
    /// The service draws 32 random hex digits.
    AutoId,
}

/// The form of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Format {
    /// Any text.
    FreeText,
    /// Digits only.
    Number,
    /// An e-mail address.
    Email,
    /// A phone number: an optional plus, digits, blanks, dots, dashes and parentheses; 5 to 20 digits.
    Phone,
}

impl Default for CodePolicy {
    fn default() -> Self {
        Self {
            creation: Creation::None,
            format: Format::FreeText,
            min_length: 1,
            min_letters: 0,
            min_digits: 0,
            min_special: 0,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            authentication_code: CodePolicy { creation: Creation::AutoId, ..CodePolicy::default() },
            identifier: CodePolicy::default(),
            pass_code: CodePolicy { min_length: 4, ..CodePolicy::default() },
            allow_without_identifier_and_pass_code: true,
            verification_required: false,
            verification_code_length: 6,
            otp_length: 6,
            otp_lifetime_seconds: 300,
            max_per_owner: None,
            lock: LockPolicy::default(),
            issue: IssuePolicy::default(),
            refuse_common_codes: false,
        }
    }
}

impl Default for LockPolicy {
    fn default() -> Self {
        Self { attempts: 5, seconds: 900, max_seconds: 86_400, hard_limit: 100, attempts_per_day: 100 }
    }
}

impl Default for IssuePolicy {
    fn default() -> Self {
        Self { burst: 5, cooldown_seconds: 60, per_day: 40 }
    }
}

impl Policy {
    /// Returns the members outside their ranges. `path` is the path of the policy in the request, such as `definition`.
    pub fn validate(&self, path: &str) -> Violations {
        let mut violations = Violations::default();
        let mut range = |field: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                let text = format!("must be between {low} and {high}");
                violations.add(Reason::InvalidFieldValue, format!("{path}.{field}"), text);
            }
        };
        range("verification_code_length", self.verification_code_length.into(), 6, 10);
        range("otp_length", self.otp_length.into(), 6, 8);
        range("otp_lifetime_seconds", self.otp_lifetime_seconds.into(), 1, 600);
        range("max_per_owner", self.max_per_owner.unwrap_or(1).into(), 1, u32::MAX.into());
        range("lock.attempts", self.lock.attempts.into(), 1, 100);
        range("lock.seconds", self.lock.seconds.into(), 1, 86_400);
        range("lock.max_seconds", self.lock.max_seconds.into(), 1, 604_800);
        range("lock.hard_limit", self.lock.hard_limit.into(), 1, 1_000);
        range("lock.attempts_per_day", self.lock.attempts_per_day.into(), 1, 10_000);
        range("issue.burst", self.issue.burst.into(), 1, 1_000);
        range("issue.cooldown_seconds", self.issue.cooldown_seconds.into(), 0, 86_400);
        range("issue.per_day", self.issue.per_day.into(), 1, 10_000);
        for (name, code) in [
            ("authentication_code", &self.authentication_code),
            ("identifier", &self.identifier),
            ("pass_code", &self.pass_code),
        ] {
            range(&format!("{name}.min_length"), code.min_length.into(), 1, 256);
            let parts = u64::from(code.min_letters) + u64::from(code.min_digits) + u64::from(code.min_special);
            range(&format!("{name}.min_letters + min_digits + min_special"), parts, 0, 256);
        }
        violations
    }

    /// Returns whether a token with this code and identifier conforms to the policy. Its pass code, of which only a
    /// hash is stored, and the number of tokens of its owner are not checked.
    pub fn admits(&self, authentication_code: &str, identifier: Option<&str>) -> bool {
        let admits_identifier = match identifier {
            Some(identifier) => self.identifier.check(identifier).is_ok(),
            None => self.allow_without_identifier_and_pass_code,
        };
        admits_identifier && self.authentication_code.check(authentication_code).is_ok()
    }
}

impl CodePolicy {
    /// Returns the prefix of the ten digits of a code of [`Creation::AutoNumber`]: zeros, when the policy asks for
    /// longer codes.
    pub fn auto_number_prefix(&self) -> String {
        "0".repeat(usize::from(self.min_length).saturating_sub(10))
    }

    /// Checks a code that a caller gave. The error names the rule, never the value.
    pub fn check(&self, text: &str) -> Check {
        let text = &*crate::model::text::nfc(text);
        crate::model::text::written(text)?;
        let broken = |what: String| Err((Reason::PolicyViolation, what));
        let form = match self.format {
            Format::FreeText => None,
            Format::Number => (!text.chars().all(|c| c.is_ascii_digit())).then_some("digits only"),
            Format::Email => (!is_email(text)).then_some("an e-mail address"),
            Format::Phone => (!is_phone(text)).then_some("a phone number"),
        };
        if let Some(form) = form {
            return broken(format!("must be {form}"));
        }
        let letters = text.chars().filter(|c| c.is_alphabetic()).count();
        let digits = text.chars().filter(|c| c.is_numeric()).count();
        let length = text.chars().count();
        for (what, count, least) in [
            ("character(s)", length, self.min_length),
            ("letter(s)", letters, self.min_letters),
            ("digit(s)", digits, self.min_digits),
            ("special character(s)", length - letters - digits, self.min_special),
        ] {
            if count < usize::from(least) {
                return broken(format!("must have at least {least} {what}"));
            }
        }
        Ok(())
    }
}

/// Reads the rules of a code; members that are absent have the defaults of that very code.
mod partial {
    use serde::{Deserialize, Deserializer};

    use super::{CodePolicy, Creation, Format, Policy};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Partial {
        creation: Option<Creation>,
        format: Option<Format>,
        min_length: Option<u16>,
        min_letters: Option<u16>,
        min_digits: Option<u16>,
        min_special: Option<u16>,
    }

    fn over<'de, D: Deserializer<'de>>(deserializer: D, default: CodePolicy) -> Result<CodePolicy, D::Error> {
        let partial = Partial::deserialize(deserializer)?;
        Ok(CodePolicy {
            creation: partial.creation.unwrap_or(default.creation),
            format: partial.format.unwrap_or(default.format),
            min_length: partial.min_length.unwrap_or(default.min_length),
            min_letters: partial.min_letters.unwrap_or(default.min_letters),
            min_digits: partial.min_digits.unwrap_or(default.min_digits),
            min_special: partial.min_special.unwrap_or(default.min_special),
        })
    }

    pub(super) fn authentication_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CodePolicy, D::Error> {
        over(deserializer, Policy::default().authentication_code)
    }

    pub(super) fn identifier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CodePolicy, D::Error> {
        over(deserializer, Policy::default().identifier)
    }

    pub(super) fn pass_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CodePolicy, D::Error> {
        over(deserializer, Policy::default().pass_code)
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let plain = !text.chars().any(char::is_whitespace) && !local.contains('@');
    let labels = domain.split('.').all(|l| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-'));
    plain && !local.is_empty() && domain.contains('.') && labels
}

fn is_phone(text: &str) -> bool {
    let rest = text.strip_prefix('+').unwrap_or(text);
    let digits = rest.chars().filter(char::is_ascii_digit).count();
    (5..=20).contains(&digits) && rest.chars().all(|c| c.is_ascii_digit() || " .-()".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(format: Format) -> CodePolicy {
        CodePolicy { format, ..CodePolicy::default() }
    }

    #[test]
    fn a_policy_admits_what_keeps_all_its_rules() {
        let rules = Policy {
            authentication_code: CodePolicy { format: Format::Number, min_length: 4, ..CodePolicy::default() },
            identifier: CodePolicy { format: Format::Email, ..CodePolicy::default() },
            allow_without_identifier_and_pass_code: false,
            ..Policy::default()
        };
        assert!(rules.admits("0042", Some("me@example.org")));
        for (code, identifier) in
            [("42", Some("me@example.org")), ("004A", Some("me@example.org")), ("0042", Some("me")), ("0042", None)]
        {
            assert!(!rules.admits(code, identifier), "{code} {identifier:?}");
        }
        assert!(Policy::default().admits("A", None));
    }

    #[test]
    fn formats() {
        let cases = [
            (Format::Number, "0123", "12a"),
            (Format::Email, "a.b@example.com", "a@example"),
            (Format::Email, "x@y.co", "@y.co"),
            (Format::Phone, "+357 (22) 12-34.56", "+12"),
            (Format::Phone, "99887766", "99+887766"),
            (Format::FreeText, "any thing", ""),
        ];
        for (format, good, bad) in cases {
            assert!(policy(format).check(good).is_ok(), "{format:?} {good}");
            assert!(policy(format).check(bad).is_err(), "{format:?} {bad}");
        }
    }

    #[test]
    fn the_refusal_of_common_codes_is_stored_only_where_it_is_set() {
        let stored = |refuse_common_codes| {
            serde_json::to_value(Policy { refuse_common_codes, ..Policy::default() }).expect("JSON")
        };
        assert_eq!(stored(false).get("refuse_common_codes"), None, "older servers know no such field");
        assert_eq!(stored(true)["refuse_common_codes"], true);
        assert_eq!(serde_json::from_value::<Policy>(stored(true)).ok().map(|p| p.refuse_common_codes), Some(true));
    }

    #[test]
    fn minima_are_named_and_the_value_is_not() {
        let rule = CodePolicy { min_length: 8, min_letters: 2, min_digits: 2, min_special: 1, ..CodePolicy::default() };
        assert!(rule.check("ab12!xyz").is_ok());
        for (bad, what) in
            [("ab12!", "character"), ("a12345!!", "letter"), ("abcdefg!", "digit"), ("abcd1234", "special")]
        {
            let (reason, text) = rule.check(bad).expect_err(bad);
            assert_eq!(reason, Reason::PolicyViolation);
            assert!(text.contains(what) && !text.contains(bad), "{text}");
        }
    }

    #[test]
    fn left_out_members_have_their_defaults() {
        let parsed: Policy =
            serde_json::from_str(r#"{"otp_length": 8, "pass_code": {"min_digits": 1}}"#).expect("policy");
        assert_eq!(parsed.otp_length, 8);
        assert_eq!(parsed.authentication_code.creation, Creation::AutoId);
        assert_eq!((parsed.pass_code.min_length, parsed.pass_code.min_digits), (4, 1));
        assert!(parsed.validate("definition").is_empty());
    }

    #[test]
    fn ranges_are_checked_all_at_once() {
        let bad = Policy { otp_length: 4, otp_lifetime_seconds: 601, ..Policy::default() };
        let error = bad.validate("policy").into_result().expect_err("two violations");
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["policy.otp_length", "policy.otp_lifetime_seconds"]);
    }
}
