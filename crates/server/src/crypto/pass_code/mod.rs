//! Pass codes and passwords: Argon2id over a keyed hash, as a PHC string.
//!
//! ```text
//! $argon2id$v=19$m=19456,t=2,p=1,keyid=<key id in base64>$<salt>$<hash>
//! ```
//!
//! A parameter `data` before the salt notes how easily the pass code is guessed, where no policy was asked about it; see
//! [`Strength`]. It enters Argon2, so the note cannot be changed without the hash.
//!
//! With `keyid`, what enters Argon2 is HMAC-SHA256(pepper, pass code): a stolen database alone is worthless, however
//! short the pass codes are. Without `keyid` it is the pass code itself: such hashes are imported, and of any Argon2
//! variant. Hashes of other schemes are imported too, see [`foreign`].

mod foreign;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access_tokens_domain::ports::Verdict;
use access_tokens_domain::secret::{PassCodeHash, Secret};
use access_tokens_domain::strength::Strength;
use access_tokens_domain::{Error, Result};
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, AssociatedData, Block, KeyId, Params, ParamsBuilder, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::foreign::Foreign;
use super::keys::{HmacSha256, KeyRing, PerKey};

/// Argon2's work space. It is 19 MiB: making it anew costs a third of a hash.
pub(super) struct Memory(Vec<Block>);

/// So many blocks (KiB) are asked for, although fewer are written. From 32 MiB on the C library maps memory that goes
/// back to the system as soon as it is freed; smaller pieces stay with the thread that freed them, and after a flood of
/// logins every blocking thread would sit on 19 MiB. What is not written costs nothing.
const RESERVED: usize = 33 * 1_024;

/// OWASP's minimum, in KiB, passes and lanes.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// The most that a stored hash may ask for, or whoever imports one could stop the service with a login.
const MAX_COST: (u32, u32, u32) = (64 * 1_024, 10, 4);
const OUTPUT_BYTES: usize = 32;
const MIN_OUTPUT_BYTES: usize = 16;
const MAX_STORED: usize = 512;

/// What a hash of the current cost under a key begins with.
pub(crate) fn current_form() -> String {
    let (memory, passes, lanes) = COST;
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes},keyid=")
}

/// Bytes of a salt.
pub(super) const SALT_BYTES: usize = 16;

/// Minimum part of a hash, as a divisor, for which it is worth doing the missing work.
const SMALLEST_PADDING: u32 = 32;
/// Weight of a new measurement in [`PassCodes::usual`], as a divisor.
const SMOOTHING: u64 = 8;

/// Hashes and verifies, on the thread that calls.
pub(super) struct PassCodes {
    peppers: PerKey<HmacSha256>,
    /// Nanoseconds that a hash of the current form takes on this machine, smoothed. 0: not measured yet.
    usual: AtomicU64,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Vec::with_capacity(RESERVED))
    }
}

impl Memory {
    /// The first `count` blocks. What an earlier hash left in them does no harm: the first pass of Argon2 writes every
    /// block before it is read.
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        &mut self.0[..count]
    }
}

/// A stored hash, taken apart.
enum Stored<'k> {
    Argon2(Box<StoredArgon2<'k>>),
    Foreign(Foreign),
}

struct StoredArgon2<'k> {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    expected: Vec<u8>,
    pepper: Option<&'k HmacSha256>,
    /// Is it what would be written today?
    current: bool,
}

impl PassCodes {
    pub(super) fn new(ring: &KeyRing) -> Self {
        Self { peppers: ring.derive_hmac("pass-code-pepper"), usual: AtomicU64::new(0) }
    }

