//! Canaries: values that exist nowhere else, and a search for them in whatever a program leaves behind.
//!
//! A value is either given to the program ([`Canaries::secret`], [`Canaries::personal`]) or comes from it
//! ([`Canaries::add`]). A [`Scan`] then looks for all of them in files, logs and answers, in every spelling in which a
//! program may have written them down.
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

/// 150 bits; and 75 in each half, which are looked for.
const RANDOM_LETTERS: usize = 32;
/// What is shorter than this turns up by chance.
const MIN_LENGTH: usize = 8;

/// All values of a run.
#[derive(Default)]
pub struct Canaries(Mutex<Vec<Canary>>);

impl Canaries {
    /// A new secret, in letters.
    pub fn secret(&self, what: &str) -> String {
        self.letters(Kind::Secret, what)
    }

    /// A new name, code or the like, in letters.
    pub fn personal(&self, what: &str) -> String {
        self.letters(Kind::Personal, what)
    }

    /// A new e-mail address.
    pub fn email(&self, what: &str) -> String {
        format!("{}@example.com", self.personal(what))
    }

    /// A new number of so many digits.
    pub fn number(&self, kind: Kind, what: &str, digits: usize) -> String {
        let number = random(b"0123456789", digits);
        self.add(kind, what, &number);
        number
    }

    /// A new card number, with the digits that may be shown.
    pub fn card(&self, what: &str) -> String {
        let digits = random(b"0123456789", 12);
        let masked = format!("{}******{}", &digits[..8], &digits[8..]);
        self.add(Kind::Personal, what, &masked);
        masked
    }

    /// A value that somebody else made.
    pub fn add(&self, kind: Kind, what: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref().to_vec();
        assert!(value.len() >= MIN_LENGTH, "{what} is too short to be told from chance");
        self.list().push(Canary { kind, what: what.to_owned(), value });
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list().len()
    }

    /// How many there are of this name.
    pub fn count_of(&self, what: &str) -> usize {
        self.list().iter().filter(|canary| canary.what == what).count()
    }

    /// A search for those that are there by now.
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
