//! Canaries: unique values, and a search for them in everything that a program leaves behind.
//!
//! A value is either given to the program ([`Canaries::secret`], [`Canaries::personal`]) or comes from it ([`Canaries::add`]). A
//! [`Scan`] searches all of them in files, logs and answers, in every spelling in which a program may write them.
//!
//! ```
//! use access_tokens_testapp::canary::Canaries;
//!
//! let canaries = Canaries::default();
//! let pass_code = canaries.secret("pass code");
//! let mut scan = canaries.scan();
//! scan.nothing_in("log", format!("pass_code={pass_code}").as_bytes());
//! assert_eq!(scan.leaks().len(), 1);
//! ```

mod scan;
mod spelling;
mod value;

use std::sync::{Mutex, MutexGuard, PoisonError};

use access_tokens_domain::code;
use access_tokens_host::SystemRandom;

pub use scan::Scan;
pub use value::Kind;

use value::Canary;

/// Number of letters of a canary: 150 bits, and 75 bits in each half, because halves are searched as well.
const RANDOM_LETTERS: usize = 32;
/// Minimum length in bytes. Shorter values occur by chance.
const MIN_LENGTH: usize = 8;

/// All canaries of a run.
#[derive(Default)]
pub struct Canaries(Mutex<Vec<Canary>>);

impl Canaries {
    /// Returns a new secret, in letters.
    pub fn secret(&self, what: &str) -> String {
        self.letters(Kind::Secret, what)
    }

    /// Returns a new personal value, in letters, such as a name.
    pub fn personal(&self, what: &str) -> String {
        self.letters(Kind::Personal, what)
    }

    /// Returns a new e-mail address.
    pub fn email(&self, what: &str) -> String {
        format!("{}@example.com", self.personal(what))
    }

    /// Returns a new number with this number of digits.
    pub fn number(&self, kind: Kind, what: &str, digits: usize) -> String {
        let number = random(b"0123456789", digits);
        self.add(kind, what, &number);
        number
    }

    /// Returns a new card number, with the digits that may be shown.
    pub fn card(&self, what: &str) -> String {
        let digits = random(b"0123456789", 12);
        let masked = format!("{}******{}", &digits[..8], &digits[8..]);
        self.add(Kind::Personal, what, &masked);
        masked
    }

    /// Adds a value that the program made.
    pub fn add(&self, kind: Kind, what: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref().to_vec();
        assert!(value.len() >= MIN_LENGTH, "{what} is too short to be told from chance");
        self.list().push(Canary { kind, what: what.to_owned(), value });
    }

    /// Returns the number of canaries.
    pub fn count(&self) -> usize {
        self.list().len()
    }

    /// Returns the number of canaries with this name.
    pub fn count_of(&self, what: &str) -> usize {
        self.list().iter().filter(|canary| canary.what == what).count()
    }

    /// Returns a search for the canaries that exist now.
    pub fn scan(&self) -> Scan {
        Scan::new(self.list().clone())
    }

    fn letters(&self, kind: Kind, what: &str) -> String {
        let letters = random(b"abcdefghijklmnopqrstuvwxyz", RANDOM_LETTERS);
        self.add(kind, what, &letters);
        letters
    }

    fn list(&self) -> MutexGuard<'_, Vec<Canary>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random(alphabet: &[u8], length: usize) -> String {
    code::from_alphabet(&SystemRandom, alphabet, length).expect("randomness")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike_and_all_are_known() {
        let canaries = Canaries::default();
        let made = [canaries.secret("a"), canaries.personal("b"), canaries.email("b"), canaries.secret("a")];
        for (index, one) in made.iter().enumerate() {
            assert!(made.iter().skip(index + 1).all(|other| other != one), "{made:?}");
        }
        assert_eq!((canaries.count(), canaries.count_of("a"), canaries.count_of("c")), (4, 2, 0));
        assert_eq!(canaries.number(Kind::Secret, "code", 10).len(), 10);
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn what_turns_up_by_chance_is_no_canary() {
        Canaries::default().add(Kind::Secret, "code", "123456");
    }
}
