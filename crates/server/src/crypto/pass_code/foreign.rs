//! Hashes that other systems made and an import brought along: scrypt and PBKDF2 as PHC strings, bcrypt as it is
//! always written. They are checked, never made: at the next use of the pass code its hash becomes one of ours.
//!
//! Every one states its own cost, so every cost has a bound, or whoever imports a hash could stop the service with it.

use access_tokens_domain::secret::Secret;
use argon2::password_hash::phc::PasswordHash;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::MIN_OUTPUT_BYTES;

/// Bytes of scrypt's work space, and the most that it may go through it.
const SCRYPT_MEMORY: u64 = 64 * 1_024 * 1_024;
const SCRYPT_LANES: u32 = 4;
/// Far above what anybody uses, which is 8. The memory beside the work space grows with it.
const SCRYPT_BLOCK: u32 = 64;
/// A second, or a little more.
const PBKDF2_ROUNDS: u32 = 2_000_000;
/// Each doubles the work; 13 takes about a second too.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=13;
/// bcrypt reads no more of a password, its final zero included.
const BCRYPT_BYTES: usize = 72;
const BCRYPT_OUTPUT: usize = 23;

/// A hash, taken apart.
pub(super) struct Foreign {
    scheme: Scheme,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

enum Scheme {
    Scrypt(scrypt::Params),
    Pbkdf2Sha256(u32),
    Pbkdf2Sha512(u32),
    Bcrypt(u32),
}

impl Foreign {
    /// `None`: of no scheme that is known here, or too weak or too expensive to check.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) { bcrypt(text) } else { phc(text) }
    }

    /// Reports whether a match proves the whole secret, so that it may be hashed anew. bcrypt reads 72 bytes, which
    /// include a final zero where there is room for it. Implementations of bcrypt differ about zero bytes, and HMAC, on
    /// which scrypt and PBKDF2 stand, does not tell a short key from the same key with zeros behind it.
    pub(super) fn reads_all_of(&self, secret: &Secret) -> bool {
        let bytes = secret.expose().as_bytes();
        let truncated = matches!(self.scheme, Scheme::Bcrypt(_)) && bytes.len() >= BCRYPT_BYTES;
        !truncated && !bytes.contains(&0)
    }

    pub(super) fn matches(&self, secret: &Secret) -> bool {
        let (password, salt) = (secret.expose().as_bytes(), self.salt.as_slice());
        let mut output = vec![0; self.expected.len()];
        match &self.scheme {
            Scheme::Scrypt(params) => {
                if scrypt::scrypt(password, salt, params, &mut output).is_err() {
                    return false;
                }
            }
            Scheme::Pbkdf2Sha256(rounds) => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *rounds, &mut output),
            Scheme::Pbkdf2Sha512(rounds) => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, *rounds, &mut output),
            Scheme::Bcrypt(cost) => {
                let Ok(salt) = salt.try_into() else { return false };
                let mut input = Zeroizing::new([password, &[0]].concat());
                input.truncate(BCRYPT_BYTES);
                // The written form leaves the last byte out.
                output.copy_from_slice(&bcrypt::bcrypt(*cost, salt, &input)[..BCRYPT_OUTPUT]);
            }
        }
        output.ct_eq(&self.expected).into()
    }
}

fn phc(text: &str) -> Option<Foreign> {
    let phc = PasswordHash::new(text).ok().filter(|phc| phc.version.is_none())?;
    let number = |name: &str| phc.params.get_decimal(name);
    let only = |known: &[&str]| phc.params.iter().all(|(name, _)| known.contains(&name.as_str()));
    let expected = phc.hash?.as_bytes().to_vec();
    let scheme = match phc.algorithm.as_str() {
        "scrypt" if only(&["ln", "r", "p"]) => {
            Scheme::Scrypt(scrypt_params(number("ln")?, number("r")?, number("p")?)?)
        }
        name @ ("pbkdf2-sha256" | "pbkdf2-sha512") if only(&["i", "l"]) => {
            let rounds = number("i").filter(|rounds| (1..=PBKDF2_ROUNDS).contains(rounds))?;
            if number("l").is_some_and(|length| usize::try_from(length) != Ok(expected.len())) {
                return None;
            }
            if name.ends_with("256") { Scheme::Pbkdf2Sha256(rounds) } else { Scheme::Pbkdf2Sha512(rounds) }
        }
        _ => return None,
    };
    let salt = phc.salt?.to_vec();
    (expected.len() >= MIN_OUTPUT_BYTES).then_some(Foreign { scheme, salt, expected })
}

fn scrypt_params(log_n: u32, r: u32, p: u32) -> Option<scrypt::Params> {
    let memory = 1_u64.checked_shl(log_n)?.checked_mul(128)?.checked_mul(u64::from(r))?;
    let bounded = log_n > 0 && memory <= SCRYPT_MEMORY && r <= SCRYPT_BLOCK && p <= SCRYPT_LANES;
    scrypt::Params::new(u8::try_from(log_n).ok()?, r, p).ok().filter(|_| bounded)
}