    /// Hashes under the writing key. The hash notes the strength, if one is given.
    pub(super) fn hash(
        &self,
        secret: &Secret,
        strength: Option<Strength>,
        salt: [u8; SALT_BYTES],
        memory: &mut Memory,
    ) -> Result<PassCodeHash> {
        let (key_id, pepper) = self.peppers.current();
        // Four characters of base64 are three bytes.
        let note = STANDARD_NO_PAD.decode(strength.map(Strength::note).unwrap_or_default()).map_err(internal)?;
        let params = params(key_id, &note).map_err(internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut output = [0; OUTPUT_BYTES];
        run(&argon2, &peppered(pepper, secret), &salt, &mut output, memory).map_err(internal)?;
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().map_err(internal)?,
            salt: Some(Salt::new(&salt).map_err(internal)?),
            hash: Some(Output::new(&output).map_err(internal)?),
        };
        Ok(PassCodeHash::from_stored(phc.to_string()))
    }

    /// Does it match, and is it what would be written today? Without a hash, or with one that cannot be checked, the
    /// same work is done for nothing. A hash of another form is often imported and cheaper; the missing work is done after
    /// it, so that its time does not tell that there is such a hash.
    pub(super) fn verify(
        &self,
        secret: &Secret,
        stored: Option<&PassCodeHash>,
        memory: &mut Memory,
    ) -> Result<Verdict> {
        let (matches, current) = match stored.and_then(|stored| self.parse(stored)) {
            Some(Stored::Argon2(stored)) if stored.current => (self.measured(|| stored.matches(secret, memory))?, true),
            Some(stored) => {
                let started = Instant::now();
                let (matches, current) = match &stored {
                    Stored::Argon2(stored) => (stored.matches(secret, memory)?, false),
                    // What the scheme did not read may be wrong: a hash of it would lock the true secret out for ever.
                    Stored::Foreign(stored) => (stored.matches(secret), !stored.reads_all_of(secret)),
                };
                self.pad(secret, started.elapsed(), memory)?;
                (matches, current)
            }
            None => {
                self.measured(|| self.hash(secret, None, [0; SALT_BYTES], memory))?;
                (false, false)
            }
        };
        Ok(match (matches, current) {
            (false, _) => Verdict::Wrong,
            (true, true) => Verdict::Right,
            (true, false) => Verdict::Outdated,
        })
    }

    /// Computes a hash of the current form, and takes its time for the usual one.
    fn measured<T>(&self, hash: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = hash()?;
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let usual = self.usual.load(Ordering::Relaxed);
        // A thread that was not running for a while says nothing about the work.
        let took = if usual == 0 { took } else { took.min(usual.saturating_mul(2)) };
        let next = if usual == 0 { took } else { usual - usual / SMOOTHING + took / SMOOTHING };
        self.usual.store(next.max(1), Ordering::Relaxed);
        Ok(result)
    }

    /// Does the work that a comparison of `took` lacks, measured by a hash of the current form.
    fn pad(&self, secret: &Secret, took: Duration, memory: &mut Memory) -> Result<()> {
        let (blocks, passes, lanes) = COST;
        let usual = match self.usual.load(Ordering::Relaxed) {
            // The first comparison of this process: a whole hash, which is measured.
            0 => return self.measured(|| self.hash(secret, None, [0; SALT_BYTES], memory)).map(drop),
            usual => Duration::from_nanos(usual),
        };
        let missing = usual.saturating_sub(took);
        if missing < usual / SMALLEST_PADDING {
            return Ok(());
        }
        // The work of Argon2 is proportional to its memory.
        let share = missing.as_nanos().saturating_mul(blocks.into()) / usual.as_nanos().max(1);
        let blocks = u32::try_from(share).unwrap_or(blocks).clamp(Params::MIN_M_COST, blocks);
        let params = Params::new(blocks, passes, lanes, Some(OUTPUT_BYTES)).map_err(internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (_, pepper) = self.peppers.current();
        run(&argon2, &peppered(pepper, secret), &[0; SALT_BYTES], &mut [0; OUTPUT_BYTES], memory).map_err(internal)
    }

    /// Can it be checked: of a known scheme and bounded cost, under a key of ours or none?
    pub(super) fn accepts(&self, stored: &PassCodeHash) -> bool {
        self.parse(stored).is_some()
    }

    fn parse(&self, stored: &PassCodeHash) -> Option<Stored<'_>> {
        let text = Some(stored.as_stored()).filter(|text| text.len() <= MAX_STORED)?;
        if text.starts_with("$argon2") {
            self.parse_argon2(text).map(|stored| Stored::Argon2(Box::new(stored)))
        } else {
            Foreign::parse(text).map(Stored::Foreign)
        }
    }

