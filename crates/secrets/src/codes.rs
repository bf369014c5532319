//! Codes that the service makes: compared by a keyed hash, or encrypted if they must be readable again.
//!
//! Such codes are random and short-lived, or random and long; a slow hash would add nothing to the key. Purpose and
//! subject are part of every hash and every sealed code, so that a code of one token or purpose is worthless for
//! another one.

use access_tokens_domain::ports::{Purpose, Random};
use access_tokens_domain::secret::{CodeHash, SealedCode, Secret};
use access_tokens_domain::{Error, Result};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::{HmacSha256, KeyRing, PerKey};

const NONCE_BYTES: usize = 12;
const SALT_BYTES: usize = 8;
const TAG_BYTES: usize = 32;
/// Number of digits of the longest code that a policy allows.
const LONGEST_CODE: usize = 10;

/// One set of keys for each purpose, in the order of [`Purpose::ALL`].
struct ByPurpose<T>([PerKey<T>; Purpose::ALL.len()]);

impl<T> ByPurpose<T> {
    fn new(make: impl Fn(Purpose) -> PerKey<T>) -> Self {
        Self(Purpose::ALL.map(make))
    }

    fn of(&self, purpose: Purpose) -> &PerKey<T> {
        &self.0[purpose as usize]
    }
}

/// Keyed hashes. Stored as `<key id>$<salt and HMAC-SHA256 in base64>`.
///
/// The salt makes two hashes of one code differ: where a code of six digits is hashed again and again, equal hashes
/// would reveal equal codes. Hashes of 32 bytes were made before salts were added, and still match.
pub(super) struct CodeHashes(ByPurpose<HmacSha256>);

impl CodeHashes {
    pub(super) fn new(ring: &KeyRing) -> Self {
        Self(ByPurpose::new(|purpose| ring.derive_hmac(&format!("code-hash/{}", purpose.name()))))
    }

    pub(super) fn hash(&self, random: &dyn Random, purpose: Purpose, subject: &str, code: &Secret) -> Result<CodeHash> {
        let (id, key) = self.0.of(purpose).current();
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt)?;
        let tag = tag(key, purpose, subject, &salt, code);
        Ok(CodeHash::from_stored(format!("{id}${}", STANDARD_NO_PAD.encode([salt.as_slice(), &tag].concat()))))
    }

    /// Returns whether a hash is under the current key.
    pub(super) fn is_current(&self, purpose: Purpose, stored: &CodeHash) -> bool {
        stored.as_stored().split_once('$').is_some_and(|(id, _)| id == self.0.of(purpose).current().0)
    }

    /// Compares in constant time: the code and, if it is a number, the code with leading zeros, which are lost by
    /// clients that send codes as integers. Without a hash, or with a malformed one, it takes as long and returns
    /// false.
    pub(super) fn matches(&self, purpose: Purpose, subject: &str, code: &Secret, stored: Option<&CodeHash>) -> bool {
        let keys = self.0.of(purpose);
        let parsed = stored.and_then(|stored| {
            let (id, text) = stored.as_stored().split_once('$')?;
            let bytes = STANDARD_NO_PAD.decode(text).ok()?;
            let (salt, expected) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
            let expected: [u8; TAG_BYTES] = expected.try_into().ok()?;
            matches!(salt.len(), 0 | SALT_BYTES).then_some((keys.get(id)?, salt.to_vec(), expected))
        });
        let found = parsed.is_some();
        let (key, salt, expected) = parsed.unwrap_or_else(|| (keys.current().1, vec![0; SALT_BYTES], [0; TAG_BYTES]));
        let compare = |spelling: &Secret| tag(key, purpose, subject, &salt, spelling).ct_eq(&expected);
        let equal = zero_filled(purpose, code).fold(compare(code), |equal, spelling| equal | compare(&spelling));
        bool::from(equal) && found
    }
}

/// Returns the spellings of a number with leading zeros, up to [`LONGEST_CODE`] digits; none of any other text.
///
/// A stored code has one length, and there is one spelling of each length, so all spellings together are one guess for
/// a code of any length.
fn zero_filled(purpose: Purpose, code: &Secret) -> impl Iterator<Item = Secret> {
    let digits = code.expose();
    let number = purpose != Purpose::ApiKey && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = if number { digits.len() + 1 } else { LONGEST_CODE + 1 };
    (shortest..=LONGEST_CODE).map(move |length| Secret::new(format!("{digits:0>length$}")))
}

