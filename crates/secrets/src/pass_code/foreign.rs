//! Hashes that other systems made and that an import brings: scrypt and PBKDF2 as PHC strings, bcrypt in its usual
//! form. They are checked, never made: at the next use of the pass code its hash is replaced by one of this service.
//!
//! Every hash states its own cost. Without limits, an import could stop the service with the cost of one hash.

use access_tokens_domain::ports::HashCost;
use access_tokens_domain::secret::Secret;
use argon2::password_hash::phc::{Error as PhcError, PasswordHash};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::rejection::HashRejection;

/// Minimum length of a stored hash, in bytes.
pub(super) const MIN_OUTPUT_BYTES: usize = 16;
/// Maximum product of the memory of scrypt and its parallelism `p`, in KiB: about a second of work.
const SCRYPT_WORK_KIB: u64 = 256 * 1_024;
const SCRYPT_LANES: u32 = 16;
/// Maximum block size. Systems use 8 or 16. The memory that is needed in addition to the work space grows with it.
const SCRYPT_BLOCK: u32 = 64;
/// Maximum number of rounds of PBKDF2: a second or a little more.
const PBKDF2_ROUNDS: u32 = 2_000_000;
/// Allowed costs of bcrypt. Each step doubles the work; 13 takes about a second.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=13;

/// Costs below which a hash counts as weak: the minimum of OWASP for each scheme.
const MIN_SCRYPT_WORK_KIB: u64 = 80 * 1_024;
const MIN_SHA256_ROUNDS: u32 = 600_000;
const MIN_SHA512_ROUNDS: u32 = 210_000;
const MIN_BCRYPT_COST: u32 = 10;

/// Number of bytes that bcrypt reads of a password and its final zero.
const BCRYPT_BYTES: usize = 72;
const BCRYPT_OUTPUT: usize = 23;

/// A parsed hash.
pub(super) struct Foreign {
    scheme: Scheme,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

enum Scheme {
    Scrypt { params: scrypt::Params, kib: u64, lanes: u32 },
    Pbkdf2Sha256(u32),
    Pbkdf2Sha512(u32),
    Bcrypt(u32),
}

impl Foreign {
    /// Parses a hash. `max_memory` is in KiB.
    pub(super) fn parse(text: &str, max_memory: u64) -> Result<Self, HashRejection> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            bcrypt(text)
        } else {
            phc(text, max_memory)
        }
    }

    /// Returns the memory of a comparison in KiB.
    pub(super) fn memory(&self) -> u64 {
        match self.scheme {
            Scheme::Scrypt { kib, .. } => kib,
            _ => 0,
        }
    }

    /// Returns whether a guess costs as much as today's minimum.
    pub(super) fn cost(&self) -> HashCost {
        let weak = match self.scheme {
            Scheme::Scrypt { kib, lanes, .. } => kib * u64::from(lanes) < MIN_SCRYPT_WORK_KIB,
            Scheme::Pbkdf2Sha256(rounds) => rounds < MIN_SHA256_ROUNDS,
            Scheme::Pbkdf2Sha512(rounds) => rounds < MIN_SHA512_ROUNDS,
            Scheme::Bcrypt(cost) => cost < MIN_BCRYPT_COST,
        };
        if weak { HashCost::Weak } else { HashCost::Sufficient }
    }

    /// Returns whether a match proves the whole secret, so that it may be hashed again. bcrypt reads 72 bytes, which
    /// include a final zero if there is room for it. Implementations of bcrypt differ about zero bytes, and HMAC, which
    /// scrypt and PBKDF2 use, does not distinguish a short key from the same key followed by zeros.
    pub(super) fn reads_all_of(&self, secret: &Secret) -> bool {
        let bytes = secret.expose().as_bytes();
        let truncated = matches!(self.scheme, Scheme::Bcrypt(_)) && bytes.len() >= BCRYPT_BYTES;
        !truncated && !bytes.contains(&0)
    }

    pub(super) fn matches(&self, secret: &Secret) -> bool {
        let (password, salt) = (secret.expose().as_bytes(), self.salt.as_slice());
        let mut output = vec![0; self.expected.len()];
        match &self.scheme {
            Scheme::Scrypt { params, .. } => {
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
                // The text form omits the last byte.
                output.copy_from_slice(&bcrypt::bcrypt(*cost, salt, &input)[..BCRYPT_OUTPUT]);
            }
        }
        output.ct_eq(&self.expected).into()
    }
}

/// Parses a PHC string.
pub(super) fn read_phc(text: &str) -> Result<PasswordHash, HashRejection> {
    // passlib and others write the rounds without a name, which would be parsed as a salt.
    let is_number = |field: &str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    if text.split('$').nth(2).is_some_and(is_number) && HashRejection::of_scheme(text).is_none() {
        return Err(HashRejection::NotPhc);
    }
    PasswordHash::new(text).map_err(|error| match error {
        _ if HashRejection::of_scheme(text).is_some() => HashRejection::Scheme(HashRejection::of_scheme(text)),
        PhcError::SaltTooLong => HashRejection::SaltTooLong,
        PhcError::SaltTooShort => HashRejection::SaltTooShort,
        PhcError::OutputSize { .. } => HashRejection::Malformed,
        _ => HashRejection::NotPhc,
    })
}

