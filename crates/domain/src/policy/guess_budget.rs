//! The chance that an attacker guesses a secret of a token within a day: an upper bound, computed from the policy
//! alone.
//!
//! In any 24 hours at most [`LockPolicy::attempts_per_day`] guesses at one kind of secret are compared, over all
//! replicas, paths and re-issued codes ([`crate::policy::attempts`]). The chance of one guess is at most one divided by
//! the number of possible codes. The sum over the kinds is the bound per token and day. Locks of a series lower the
//! chance further. They are not part of the bound, since successes of the owner end a series.
//!
//! The bound holds for codes that the service draws. For pass codes that people choose it holds only where the policy
//! refuses common ones ([`Policy::refuse_common_codes`]). There a free text counts as digits, since most people choose
//! digits where nothing else is required. Elsewhere chosen pass codes count as if they were drawn, so that a policy
//! that is too weak even then is refused.
//!
//! Secrets that an import stored below the policy are not part of the bound. They are reported separately
//! ([`WeakSecrets`]).
//!
//! [`LockPolicy::attempts_per_day`]: crate::model::policy::LockPolicy::attempts_per_day

use crate::Reason;
use crate::model::error::Violations;
use crate::model::policy::{Format, Policy};
use crate::model::secret::SecretKind;
use crate::policy::strength::Strength;

/// Default of the chance above which a policy is refused: one in a thousand.
pub const DEFAULT_LIMIT: f64 = 1e-3;

/// Number of letters, digits and special characters from which people choose.
const CHOSEN_ALPHABET: [f64; 3] = [52.0, 10.0, 33.0];
/// Number of letters, digits and special characters from which the service draws.
const DRAWN_ALPHABET: [f64; 3] = [24.0, 10.0, 8.0];

/// The bound for one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct GuessBudget {
    /// The bound for each kind of secret.
    pub secrets: [SecretBudget; 3],
    /// Whether the bound also holds for pass codes that people choose.
    pub chosen_codes_bounded: bool,
}

/// Stored secrets of one kind for which the bound does not hold: they are shorter than the policy requires, or common
/// where it refuses common ones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WeakSecrets {
    /// Number of secrets.
    pub count: u64,
    /// Upper bound of the chance of the weakest secret, per token and day.
    pub chance: f64,
}

impl WeakSecrets {
    /// Adds `count` secrets, if they are weaker than the policy requires.
    pub fn add(&mut self, policy: &Policy, kind: SecretKind, strength: Strength, count: u64) {
        if let Some(codes) = strength.codes_below(policy, kind) {
            let chance = SecretBudget { kind, guesses_per_day: policy.lock.attempts_per_day, codes }.chance();
            *self = Self { count: self.count + count, chance: self.chance.max(chance) };
        }
    }
}

/// The bound for one kind of secret.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SecretBudget {
    /// Kind of secret.
    pub kind: SecretKind,
    /// Maximum number of guesses that are compared in 24 hours.
    pub guesses_per_day: u32,
    /// Minimum number of possible codes.
    pub codes: f64,
}

impl GuessBudget {
    /// Returns the bound for a policy.
    pub fn of(policy: &Policy) -> Self {
        let digits = |length: u8| 10f64.powi(length.into());
        let guesses_per_day = policy.lock.attempts_per_day;
        let budget = |kind, codes: f64| SecretBudget { kind, guesses_per_day, codes: codes.min(f64::MAX) };
        Self {
            secrets: [
                budget(SecretKind::PassCode, pass_codes(policy)),
                budget(SecretKind::VerificationCode, digits(policy.verification_code_length)),
                budget(SecretKind::OneTimePassword, digits(policy.otp_length)),
            ],
            chosen_codes_bounded: policy.refuse_common_codes,
        }
    }

    /// Returns the upper bound of the chance per token and day.
    pub fn chance(&self) -> f64 {
        self.secrets.iter().map(SecretBudget::chance).sum::<f64>().min(1.0)
    }

    /// Returns the calculation of the chance, for people.
    pub fn arithmetic(&self) -> String {
        let part = |one: &SecretBudget| {
            let (guesses, codes) = (one.guesses_per_day, one.codes.log10());
            format!("{} {guesses} guesses a day / 10^{codes:.1} codes = {:.1e}", one.kind.name(), one.chance())
        };
        let parts: Vec<_> = self.secrets.iter().map(part).collect();
        let scope = match self.chosen_codes_bounded {
            true => "",
            false => "; pass codes that people choose have no bound without refuse_common_codes",
        };
        format!("{:.1e} ({}{scope})", self.chance(), parts.join(" + "))
    }

    /// Adds a violation when the chance is above the limit. `path` is the path of the policy in the request.
    pub fn check(&self, limit: f64, path: &str, violations: &mut Violations) {
        if self.chance() > limit {
            let text = format!(
                "an attacker's chance per access token and day could be {}, which is above the limit of {limit:.1e}: make \
                 the codes longer, or lower lock.attempts_per_day",
                self.arithmetic()
            );
            violations.add(Reason::GuessBudgetExceeded, path, text);
        }
    }
}

impl SecretBudget {
    /// Returns the upper bound of the chance per token and day.
    pub fn chance(&self) -> f64 {
        (f64::from(self.guesses_per_day) / self.codes).min(1.0)
    }
}

