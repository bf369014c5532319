//! The strength of secrets: which pass codes people may choose, and what is known of stored secrets.
//!
//! An import stores secrets without a check against a policy. The length of a pass code is known only while it is in
//! clear, so its hash has a note of it: hashes are of Argon2, whose parameter `data` is an input of the hash and stands
//! in its text. The note is copied when another hash replaces the first one. The length of a verification code is that
//! of its sealed form.

use crate::Reason;
use crate::model::policy::Policy;
use crate::model::secret::{PassCodeHash, SealedCode, Secret, SecretKind};
use crate::model::text::Check;
use crate::policy::common_secrets;

/// Length of a pass code, in characters, from which on its hash has no note, unless the pass code is common.
const MIN_UNNOTED_LENGTH: usize = 10;
/// Text before the note in a hash.
const NOTE_PREFIX: &str = ",data=";
/// Length of a note, in characters.
const NOTE_LENGTH: usize = 4;
/// Number of bytes of a sealed code besides the code: a nonce and a tag.
pub const SEAL_BYTES: usize = 28;

/// The known properties of a stored secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    /// Length in characters. For a pass code, 9 stands for 9 or more.
    pub length: u8,
    /// Whether attackers try the secret first.
    pub common: bool,
}

/// Stored secrets of one kind that are equally strong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredStrength {
    /// Id of the classification of their tokens.
    pub classification: Option<String>,
    /// Kind of secret.
    pub kind: SecretKind,
    /// Strength of each of them.
    pub strength: Strength,
    /// Number of secrets.
    pub count: u64,
}

impl Strength {
    /// Returns the note that a hash of this pass code needs, if any.
    pub fn of(pass_code: &Secret) -> Option<Self> {
        let pass_code = &*crate::model::text::nfc(pass_code.expose());
        let (length, common) = (pass_code.chars().count(), is_easy(pass_code));
        let noted = u8::try_from(length.min(MIN_UNNOTED_LENGTH - 1)).ok()?;
        (length < MIN_UNNOTED_LENGTH || common).then_some(Self { length: noted, common })
    }

    /// Returns the note as it stands in the text of a hash: four characters of base64.
    pub fn note(self) -> String {
        format!("{}{}", if self.common { "cmn" } else { "len" }, self.length)
    }

    /// Reads a note.
    pub fn from_note(note: &str) -> Option<Self> {
        let (kind, length) = note.split_at_checked(3)?;
        let common = match kind {
            "cmn" => true,
            "len" => false,
            _ => return None,
        };
        let length = length.parse().ok().filter(|length| (0..=9).contains(length))?;
        Some(Self { length, common })
    }

    /// Returns the note of a stored hash.
    pub fn of_hash(hash: &PassCodeHash) -> Option<Self> {
        let (_, rest) = hash.as_stored().split_once(NOTE_PREFIX)?;
        // A parameter of another kind may follow the note.
        Self::from_note(rest.split_once('$')?.0.get(..NOTE_LENGTH)?)
    }

    /// Returns the strength of a sealed code, which is its length.
    pub fn of_seal(sealed: &SealedCode) -> Option<Self> {
        Some(Self::of_seal_text(sealed.as_stored().split_once('$')?.1.len()))
    }

    /// Returns the strength of a sealed code whose text has this number of characters after the id of the key.
    pub fn of_seal_text(characters: usize) -> Self {
        let length = (characters * 3 / 4).saturating_sub(SEAL_BYTES);
        Self { length: u8::try_from(length).unwrap_or(u8::MAX), common: false }
    }

    /// Returns the number of possible codes, counted as digits, when this secret is weaker than the policy requires.
    pub fn codes_below(self, policy: &Policy, kind: SecretKind) -> Option<f64> {
        let (least, common) = match kind {
            SecretKind::PassCode => (policy.pass_code.min_length, self.common && policy.refuse_common_codes),
            SecretKind::VerificationCode => (policy.verification_code_length.into(), false),
            SecretKind::OneTimePassword => (policy.otp_length.into(), false),
        };
        let codes = if common { 1.0 } else { 10f64.powi(self.length.into()) };
        (common || u16::from(self.length) < least).then_some(codes)
    }
}

impl Policy {
    /// Checks a pass code that a person chose for a token with these names. The error names the rule, never the value.
    pub fn check_pass_code<'a>(&self, pass_code: &str, names: impl IntoIterator<Item = &'a str>) -> Check {
        let pass_code = &*crate::model::text::nfc(pass_code);
        self.pass_code.check(pass_code)?;
        let chosen = pass_code.to_lowercase();
        if self.refuse_common_codes
            && (is_easy(pass_code) || names.into_iter().any(|name| is_name(&chosen, &name.to_lowercase())))
        {
            let text = "must not be common, a plain sequence or repetition, or a name of the access token";
            return Err((Reason::PolicyViolation, text.to_owned()));
        }
        Ok(())
    }
}

/// Returns whether the code is the name, or the name without the characters before its first digit, such as the prefix
/// of a number.
fn is_name(chosen: &str, name: &str) -> bool {
    chosen == name || chosen == name.trim_start_matches(|c: char| !c.is_ascii_digit())
}