fn bcrypt(text: &str) -> Option<Foreign> {
    use base64::Engine;

    // `$2b$`, two digits, `$`, 22 characters of salt, 31 of hash.
    let (cost, rest) = text.get(4..)?.split_once('$')?;
    let (salt, hash) = rest.split_at_checked(22)?;
    if cost.len() != 2 || !cost.bytes().all(|byte| byte.is_ascii_digit()) || hash.len() != 31 {
        return None;
    }
    let cost = cost.parse().ok().filter(|cost| BCRYPT_COST.contains(cost))?;
    let decode = |text| bcrypt::BASE_64.decode(text).ok();
    let expected = decode(hash).filter(|hash| hash.len() == BCRYPT_OUTPUT)?;
    Some(Foreign { scheme: Scheme::Bcrypt(cost), salt: decode(salt)?, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `pässword`, from Python: `hashlib.scrypt`, `hashlib.pbkdf2_hmac` and `crypt.crypt`.
    const KNOWN: [&str; 9] = [
        "$scrypt$ln=4,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU",
        "$scrypt$ln=10,r=8,p=4$c29tZXNhbHRzb21lc2FsdA$1qe5I7WnNZqc2owEPcdkCcgM+ua/B+5Vg9qWqL4iCVm3KTSYbeBFW0aEhC1dyALqHY3pORzzH0bzu+wGhUtl7g",
        "$pbkdf2-sha256$i=4096,l=32$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0",
        "$pbkdf2-sha256$i=4096$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0",
        "$pbkdf2-sha256$i=29000,l=20$c29tZXNhbHRzb21lc2FsdA$B/Km51zE6oJmm2rxpIrQy2rooJc",
        "$pbkdf2-sha512$i=1000,l=64$c29tZXNhbHRzb21lc2FsdA$eaW+vVe6nW7bpC3u9RGCm9LPw/ggddn044K8Ea4XVrXtQe/OF5mBqtl2tF/7PZdl8AZK2mnxgTsrKuZuXqWKZg",
        "$2b$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG",
        "$2a$05$abcdefghijklmnopqrstuucZGbUxuMlEqps0qcu2pjhO7vaatQZIC",
        "$2y$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG",
    ];

    fn matches(password: &str, text: &str) -> bool {
        Foreign::parse(text).unwrap_or_else(|| panic!("{text} is good")).matches(&Secret::new(password))
    }

    #[test]
    fn known_hashes_match_their_password_only() {
        for text in KNOWN {
            assert!(matches("pässword", text), "{text}");
            for wrong in ["", "passwort", "pässword ", "PÄSSWORD"] {
                assert!(!matches(wrong, text), "{text} {wrong:?}");
            }
        }
    }

    #[test]
    fn bcrypt_reads_72_bytes_and_an_empty_password() {
        let long = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
        assert!(matches(&"x".repeat(80), long) && matches(&"x".repeat(72), long));
        assert!(!matches(&"x".repeat(71), long));
        // From the tests of jBCrypt.
        let empty = "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
        assert!(matches("", empty) && !matches("a", empty));
    }

    #[test]
    fn what_is_too_expensive_too_weak_or_unknown_is_refused() {
        let [scrypt, _, pbkdf2, _, _, _, bcrypt, ..] = KNOWN;
        let cases = [
            scrypt.replace("ln=4", "ln=0"),
            scrypt.replace("ln=4", "ln=17"),
            scrypt.replace("ln=4", "ln=64"),
            scrypt.replace("ln=4", "ln=4294967295"),
            scrypt.replace("r=8", "r=0"),
            scrypt.replace("r=8", "r=65"),
            scrypt.replace("ln=4,r=8", "ln=14,r=33"),
            scrypt.replace("p=1", "p=0"),
            scrypt.replace("p=1", "p=5"),
            scrypt.replace(",p=1", ""),
            scrypt.replace("p=1", "p=1,x=1"),
            scrypt.replace("$scrypt$", "$scrypt$v=1$"),
            scrypt.replace("$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU", ""),
            scrypt.replace("/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU", ""),
            pbkdf2.replace("i=4096", "i=0"),
            pbkdf2.replace("i=4096", "i=2000001"),
            pbkdf2.replace("i=4096,", ""),
            pbkdf2.replace("l=32", "l=31"),
            pbkdf2.replace("l=32", "k=32"),
            pbkdf2.replace("sha256", "sha1"),
            bcrypt.replace("$04$", "$03$"),
            bcrypt.replace("$04$", "$14$"),
            bcrypt.replace("$04$", "$+4$"),
            bcrypt.replace("$04$", "$4$"),
            bcrypt.replace("$2b$", "$2x$"),
            bcrypt.replace("wHG", "wH"),
            bcrypt.replace("wHG", "wHGG"),
            bcrypt.replace("wHG", "w#G"),
            bcrypt.replace("wHG", "wé"),
            bcrypt.replace("tuu", "té"),
            "$2b$".to_owned(),
            String::new(),
        ];
        for case in cases {
            assert!(Foreign::parse(&case).is_none(), "{case}");
        }
        assert!(Foreign::parse(&scrypt.replace("ln=4", "ln=16")).is_some(), "64 MiB are allowed");
        assert!(Foreign::parse(&pbkdf2.replace("4096", "2000000")).is_some());
        assert!(Foreign::parse(&bcrypt.replace("$04$", "$13$")).is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(
            text in r"\$(scrypt|pbkdf2-sha(256|512)|2[aby])\$([a-z]{1,2}=[0-9]{0,10},?){0,4}[0-9]{0,2}\$.{0,60}",
            bcrypt in r"\$2b\$[0-9]{2}\$[A-Za-z0-9./é]{50,55}",
        ) {
            // Parsed only: what has no bound would not end.
            let _ = (Foreign::parse(&text).is_some(), Foreign::parse(&bcrypt).is_some());
        }
    }
}