/// Returns the minimum number of possible pass codes: the smaller of two numbers, the pass codes that an owner may
/// choose and the pass codes that a reset or a creation draws.
fn pass_codes(policy: &Policy) -> f64 {
    let rules = &policy.pass_code;
    let (letters, digits, special) = (rules.min_letters, rules.min_digits, rules.min_special);
    let parts = i32::from(letters) + i32::from(digits) + i32::from(special);
    let count = |alphabets: [f64; 3], rest: f64, length: i32| {
        let [letter, digit, mark] = alphabets;
        let fixed = letter.powi(letters.into()) * digit.powi(digits.into()) * mark.powi(special.into());
        fixed * rest.powi((length - parts).max(0))
    };
    let length = i32::from(rules.min_length);
    let chosen = match rules.format {
        Format::FreeText if policy.refuse_common_codes => count(CHOSEN_ALPHABET, 10.0, length),
        Format::FreeText => count(CHOSEN_ALPHABET, CHOSEN_ALPHABET.iter().sum(), length),
        Format::Number => 10f64.powi(length),
        // `@`, a dot and a letter between them are known. The shortest phone number has five digits.
        Format::Email => 36f64.powi(length.max(5) - 3),
        Format::Phone => 10f64.powi(length.max(5)),
    };
    let drawn = count(DRAWN_ALPHABET, 10.0, length.max(6));
    chosen.min(drawn)
}

impl Policy {
    /// Checks the ranges, and that the chance of an attacker to guess a secret stays within the limit.
    pub fn check(&self, max_guess_chance: f64, path: &str, violations: &mut Violations) {
        let found = self.validate(path);
        if found.is_empty() {
            GuessBudget::of(self).check(max_guess_chance, path, violations);
        }
        violations.extend(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::CodePolicy;

    fn number(min_length: u16) -> Policy {
        let pass_code = CodePolicy { format: Format::Number, min_length, ..CodePolicy::default() };
        Policy { pass_code, ..Policy::default() }
    }

    fn refused(policy: &Policy) -> Option<String> {
        let mut violations = Violations::default();
        GuessBudget::of(policy).check(DEFAULT_LIMIT, "policy", &mut violations);
        violations.into_result().err().map(|error| error.message().to_owned())
    }

    #[test]
    fn the_default_policy_is_within_the_limit() {
        let budget = GuessBudget::of(&Policy::default());
        assert!((budget.chance() - 3e-4).abs() < 1e-9, "{}", budget.arithmetic());
        assert_eq!(refused(&Policy::default()), None);
    }

    #[test]
    fn chosen_codes_have_a_bound_only_where_common_ones_are_refused() {
        let budget = |refuse_common_codes, pass_code: CodePolicy| {
            GuessBudget::of(&Policy { refuse_common_codes, pass_code, ..Policy::default() })
        };
        let text = |min_length| CodePolicy { min_length, ..CodePolicy::default() };
        assert!(!budget(false, text(4)).chosen_codes_bounded);
        assert!(budget(false, text(4)).arithmetic().contains("no bound without refuse_common_codes"));
        assert!(budget(true, text(8)).chosen_codes_bounded);
        assert!(!budget(true, text(8)).arithmetic().contains("no bound"));
        // A text counts as digits, except for the letters and special characters that the policy requires.
        for (rules, codes) in [
            (text(4), 1e4),
            (text(6), 1e6),
            (CodePolicy { min_letters: 2, ..text(4) }, 52.0 * 52.0 * 1e2),
            (CodePolicy { min_special: 1, ..text(4) }, 33.0 * 1e3),
        ] {
            let found = budget(true, rules.clone()).secrets[0].codes;
            assert!((found - codes).abs() < 1e-6 * codes, "{rules:?}: {found}");
        }
        let policy = Policy { refuse_common_codes: true, ..Policy::default() };
        let text = refused(&policy).expect("four characters are too few");
        assert!(text.contains("PASS_CODE 100 guesses a day / 10^4.0 codes"), "{text}");
    }

    #[test]
    fn what_is_stored_below_a_policy_is_added_up_with_the_chance_of_the_weakest() {
        let (policy, mut weak_secrets) = (Policy::default(), WeakSecrets::default());
        for (length, count) in [(4, 7), (3, 2), (2, 1), (9, 5)] {
            weak_secrets.add(&policy, SecretKind::PassCode, Strength { length, common: false }, count);
        }
        assert_eq!(weak_secrets, WeakSecrets { count: 3, chance: 1.0 });
    }

    #[test]
    fn four_digits_are_refused_with_the_arithmetic() {
        let text = refused(&number(4)).expect("refused");
        assert!(text.contains("PASS_CODE 100 guesses a day / 10^4.0 codes = 1.0e-2"), "{text}");
        assert!(text.contains("above the limit of 1.0e-3"), "{text}");
        assert!(refused(&number(6)).is_none());
    }

    #[test]
    fn fewer_guesses_make_room_for_shorter_codes() {
        let mut policy = number(4);
        policy.lock.attempts_per_day = 9;
        assert_eq!(refused(&policy), None);
    }

    #[test]
    fn minima_shrink_the_space_and_lengths_beyond_numbers_are_no_fault() {
        let rules = CodePolicy { min_length: 4, min_digits: 4, ..CodePolicy::default() };
        assert!(refused(&Policy { pass_code: rules, ..Policy::default() }).is_some());
        let long = CodePolicy { min_length: 256, ..CodePolicy::default() };
        assert_eq!(refused(&Policy { pass_code: long, ..Policy::default() }), None);
    }
}
