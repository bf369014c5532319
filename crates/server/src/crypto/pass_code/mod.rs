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
mod tests;