/// The salt has one length or is absent, and the length of the stored hash shows which of the two it is: two different
/// inputs never give the same message.
fn tag(key: &HmacSha256, purpose: Purpose, subject: &str, salt: &[u8], code: &Secret) -> [u8; TAG_BYTES] {
    let mac = key.clone().chain_update(context(purpose, subject)).chain_update([0]);
    mac.chain_update(salt).chain_update(code.expose()).finalize().into_bytes().into()
}

/// Joins purpose and subject. Neither a label nor a subject, which is an id, contains a zero byte.
fn context(purpose: Purpose, subject: &str) -> Vec<u8> {
    [purpose.name().as_bytes(), subject.as_bytes()].join(&0)
}

/// Sealed codes: AES-256-GCM. Stored as `<key id>$<nonce and ciphertext in base64>`.
pub(super) struct CodeSeals(ByPurpose<Aes256Gcm>);

impl CodeSeals {
    pub(super) fn new(ring: &KeyRing) -> Self {
        let derive =
            |purpose: Purpose| ring.derive(&format!("code-seal/{}", purpose.name()), |key| Aes256Gcm::new(key.into()));
        Self(ByPurpose::new(derive))
    }

    pub(super) fn seal(
        &self,
        random: &dyn Random,
        purpose: Purpose,
        subject: &str,
        code: &Secret,
    ) -> Result<SealedCode> {
        let (id, key) = self.0.of(purpose).current();
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce)?;
        let payload = Payload { msg: code.expose().as_bytes(), aad: &context(purpose, subject) };
        let sealed =
            key.encrypt(&Nonce::from(nonce), payload).map_err(|_| Error::internal("a code cannot be sealed"))?;
        Ok(SealedCode::from_stored(format!("{id}${}", STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))))
    }

    pub(super) fn open(&self, purpose: Purpose, subject: &str, sealed: &SealedCode) -> Result<Secret> {
        let open = || {
            let (id, text) = sealed.as_stored().split_once('$')?;
            let key = self.0.of(purpose).get(id)?;
            let bytes = STANDARD_NO_PAD.decode(text).ok()?;
            let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>()?;
            let payload = Payload { msg: ciphertext, aad: &context(purpose, subject) };
            let opened = Zeroizing::new(key.decrypt(&Nonce::from(*nonce), payload).ok()?);
            std::str::from_utf8(&opened).ok().map(Secret::new)
        };
        open().ok_or_else(|| Error::internal("a sealed code cannot be opened: wrong key, or it was changed"))
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_domain::strength::Strength;

    use super::*;
    use crate::keys::tests::{RING_A, RING_B, ring};
    use access_tokens_host::SystemRandom;

    fn both(lines: &[&str]) -> (CodeHashes, CodeSeals) {
        let ring = ring(lines);
        (CodeHashes::new(&ring), CodeSeals::new(&ring))
    }

    fn seal(seals: &CodeSeals, purpose: Purpose, subject: &str, code: &str) -> SealedCode {
        seals.seal(&SystemRandom, purpose, subject, &Secret::new(code)).expect("sealed")
    }

    fn hash(hashes: &CodeHashes, purpose: Purpose, subject: &str, code: &Secret) -> CodeHash {
        hashes.hash(&SystemRandom, purpose, subject, code).expect("hashed")
    }

    #[test]
    fn a_hash_fits_its_own_code_subject_purpose_and_key_only() {
        let (hashes, _) = both(&[RING_A]);
        let code = Secret::new("004711");
        for purpose in Purpose::ALL {
            let stored = hash(&hashes, purpose, "T1", &code);
            assert!(stored.as_stored().starts_with("a$"));
            assert!(hashes.matches(purpose, "T1", &code, Some(&stored)));
            assert!(!hashes.matches(purpose, "T2", &code, Some(&stored)));
            assert!(!hashes.matches(purpose, "T1", &Secret::new("04712"), Some(&stored)));
            for other in Purpose::ALL.into_iter().filter(|other| *other != purpose) {
                assert!(!hashes.matches(other, "T1", &code, Some(&stored)));
            }
            let same_id_other_key = both(&[&RING_B.replace("b ", "a ")]).0;
            assert!(!same_id_other_key.matches(purpose, "T1", &code, Some(&stored)));
        }
    }

    #[test]
    fn only_leading_zeros_of_a_number_may_be_missing() {
        let (hashes, _) = both(&[RING_A]);
        let matches = |purpose, code: &str, presented: &str| {
            hashes.matches(
                purpose,
                "T",
                &Secret::new(presented),
                Some(&hash(&hashes, purpose, "T", &Secret::new(code))),
            )
        };
        for purpose in [Purpose::Verification, Purpose::OneTimePassword] {
            for (code, presented) in [
                ("004711", "4711"),
                ("004711", "04711"),
                ("000000", "0"),
                ("0000000007", "7"),
                ("00123456", "123456"),
                ("000001", "00001"),
            ] {
                assert!(matches(purpose, code, presented), "{presented} for {code}");
                assert!(!matches(Purpose::ApiKey, code, presented), "{presented} for {code}");
            }
            for (code, presented) in [
                ("004711", "0004711"),
                ("4711", "04711"),
                ("004711", "-4711"),
                ("004711", "+4711"),
                ("004711", " 4711"),
                ("004711", "4711.0"),
                ("00471a", "471a"),
                ("000000", ""),
                ("004711", "٤٧١١"),
                ("00000000007", "7"),
                ("471100", "4711"),
            ] {
                assert!(!matches(purpose, code, presented), "{presented} for {code}");
            }
        }
    }

    #[test]
    fn a_seal_opens_for_its_own_subject_purpose_and_key_only() {
        let (_, seals) = both(&[RING_A]);
        for purpose in Purpose::ALL {
            let sealed = seal(&seals, purpose, "T1", "004711");
            assert_eq!(seals.open(purpose, "T1", &sealed).expect("opened").expose(), "004711");
            assert!(seals.open(purpose, "T2", &sealed).is_err());
            for other in Purpose::ALL.into_iter().filter(|other| *other != purpose) {
                assert!(seals.open(other, "T1", &sealed).is_err());
            }
            assert!(both(&[&RING_B.replace("b ", "a ")]).1.open(purpose, "T1", &sealed).is_err());
        }
    }

    #[test]
    fn a_seal_tells_the_length_of_its_code() {
        let (_, seals) = both(&[RING_A]);
        for length in 0..=12 {
            let sealed = seal(&seals, Purpose::Verification, "T", &"7".repeat(length.into()));
            assert_eq!(Strength::of_seal(&sealed), Some(Strength { length, common: false }));
        }
    }

    #[test]
    fn no_seal_looks_like_another() {
        let (_, seals) = both(&[RING_A]);
        assert_ne!(seal(&seals, Purpose::Verification, "T", "1"), seal(&seals, Purpose::Verification, "T", "1"));
    }

    #[test]
    fn keys_rotate() {
        let (old_hashes, old_seals) = both(&[RING_A]);
        let code = Secret::new("123456");
        let stored = hash(&old_hashes, Purpose::Verification, "T", &code);
        let sealed = seal(&old_seals, Purpose::Verification, "T", "123456");
        let (hashes, seals) = both(&[RING_B, RING_A]);
        assert!(hashes.matches(Purpose::Verification, "T", &code, Some(&stored)));
        assert!(seals.open(Purpose::Verification, "T", &sealed).is_ok());
        assert!(hash(&hashes, Purpose::Verification, "T", &code).as_stored().starts_with("b$"));
        let (hashes, seals) = both(&[RING_B]);
        assert!(!hashes.matches(Purpose::Verification, "T", &code, Some(&stored)));
        assert!(seals.open(Purpose::Verification, "T", &sealed).is_err());
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let (hashes, seals) = both(&[RING_A]);
        let code = Secret::new("123456");
        let stored = hash(&hashes, Purpose::ApiKey, "T", &code);
        let sealed = seal(&seals, Purpose::ApiKey, "T", "123456");
        let changes = |text: &str| {
            let text = text.to_owned();
            (0..text.len()).map(move |i| {
                let mut bytes = text.clone().into_bytes();
                bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
                String::from_utf8(bytes).expect("ASCII")
            })
        };
        for changed in changes(stored.as_stored()) {
            assert!(!hashes.matches(Purpose::ApiKey, "T", &code, Some(&CodeHash::from_stored(changed))));
        }
        for changed in changes(sealed.as_stored()) {
            assert!(seals.open(Purpose::ApiKey, "T", &SealedCode::from_stored(changed)).is_err());
        }
    }

    #[test]
    fn the_text_of_zeros_that_stands_in_for_a_bad_hash_does_not_match() {
        let (hashes, _) = both(&[RING_A]);
        for text in ["", "$", "a$", "a", "b$AAAA", "a$####"] {
            let stored = CodeHash::from_stored(text);
            assert!(!hashes.matches(Purpose::ApiKey, "T", &Secret::new(""), Some(&stored)), "{text}");
        }
        assert!(!hashes.matches(Purpose::ApiKey, "T", &Secret::new(""), None));
    }

    #[test]
    fn two_hashes_of_one_code_differ_and_both_match() {
        let (hashes, _) = both(&[RING_A]);
        let code = Secret::new("004711");
        let made = [(); 2].map(|()| hash(&hashes, Purpose::Verification, "T", &code));
        assert_ne!(made[0], made[1]);
        for stored in &made {
            let bytes = STANDARD_NO_PAD.decode(&stored.as_stored()[2..]).expect("base64");
            assert_eq!(bytes.len(), SALT_BYTES + TAG_BYTES);
            assert!(hashes.matches(Purpose::Verification, "T", &code, Some(stored)));
        }
    }

    #[test]
    fn hashes_without_a_salt_match_still() {
        let (hashes, _) = both(&[RING_A]);
        // Made with Python's hmac: the key from HKDF, the message "verification", "T" and "004711" with zeros between.
        let stored = CodeHash::from_stored("a$+bbkGs/fqygENFmOv3Y0N7dOFtl53lsn/u4L/985hek");
        assert!(hashes.matches(Purpose::Verification, "T", &Secret::new("004711"), Some(&stored)));
        for (purpose, subject, code) in [
            (Purpose::ApiKey, "T", "004711"),
            (Purpose::Verification, "U", "004711"),
            (Purpose::Verification, "T", "04712"),
        ] {
            assert!(!hashes.matches(purpose, subject, &Secret::new(code), Some(&stored)), "{subject} {code}");
        }
    }

    #[test]
    fn the_stored_form_never_changes() {
        let (hashes, _) = both(&[RING_A]);
        // Made in the same way, with "saltsalt" before the code.
        let stored = CodeHash::from_stored("a$c2FsdHNhbHTwe6WHxL/NWHxvTgkRNcmIpYPFnL+wyDrR/3Goxjpltw");
        assert!(hashes.matches(Purpose::Verification, "T", &Secret::new("004711"), Some(&stored)));
    }

    #[test]
    fn a_hash_of_another_length_does_not_match() {
        let (hashes, _) = both(&[RING_A]);
        let code = Secret::new("1");
        let bytes = STANDARD_NO_PAD.decode(&hash(&hashes, Purpose::ApiKey, "T", &code).as_stored()[2..]).expect("ours");
        for part in [&bytes[1..], &bytes[SALT_BYTES..], &bytes[..TAG_BYTES], &[bytes.as_slice(), &[0]].concat(), &[]] {
            let stored = CodeHash::from_stored(format!("a${}", STANDARD_NO_PAD.encode(part)));
            assert!(!hashes.matches(Purpose::ApiKey, "T", &code, Some(&stored)), "{}", part.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r"(a\$)?[A-Za-z0-9+/=$]{0,60}", other in ".*") {
            let (hashes, seals) = both(&[RING_A]);
            for text in [text, other] {
                let stored = CodeHash::from_stored(text.clone());
                proptest::prop_assert!(!hashes.matches(Purpose::ApiKey, "T", &Secret::new("x"), Some(&stored)));
                proptest::prop_assert!(seals.open(Purpose::ApiKey, "T", &SealedCode::from_stored(text)).is_err());
            }
        }
    }
}