/// Returns whether an attacker tries the secret first: it is common, a plain sequence, or repeats itself.
pub fn is_easy(secret: &str) -> bool {
    let characters: Vec<char> = secret.chars().flat_map(char::to_lowercase).collect();
    common_secrets::is_common(secret) || is_plain(&characters)
}

/// Returns whether the characters are few, go up or down evenly (`1234`, `dcba`, `2468`, `7890`), repeat a part
/// (`1212`, `abcabc`), go there and back (`123321`), or do one of these in runs (`112233`).
fn is_plain(characters: &[char]) -> bool {
    let repeats = |part: &usize| {
        characters.len().is_multiple_of(*part) && characters.chunks(*part).all(|c| c == &characters[..*part])
    };
    if characters.len() < 3 || (1..=characters.len() / 2).any(|part| repeats(&part)) {
        return true;
    }
    let there_and_back = characters.iter().eq(characters.iter().rev());
    let there = &characters[..characters.len().div_ceil(2)];
    let mut runs = characters.to_vec();
    runs.dedup();
    is_even(characters) || (there_and_back && is_even(there)) || (runs.len() < characters.len() && is_even(&runs))
}

/// Returns whether the distance from each character to the next one is the same. Digits wrap around from 9 to 0.
fn is_even(characters: &[char]) -> bool {
    let digits = characters.iter().all(char::is_ascii_digit);
    let step = |pair: &[char]| {
        let step = i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0]));
        if digits { step.rem_euclid(10) } else { step }
    };
    let mut steps = characters.windows(2).map(step);
    let first = steps.next();
    steps.all(|step| Some(step) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_attackers_try_first_is_easy() {
        for easy in [
            "",
            "7",
            "42",
            "1234",
            "0123456789",
            "4321",
            "7890",
            "0987",
            "2468",
            "1357",
            "9630",
            "0000",
            "1212",
            "123123",
            "112233",
            "1122334455",
            "123321",
            "1234321",
            "abcd",
            "DCBA",
            "aabbcc",
            "abcabc",
            "xyxy",
            "password",
            "Passw0rd",
            "qwerty",
            "iloveyou",
            "éééé",
            "абвг",
        ] {
            assert!(is_easy(easy), "{easy}");
        }
        for other in ["4711", "8305", "93016", "520813", "tr0ub4", "xkqv", "12435", "abce"] {
            assert!(!is_easy(other), "{other}");
        }
    }

    #[test]
    fn easy_pass_codes_and_names_are_refused_where_the_policy_says_so() {
        let mut policy = Policy::default();
        let names = ["CARD-9031", "m.brown", "AT0000004711"];
        let easy = ["1234", "password", "card-9031", "M.Brown", "AT0000004711", "0000004711", "9031"];
        for code in easy {
            assert!(policy.check_pass_code(code, names).is_ok(), "{code}");
        }
        policy.refuse_common_codes = true;
        for code in easy {
            let (reason, text) = policy.check_pass_code(code, names).expect_err("refused");
            assert_eq!(reason, Reason::PolicyViolation);
            assert!(!text.contains(code), "{text}");
        }
        assert!(policy.check_pass_code("8305", names).is_ok());
        assert!(policy.check_pass_code("", names).is_err(), "the other rules still hold");
    }

    #[test]
    fn a_hash_notes_what_is_short_or_common() {
        let note = |code: &str| Strength::of(&Secret::new(code)).map(Strength::note);
        assert_eq!(note("1").as_deref(), Some("cmn1"));
        assert_eq!(note("4711").as_deref(), Some("len4"));
        assert_eq!(note("ключ7!xé9").as_deref(), Some("len9"));
        assert_eq!(note("passwordpassword").as_deref(), Some("cmn9"));
        assert_eq!(note("ten chars."), None);
        for strength in [Strength { length: 4, common: false }, Strength { length: 9, common: true }] {
            assert_eq!(Strength::from_note(&strength.note()), Some(strength));
            let hash = format!("$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ,data={}$c2FsdA$aGFzaA", strength.note());
            assert_eq!(Strength::of_hash(&PassCodeHash::from_stored(hash)), Some(strength));
        }
        for other in ["", "len", "len10", "lenx", "abc4", "len-", "é1"] {
            assert_eq!(Strength::from_note(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_a_policy_refuses_is_below_it() {
        let mut policy = Policy::default();
        let below =
            |policy: &Policy, length, common| Strength { length, common }.codes_below(policy, SecretKind::PassCode);
        assert_eq!(below(&policy, 1, true), Some(10.0));
        assert_eq!(below(&policy, 4, true), None);
        policy.refuse_common_codes = true;
        assert_eq!((below(&policy, 4, true), below(&policy, 4, false)), (Some(1.0), None));
        let one = Strength { length: 1, common: false };
        assert_eq!(one.codes_below(&policy, SecretKind::VerificationCode), Some(10.0));
        assert_eq!(Strength { length: 6, ..one }.codes_below(&policy, SecretKind::VerificationCode), None);
    }
}