fn phc(text: &str, max_memory: u64) -> Result<Foreign, HashRejection> {
    let phc = read_phc(text)?;
    let name = phc.algorithm.as_str();
    if !["scrypt", "pbkdf2-sha256", "pbkdf2-sha512"].contains(&name) {
        return Err(HashRejection::Scheme(HashRejection::of_scheme(text)));
    }
    let number = |name: &str| phc.params.get_decimal(name).ok_or(HashRejection::Malformed);
    let only = |known: &[&str]| phc.params.iter().all(|(name, _)| known.contains(&name.as_str()));
    let known: &[&str] = if name == "scrypt" { &["ln", "r", "p"] } else { &["i", "l"] };
    if phc.version.is_some() || !only(known) {
        return Err(HashRejection::Malformed);
    }
    let scheme = if name == "scrypt" {
        scrypt_scheme(number("ln")?, number("r")?, number("p")?, max_memory)?
    } else {
        let rounds = rounds(number("i")?)?;
        if name.ends_with("256") { Scheme::Pbkdf2Sha256(rounds) } else { Scheme::Pbkdf2Sha512(rounds) }
    };
    let expected = phc.hash.ok_or(HashRejection::Malformed)?.as_bytes().to_vec();
    if phc.params.get_decimal("l").is_some_and(|length| usize::try_from(length) != Ok(expected.len())) {
        return Err(HashRejection::Malformed);
    }
    let salt = phc.salt.ok_or(HashRejection::Malformed)?.to_vec();
    if expected.len() < MIN_OUTPUT_BYTES {
        return Err(HashRejection::Malformed);
    }
    Ok(Foreign { scheme, salt, expected })
}

fn rounds(rounds: u32) -> Result<u32, HashRejection> {
    match rounds {
        0 => Err(HashRejection::Malformed),
        1..=PBKDF2_ROUNDS => Ok(rounds),
        _ => Err(HashRejection::Time { what: "iterations", found: rounds.into(), limit: PBKDF2_ROUNDS.into() }),
    }
}

fn scrypt_scheme(log_n: u32, r: u32, p: u32, max_memory: u64) -> Result<Scheme, HashRejection> {
    if log_n == 0 || r == 0 || p == 0 {
        return Err(HashRejection::Malformed);
    }
    if r > SCRYPT_BLOCK {
        return Err(HashRejection::Time { what: "r", found: r.into(), limit: SCRYPT_BLOCK.into() });
    }
    // 128 bytes for each block. No real cost has 2^40 of them.
    let kib = (1_u64 << log_n.min(40)) * u64::from(r) / 8;
    if kib > max_memory {
        return Err(HashRejection::Memory { needed: kib, limit: max_memory });
    }
    let lanes = u64::from(SCRYPT_LANES).min(SCRYPT_WORK_KIB / kib.max(1));
    if u64::from(p) > lanes {
        return Err(HashRejection::Time { what: "p", found: p.into(), limit: lanes });
    }
    let log_n = u8::try_from(log_n).map_err(|_| HashRejection::Malformed)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| HashRejection::Malformed)?;
    Ok(Scheme::Scrypt { params, kib, lanes: p })
}