    fn parse_argon2(&self, text: &str) -> Option<StoredArgon2<'_>> {
        let phc = PasswordHash::new(text).ok()?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
        // The oldest hashes name no version; they are of the first.
        let version = phc.version.map_or(Ok(Version::V0x10), Version::try_from).ok()?;
        let params = Params::try_from(&phc).ok()?;
        let (memory, passes, lanes) = MAX_COST;
        if params.m_cost() > memory || params.t_cost() > passes || params.p_cost() > lanes {
            return None;
        }
        let pepper = match params.keyid() {
            [] => None,
            id => Some(self.peppers.get(std::str::from_utf8(id).ok()?)?),
        };
        let salt = phc.salt?.to_vec();
        let expected = phc.hash?.as_bytes().to_vec();
        // The parameters hold the id of the key, the length of the output and the note too.
        let todays = self::params(self.peppers.current().0, params.data()).is_ok_and(|todays| todays == params);
        let current = algorithm == Algorithm::Argon2id
            && version == Version::V0x13
            && todays
            && salt.len() == SALT_BYTES
            && pepper.is_some();
        let strong = salt.len() >= argon2::MIN_SALT_LEN && expected.len() >= MIN_OUTPUT_BYTES;
        let argon2 = Argon2::new(algorithm, version, params);
        strong.then_some(StoredArgon2 { argon2, salt, expected, pepper, current })
    }
}

impl StoredArgon2<'_> {
    fn matches(&self, secret: &Secret, memory: &mut Memory) -> Result<bool> {
        let mut output = vec![0; self.expected.len()];
        let input = match self.pepper {
            Some(pepper) => peppered(pepper, secret),
            None => Zeroizing::new(secret.expose().as_bytes().to_vec()),
        };
        run(&self.argon2, &input, &self.salt, &mut output, memory).map_err(internal)?;
        Ok(output.ct_eq(&self.expected).into())
    }
}

fn params(key_id: &str, note: &[u8]) -> argon2::Result<Params> {
    let (memory, passes, lanes) = COST;
    let mut builder = ParamsBuilder::new();
    builder.m_cost(memory).t_cost(passes).p_cost(lanes).output_len(OUTPUT_BYTES).keyid(KeyId::new(key_id.as_bytes())?);
    if !note.is_empty() {
        builder.data(AssociatedData::new(note)?);
    }
    builder.build()
}

fn peppered(pepper: &HmacSha256, secret: &Secret) -> Zeroizing<Vec<u8>> {
    let tag = pepper.clone().chain_update(secret.expose().as_bytes()).finalize();
    Zeroizing::new(tag.into_bytes().to_vec())
}

