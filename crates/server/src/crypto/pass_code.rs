//! Pass codes and passwords: Argon2id over a keyed hash, as a PHC string.
//!
//! ```text
//! $argon2id$v=19$m=19456,t=2,p=1,keyid=<key id in base64>$<salt>$<hash>
//! ```
//!
//! With `keyid`, what enters Argon2 is HMAC-SHA256(pepper, pass code): a stolen database alone is worthless, however
//! short the pass codes are. Without `keyid` it is the pass code itself: such hashes are imported, and of any Argon2
//! variant.

use access_tokens_domain::secret::{PassCodeHash, Secret};
use access_tokens_domain::{Error, Result};
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, KeyId, Params, ParamsBuilder, Version};
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

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

/// Bytes of a salt.
pub(super) const SALT_BYTES: usize = 16;

/// Hashes and verifies, on the thread that calls.
pub(super) struct PassCodes {
    peppers: PerKey<HmacSha256>,
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
struct Stored<'k> {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    expected: Vec<u8>,
    pepper: Option<&'k HmacSha256>,
}

impl PassCodes {
    pub(super) fn new(ring: &KeyRing) -> Self {
        Self { peppers: ring.derive_hmac("pass-code-pepper") }
    }

    /// Hashes under the writing key.
    pub(super) fn hash(&self, secret: &Secret, salt: [u8; SALT_BYTES], memory: &mut Memory) -> Result<PassCodeHash> {
        let (key_id, pepper) = self.peppers.current();
        let params = params(key_id).map_err(internal)?;
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

    /// Does it match? Without a hash, or with one that cannot be checked, the same work is done for nothing.
    pub(super) fn verify(&self, secret: &Secret, stored: Option<&PassCodeHash>, memory: &mut Memory) -> Result<bool> {
        let Some(stored) = stored.and_then(|stored| self.parse(stored)) else {
            self.hash(secret, [0; SALT_BYTES], memory)?;
            return Ok(false);
        };
        let mut output = vec![0; stored.expected.len()];
        let input = match stored.pepper {
            Some(pepper) => peppered(pepper, secret),
            None => Zeroizing::new(secret.expose().as_bytes().to_vec()),
        };
        run(&stored.argon2, &input, &stored.salt, &mut output, memory).map_err(internal)?;
        Ok(output.ct_eq(&stored.expected).into())
    }

    /// Can it be checked: an Argon2 hash of bounded cost, under a key of ours or none?
    pub(super) fn accepts(&self, stored: &PassCodeHash) -> bool {
        self.parse(stored).is_some()
    }

    fn parse(&self, stored: &PassCodeHash) -> Option<Stored<'_>> {
        let text = stored.as_stored();
        let phc = PasswordHash::new(text).ok().filter(|_| text.len() <= MAX_STORED)?;
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
        let strong = salt.len() >= argon2::MIN_SALT_LEN && expected.len() >= MIN_OUTPUT_BYTES;
        strong.then(|| Stored { argon2: Argon2::new(algorithm, version, params), salt, expected, pepper })
    }
}

fn params(key_id: &str) -> argon2::Result<Params> {
    let (memory, passes, lanes) = COST;
    let mut builder = ParamsBuilder::new();
    builder.m_cost(memory).t_cost(passes).p_cost(lanes).output_len(OUTPUT_BYTES).keyid(KeyId::new(key_id.as_bytes())?);
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
        codes.hash(&Secret::new(code), *b"0123456789abcdef", &mut Memory::default()).expect("hashed")
    }

    fn verify(codes: &PassCodes, code: &str, stored: &str) -> bool {
        let stored = PassCodeHash::from_stored(stored);
        codes.verify(&Secret::new(code), Some(&stored), &mut Memory::default()).expect("compared")
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
        assert!(!codes.verify(&Secret::new(""), None, &mut Memory::default()).expect("no hash, no match"));
    }

    #[test]
    fn keys_rotate() {
        let old = hash(&PassCodes::new(&ring(&[RING_A])), "1234");
        let both = PassCodes::new(&ring(&[RING_B, RING_A]));
        assert!(verify(&both, "1234", old.as_stored()));
        assert!(hash(&both, "1234").as_stored().contains("keyid=Yg"), "the first key writes");
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
        assert!(verify(&codes, "password", reference));
        assert!(!verify(&codes, "Password", reference));
        // argon2i of the first version.
        let oldest = "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
        assert!(verify(&codes, "password", oldest));
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

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r"\$?(argon2(id|i|d)?)?\$?(v=[0-9]{0,3}\$)?(m=[0-9]{0,9},t=[0-9]{0,3},p=[0-9]{0,9})?.{0,80}") {
            PassCodes::new(&ring(&[RING_A])).accepts(&PassCodeHash::from_stored(text));
        }
    }
}
