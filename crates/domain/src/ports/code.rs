//! Random codes: uniformly distributed, from the port [`Random`], with leading zeros.

use crate::Result;
use crate::model::policy::{CodePolicy, Creation, Format};
use crate::model::secret::Secret;
use crate::ports::Random;

const DIGITS: &[u8] = b"0123456789";
const HEX: &[u8] = b"0123456789ABCDEF";

/// Returns random digits, such as a verification code or a one-time password.
pub fn digits(random: &dyn Random, length: usize) -> Result<Secret> {
    from_alphabet(random, DIGITS, length).map(Secret::new)
}

/// Returns 32 random upper-case hex digits.
pub fn hex_id(random: &dyn Random) -> Result<String> {
    from_alphabet(random, HEX, 32)
}

/// Returns characters drawn uniformly from an alphabet of at most 256. Bytes at or above the largest multiple of the
/// alphabet's size are discarded, so that no character is likelier than another.
pub fn from_alphabet(random: &dyn Random, alphabet: &[u8], length: usize) -> Result<String> {
    let limit = 256 - 256 % alphabet.len();
    let mut code = String::with_capacity(length);
    let mut buffer = [0u8; 32];
    while code.len() < length {
        random.fill(&mut buffer)?;
        let accepted = buffer.iter().map(|&b| usize::from(b)).filter(|&b| b < limit);
        for byte in accepted.take(length - code.len()) {
            code.push(char::from(alphabet[byte % alphabet.len()]));
        }
    }
    Ok(code)
}

impl CodePolicy {
    /// Returns a random code that this policy accepts: an id, if the policy creates ids and the id conforms to its
    /// rules; otherwise six digits, or the letters, digits and special characters that the rules require.
    pub fn random(&self, random: &dyn Random) -> Result<Secret> {
        if self.creation == Creation::AutoId && self.format == Format::FreeText {
            let id = hex_id(random)?;
            if self.check(&id).is_ok() {
                return Ok(Secret::new(id));
            }
        }
        let special = usize::from(self.min_special);
        let letters = usize::from(self.min_letters);
        let digits = usize::from(self.min_length.max(6)).saturating_sub(special + letters);
        let text = [
            from_alphabet(random, b"ABCDEFGHJKLMNPQRSTUVWXYZ", letters)?,
            from_alphabet(random, b"!#%+-=?@", special)?,
            from_alphabet(random, b"0123456789", digits.max(self.min_digits.into()))?,
        ];
        Ok(Secret::new(text.concat()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::{Error, Reason};

    /// Yields all bytes in order, so that the distribution is exact.
    struct EveryByte(AtomicU8);

    impl Random for EveryByte {
        fn fill(&self, buffer: &mut [u8]) -> Result<()> {
            buffer.iter_mut().for_each(|b| *b = self.0.fetch_add(1, Ordering::Relaxed));
            Ok(())
        }
    }

    struct Broken;

    impl Random for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<()> {
            Err(Error::new(Reason::Internal, "internal error"))
        }
    }

    #[test]
    fn every_digit_is_equally_likely() {
        let random = EveryByte(AtomicU8::new(0));
        let code = digits(&random, 250 * 8).expect("digits");
        for digit in '0'..='9' {
            assert_eq!(code.expose().chars().filter(|c| *c == digit).count(), 200, "{digit}");
        }
    }

    #[test]
    fn without_randomness_there_is_no_code() {
        assert!(digits(&Broken, 6).is_err());
    }

    #[test]
    fn ids_are_upper_case_hex() {
        let id = hex_id(&EveryByte(AtomicU8::new(7))).expect("id");
        assert_eq!(id.len(), 32);
        assert!(id.chars().all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c)));
    }

    #[test]
    fn an_id_that_the_rules_refuse_is_not_drawn() {
        struct Same;
        impl Random for Same {
            fn fill(&self, buffer: &mut [u8]) -> Result<()> {
                buffer.fill(10);
                Ok(())
            }
        }
        let id = CodePolicy { creation: Creation::AutoId, ..CodePolicy::default() };
        assert_eq!(id.random(&Same).expect("drawn").expose(), "A".repeat(32));
        for rules in [
            CodePolicy { min_special: 1, ..id.clone() },
            CodePolicy { min_length: 64, ..id.clone() },
            CodePolicy { min_digits: 2, ..id },
        ] {
            let drawn = rules.random(&Same).expect("drawn");
            assert_eq!(rules.check(drawn.expose()), Ok(()), "{}", drawn.expose());
        }
    }
}