fn bcrypt(text: &str) -> Result<Foreign, HashRejection> {
    use base64::Engine;

    // `$2b$`, two digits, `$`, 22 characters of salt, 31 of hash.
    let parts = text.get(4..).and_then(|rest| rest.split_once('$'));
    let (cost, rest) = parts.ok_or(HashRejection::Malformed)?;
    let (salt, hash) = rest.split_at_checked(22).ok_or(HashRejection::Malformed)?;
    if cost.len() != 2 || !cost.bytes().all(|byte| byte.is_ascii_digit()) || hash.len() != 31 {
        return Err(HashRejection::Malformed);
    }
    let cost: u32 = cost.parse().map_err(|_| HashRejection::Malformed)?;
    if cost > *BCRYPT_COST.end() {
        return Err(HashRejection::Time { what: "cost", found: cost.into(), limit: (*BCRYPT_COST.end()).into() });
    }
    let decode = |text| bcrypt::BASE_64.decode(text).map_err(|_| HashRejection::Malformed);
    let (salt, expected) = (decode(salt)?, decode(hash)?);
    if !BCRYPT_COST.contains(&cost) || expected.len() != BCRYPT_OUTPUT {
        return Err(HashRejection::Malformed);
    }
    Ok(Foreign { scheme: Scheme::Bcrypt(cost), salt, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default of `hashing.max_foreign_memory`, in KiB.
    const LIMIT: u64 = 64 * 1_024;

    /// Hashes of `pässword`, from Python: `hashlib.scrypt`, `hashlib.pbkdf2_hmac` and `crypt.crypt`.
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
        Foreign::parse(text, LIMIT).unwrap_or_else(|why| panic!("{text} {why}")).matches(&Secret::new(password))
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
    fn hashes_that_are_too_expensive_malformed_or_unknown_are_refused() {
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
            scrypt.replace("p=1", "p=17"),
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
            assert!(Foreign::parse(&case, LIMIT).is_err(), "{case}");
        }
        assert!(Foreign::parse(&scrypt.replace("ln=4", "ln=16"), LIMIT).is_ok(), "64 MiB are allowed");
        assert!(Foreign::parse(&pbkdf2.replace("4096", "2000000"), LIMIT).is_ok());
        assert!(Foreign::parse(&bcrypt.replace("$04$", "$13$"), LIMIT).is_ok());
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let [scrypt, _, pbkdf2, _, _, _, bcrypt, ..] = KNOWN;
        let long = "$pbkdf2-sha256$i=1$".to_owned() + &"A".repeat(67) + "$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0";
        for (text, what) in [
            (scrypt.replace("ln=4", "ln=17"), "above the limit (memory 128 MiB > 64 MiB"),
            (scrypt.replace("ln=4", "ln=4294967295"), "above the limit (memory"),
            (scrypt.replace("ln=4,r=8,p=1", "ln=16,r=8,p=5"), "above the limit (p 5 > 4)"),
            (pbkdf2.replace("i=4096", "i=2000001"), "above the limit (iterations 2000001 > 2000000)"),
            (bcrypt.replace("$04$", "$14$"), "above the limit (cost 14 > 13)"),
            (long, "a salt longer than 48 bytes"),
            (pbkdf2.replace("c29tZXNhbHRzb21lc2FsdA", "c29tZQ"), "a salt shorter than 8 bytes"),
            (pbkdf2.replace("sha256", "sha384"), "unknown scheme"),
            (pbkdf2.replace("-sha256", ""), "PBKDF2-SHA1"),
            ("$6$rounds=5000$salt$hash/of.it".to_owned(), "SHA-crypt"),
            ("{SSHA512}abc".to_owned(), "salted SHA"),
            ("pbkdf2_sha256$1000$salt$hash=".to_owned(), "is not a PHC string: use access-tokens convert-hashes"),
            ("hunter2".to_owned(), "is not a PHC string"),
            (pbkdf2.replace("i=4096,l=32", "29000"), "is not a PHC string: use access-tokens convert-hashes"),
        ] {
            let Err(refusal) = Foreign::parse(&text, LIMIT) else { panic!("{text} is taken") };
            let said = refusal.to_string();
            assert!(said.contains(what), "{text}: {said}");
            assert!(!said.contains("hunter2") && !said.contains("of.it"), "{said}");
        }
    }

    #[test]
    fn more_memory_is_taken_where_it_is_allowed() {
        let scrypt = KNOWN[0];
        for (params, limit, taken) in [
            ("ln=17,r=8,p=1", 128, true),
            ("ln=17,r=8,p=2", 128, true),
            ("ln=17,r=8,p=3", 128, false),
            ("ln=18,r=8,p=1", 256, true),
            ("ln=18,r=8,p=1", 255, false),
            ("ln=18,r=8,p=2", 256, false),
        ] {
            let text = scrypt.replace("ln=4,r=8,p=1", params);
            assert_eq!(Foreign::parse(&text, limit * 1_024).is_ok(), taken, "{params} {limit}");
        }
    }

    #[test]
    fn weak_hashes_are_recognised() {
        let [scrypt, _, pbkdf2, _, _, sha512, bcrypt, ..] = KNOWN;
        for (text, cost) in [
            (scrypt.replace("ln=4", "ln=14"), HashCost::Weak),
            (scrypt.replace("ln=4,r=8,p=1", "ln=15,r=8,p=3"), HashCost::Sufficient),
            (pbkdf2.replace("i=4096", "i=10000"), HashCost::Weak),
            (pbkdf2.replace("i=4096", "i=27500"), HashCost::Weak),
            (pbkdf2.replace("i=4096", "i=600000"), HashCost::Sufficient),
            (sha512.replace("i=1000", "i=209999"), HashCost::Weak),
            (sha512.replace("i=1000", "i=210000"), HashCost::Sufficient),
            (bcrypt.replace("$04$", "$09$"), HashCost::Weak),
            (bcrypt.replace("$04$", "$10$"), HashCost::Sufficient),
        ] {
            let Ok(foreign) = Foreign::parse(&text, LIMIT) else { panic!("{text}") };
            assert_eq!(foreign.cost(), cost, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(
            text in r"\$(scrypt|pbkdf2-sha(256|512)|2[aby])\$([a-z]{1,2}=[0-9]{0,10},?){0,4}[0-9]{0,2}\$.{0,60}",
            bcrypt in r"\$2b\$[0-9]{2}\$[A-Za-z0-9./é]{50,55}",
        ) {
            // Parsed only: a comparison without a limit would not end.
            let _ = (Foreign::parse(&text, LIMIT).is_ok(), Foreign::parse(&bcrypt, LIMIT).is_ok());
        }
    }
}