fn run(argon2: &Argon2<'_>, input: &[u8], salt: &[u8], out: &mut [u8], memory: &mut Memory) -> argon2::Result<()> {
    let blocks = memory.blocks(argon2.params().block_count());
    argon2.hash_password_into_with_memory(input, salt, out, blocks)
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("argon2: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::tests::{RING_A, RING_B, ring};

    fn hash(codes: &PassCodes, code: &str) -> PassCodeHash {
        codes.hash(&Secret::new(code), None, *b"0123456789abcdef", &mut Memory::default()).expect("hashed")
    }

    fn verdict(codes: &PassCodes, code: &str, stored: &str) -> Verdict {
        let stored = PassCodeHash::from_stored(stored);
        codes.verify(&Secret::new(code), Some(&stored), &mut Memory::default()).expect("compared")
    }

    fn verify(codes: &PassCodes, code: &str, stored: &str) -> bool {
        verdict(codes, code, stored) != Verdict::Wrong
    }

    /// From Python's `crypt.crypt`.
    const BCRYPT: [&str; 3] = [
        "$2b$04$abcdefghijklmnopqrstuuKiIlCeXB6chNXkLyAo8C7XcLPzh6zUe",
        "$2b$04$abcdefghijklmnopqrstuu.gc7UY/21CSNJGJg21jJzx9QiOpJ9bO",
        "$2b$04$abcdefghijklmnopqrstuuMFdJu9yVgmagVAIC24fOZkaFqd3s9JC",
    ];

    /// A hash as this service would have made it with other parameters, under the only key of the ring.
    fn made(ring: &KeyRing, algorithm: Algorithm, version: Version, params: &Params, salt: &[u8]) -> String {
        let peppers = ring.derive_hmac("pass-code-pepper");
        let input = match params.keyid() {
            [] => Zeroizing::new(b"1234".to_vec()),
            _ => peppered(peppers.current().1, &Secret::new("1234")),
        };
        let mut output = vec![0; params.output_len().expect("stated")];
        let argon2 = Argon2::new(algorithm, version, params.clone());
        run(&argon2, &input, salt, &mut output, &mut Memory::default()).expect("hashed");
        let phc = PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: params.try_into().expect("parameters"),
            salt: Some(Salt::new(salt).expect("a salt")),
            hash: Some(Output::new(&output).expect("an output")),
        };
        phc.to_string()
    }

    #[test]
    fn the_stored_form_states_parameters_and_key() {
        let stored = hash(&PassCodes::new(&ring(&[RING_A])), "1234");
        assert!(stored.as_stored().starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ$"), "{}", stored.as_stored());
    }

    #[test]
    fn only_the_same_pass_code_matches() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        let stored = hash(&codes, "pässcode ");
        assert!(verify(&codes, "pässcode ", stored.as_stored()));
        for wrong in ["pässcode", "PÄSSCODE ", "", "1234"] {
            assert!(!verify(&codes, wrong, stored.as_stored()), "{wrong:?}");
        }
        let nothing = codes.verify(&Secret::new(""), None, &mut Memory::default()).expect("compared");
        assert_eq!(nothing, Verdict::Wrong);
    }

    #[test]
    fn a_hash_that_would_be_made_otherwise_today_is_outdated() {
        let ring = ring(&[RING_A]);
        let codes = PassCodes::new(&ring);
        let (id, v13, salt) = (Algorithm::Argon2id, Version::V0x13, b"0123456789abcdef".as_slice());
        let with = |change: fn(&mut ParamsBuilder) -> &mut ParamsBuilder| {
            let mut builder = ParamsBuilder::new();
            let (memory, passes, lanes) = COST;
            builder.m_cost(memory).t_cost(passes).p_cost(lanes).output_len(OUTPUT_BYTES);
            builder.keyid(KeyId::new(b"a").expect("an id"));
            change(&mut builder);
            builder.build().expect("parameters")
        };
        let todays = with(|b| b);
        assert_eq!(verdict(&codes, "1234", &made(&ring, id, v13, &todays, salt)), Verdict::Right);
        let cases = [
            ("less memory", made(&ring, id, v13, &with(|b| b.m_cost(9_728)), salt)),
            ("more memory", made(&ring, id, v13, &with(|b| b.m_cost(20_000)), salt)),
            ("fewer passes", made(&ring, id, v13, &with(|b| b.t_cost(1)), salt)),
            ("more lanes", made(&ring, id, v13, &with(|b| b.p_cost(2)), salt)),
            ("shorter output", made(&ring, id, v13, &with(|b| b.output_len(16)), salt)),
            ("shorter salt", made(&ring, id, v13, &todays, &salt[..8])),
            ("no pepper", made(&ring, id, v13, &with(|b| b.keyid(KeyId::default())), salt)),
            ("another variant", made(&ring, Algorithm::Argon2i, v13, &todays, salt)),
            ("an old version", made(&ring, id, Version::V0x10, &todays, salt)),
        ];
        for (what, stored) in cases {
            assert_eq!(verdict(&codes, "1234", &stored), Verdict::Outdated, "{what}: {stored}");
            assert_eq!(verdict(&codes, "1235", &stored), Verdict::Wrong, "{what}");
        }
    }

    #[test]
    fn hashes_of_other_schemes_are_outdated() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        for stored in [
            "$scrypt$ln=4,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU",
            "$pbkdf2-sha256$i=4096,l=32$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0",
            "$2b$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG",
        ] {
            assert!(codes.accepts(&PassCodeHash::from_stored(stored)), "{stored}");
            assert_eq!(verdict(&codes, "pässword", stored), Verdict::Outdated, "{stored}");
            assert_eq!(verdict(&codes, "password", stored), Verdict::Wrong, "{stored}");
        }
    }

    #[test]
    fn keys_rotate() {
        let old = hash(&PassCodes::new(&ring(&[RING_A])), "1234");
        let both = PassCodes::new(&ring(&[RING_B, RING_A]));
        assert_eq!(verdict(&both, "1234", old.as_stored()), Verdict::Outdated, "it is not under the first key");
        let new = hash(&both, "1234");
        assert!(new.as_stored().contains("keyid=Yg"), "the first key writes");
        assert_eq!(verdict(&both, "1234", new.as_stored()), Verdict::Right);
        let new_only = PassCodes::new(&ring(&[RING_B]));
        assert!(!verify(&new_only, "1234", old.as_stored()) && !new_only.accepts(&old), "its key is gone");
        let other_bytes = PassCodes::new(&ring(&[&RING_B.replace("b ", "a ")]));
        assert!(!verify(&other_bytes, "1234", old.as_stored()), "the id is the same, the key is not");
    }

    #[test]
    fn imported_hashes_are_not_peppered() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        // From the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -e
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(codes.accepts(&PassCodeHash::from_stored(reference)));
        assert_eq!(verdict(&codes, "password", reference), Verdict::Outdated);
        assert!(!verify(&codes, "Password", reference));
        // argon2i of the first version.
        let oldest = "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
        assert!(verify(&codes, "password", oldest));
    }

    #[test]
    fn a_hash_states_the_strength_and_is_bound_to_it() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        for code in ["1", "4711", "password"] {
            let secret = Secret::new(code);
            let strength = Strength::of(&secret);
            let stored = codes.hash(&secret, strength, *b"0123456789abcdef", &mut Memory::default()).expect("hashed");
            assert_eq!(Strength::of_hash(&stored), strength, "{}", stored.as_stored());
            assert!(codes.accepts(&stored));
            assert_eq!(verdict(&codes, code, stored.as_stored()), Verdict::Right, "it is not hashed anew for ever");
            let other = stored.as_stored().replace("data=len", "data=cmn");
            if other != stored.as_stored() {
                assert_eq!(verdict(&codes, code, &other), Verdict::Wrong);
            }
        }
        assert_eq!(Strength::of_hash(&hash(&codes, "1")), None);
    }

    #[test]
    fn what_a_scheme_does_not_read_is_not_hashed_anew() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        // bcrypt of 80 times `x`, as in `foreign`.
        let bcrypt = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
        let x = |count| "x".repeat(count);
        for read in [x(72), x(80), x(72) + "another", x(72) + "\0", x(71) + "x\0\0"] {
            assert_eq!(verdict(&codes, &read, bcrypt), Verdict::Right, "{} bytes", read.len());
        }
        assert_eq!(verdict(&codes, &x(71), bcrypt), Verdict::Wrong);
        // bcrypt of 36 times `é`, which is 72 bytes, of 71 times `x`, and of `a`.
        let [two_bytes, short, single] = BCRYPT;
        assert_eq!(verdict(&codes, &"é".repeat(36), two_bytes), Verdict::Right);
        assert_eq!(verdict(&codes, &"é".repeat(40), two_bytes), Verdict::Right);
        assert_eq!(verdict(&codes, &x(71), short), Verdict::Outdated);
        assert_eq!(verdict(&codes, "a", single), Verdict::Outdated);
        assert_eq!(verdict(&codes, "a\0a", single), Verdict::Right, "the key is read over and over, its zero included");
        // HMAC fills a short key with zeros.
        let pbkdf2 = "$pbkdf2-sha256$i=4096,l=32$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0";
        let scrypt = "$scrypt$ln=4,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU";
        for text in [pbkdf2, scrypt] {
            assert_eq!(verdict(&codes, "pässword", text), Verdict::Outdated);
            assert_eq!(verdict(&codes, "pässword\0", text), Verdict::Right);
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        let good = hash(&codes, "1234");
        let good = good.as_stored();
        let salt_and_hash = good.rsplitn(3, '$').collect::<Vec<_>>();
        let (hash, salt) = (salt_and_hash[0], salt_and_hash[1]);
        let cases = [
            String::new(),
            "1234".to_owned(),
            "$argon2id$".to_owned(),
            good.replace("argon2id", "scrypt"),
            good.replace("v=19", "v=99"),
            good.replace("m=19456", "m=65537"),
            good.replace("t=2", "t=11"),
            good.replace("p=1", "p=5"),
            good.replace("m=19456", "m=1"),
            good.replace("keyid=YQ", "keyid=Yg"),
            good.replace("keyid=YQ", "keyid=//"),
            good.replace(hash, ""),
            good.replace(hash, &hash[..8]),
            good.replace(salt, ""),
            good.replace(&format!("${hash}"), ""),
            format!("{good}$x"),
            format!("{good}{}", "A".repeat(600)),
        ];
        for case in cases {
            assert!(!codes.accepts(&PassCodeHash::from_stored(case.clone())), "{case}");
            assert!(!verify(&codes, "1234", &case), "{case}");
        }
    }

    #[test]
    fn hashes_begin_with_the_current_form() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        assert!(hash(&codes, "1234").as_stored().starts_with(&current_form()));
    }

    /// Medians over interleaved comparisons: no hash, a current one, and cheap ones of other systems.
    #[test]
    fn cheap_hashes_take_as_long_as_others() {
        let codes = PassCodes::new(&ring(&[RING_A]));
        let current = hash(&codes, "1234");
        let stored: Vec<Option<PassCodeHash>> = [
            None,
            Some(current.as_stored()),
            Some("$pbkdf2-sha256$i=1,l=32$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0"),
            Some("$2b$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG"),
            Some("$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0"),
        ]
        .map(|text| text.map(PassCodeHash::from_stored))
        .into();
        assert!(stored.iter().flatten().all(|stored| codes.accepts(stored)));
        let mut memory = Memory::default();
        let mut times = vec![Vec::new(); stored.len()];
        for _ in 0..60 {
            for (stored, times) in stored.iter().zip(&mut times) {
                let started = Instant::now();
                let verdict = codes.verify(&Secret::new("wrong"), stored.as_ref(), &mut memory).expect("compared");
                times.push(started.elapsed());
                assert_eq!(verdict, Verdict::Wrong);
            }
        }
        let medians: Vec<_> = times
            .iter_mut()
            .map(|times| {
                times.sort_unstable();
                times[times.len() / 2]
            })
            .collect();
        // Without padding the ratio is above ten. Other processes share the cores of a test.
        let (least, most) = (medians.iter().min().expect("some"), medians.iter().max().expect("some"));
        assert!(most.as_secs_f64() < least.as_secs_f64() * 1.25, "{medians:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r"\$?(argon2(id|i|d)?)?\$?(v=[0-9]{0,3}\$)?(m=[0-9]{0,9},t=[0-9]{0,3},p=[0-9]{0,9})?.{0,80}") {
            PassCodes::new(&ring(&[RING_A])).accepts(&PassCodeHash::from_stored(text));
        }
    }
}
