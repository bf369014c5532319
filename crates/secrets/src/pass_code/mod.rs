//! Pass codes and passwords: Argon2id over a keyed hash, as a PHC string.
//!
//! ```text
//! $argon2id$v=19$m=19456,t=2,p=1,keyid=<key id in base64>$<salt>$<hash>
//! ```
//!
//! A parameter `data` before the salt notes the strength of a pass code that no policy has checked; see [`Strength`].
//! After it, [`NORMALISED`] marks a hash whose secret was not ASCII and was normalised: a presented secret is then
//! normalised before the comparison. A hash without the mark was made from the presented bytes, by this service before
//! version 0.3.0 or elsewhere, and is compared with them. Both enter Argon2, so they cannot be changed without the
//! hash.
//!
//! With `keyid`, the input of Argon2 is HMAC-SHA256(pepper, pass code): a stolen database alone is worthless, however
//! short the pass codes are. Without `keyid` the input is the pass code itself: such hashes are imported, and of any
//! Argon2 variant. Hashes of other schemes are imported too, see [`foreign`].

mod foreign;
mod rejection;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access_tokens_domain::ports::{HashCost, Verdict};
use access_tokens_domain::secret::{PassCodeHash, Secret};
use access_tokens_domain::strength::Strength;
use access_tokens_domain::{Error, Result, text};
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, AssociatedData, Block, KeyId, Params, ParamsBuilder, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::foreign::{Foreign, MIN_OUTPUT_BYTES};
pub use self::rejection::HashRejection;
use super::keys::{HmacSha256, KeyRing, PerKey};

/// The work space of Argon2, 19 MiB. To allocate it costs a third of a hash.
pub(super) struct Memory(Vec<Block>);

/// Number of blocks (KiB) that are reserved, although fewer are written. From 32 MiB on, the C library maps memory that
/// goes back to the system as soon as it is freed. Smaller memory stays with the thread that freed it, and after a
/// flood of log-ins every blocking thread would hold 19 MiB. Blocks that are not written cost nothing.
const RESERVED: usize = 33 * 1_024;

/// Minimum of OWASP: memory in KiB, passes and parallelism.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Maximum passes and parallelism of a stored hash. The parallel parts are computed one after the other.
const MAX_PASSES: u32 = 10;
const MAX_LANES: u32 = 16;
/// Memory of a stored hash in KiB above which comparisons run one at a time.
pub(super) const LARGE_MEMORY: u64 = 64 * 1_024;
/// Maximum memory of a stored hash in KiB. The maximum of an import is often lower, see [`PassCodes::assess`].
const MAX_MEMORY: u64 = 256 * 1_024;
const OUTPUT_BYTES: usize = 32;
const MAX_STORED: usize = 512;

/// Returns the prefix of hashes with the current cost and a key.
pub fn current_form() -> String {
    let (memory, passes, lanes) = COST;
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes},keyid=")
}

/// Mark of hashes of normalised secrets, as it stands in the text of a hash: four characters of base64.
const NORMALISED: &str = "nfc0";

/// Size of a salt, in bytes.
pub(super) const SALT_BYTES: usize = 16;

/// Divisor of the time of a hash: missing work below this part is not made up for.
const SMALLEST_PADDING: u32 = 32;
/// Divisor that gives the weight of a new measurement in [`PassCodes::usual_nanos`].
const SMOOTHING: u64 = 8;

/// Hashes and verifies on the calling thread.
pub(super) struct PassCodes {
    peppers: PerKey<HmacSha256>,
    /// Smoothed time of a hash of the current form on this machine, in nanoseconds. 0: not measured yet.
    usual_nanos: AtomicU64,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Vec::with_capacity(RESERVED))
    }
}

impl Memory {
    /// Returns the first `count` blocks. Their earlier content does no harm: the first pass of Argon2 writes every
    /// block before it is read.
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        &mut self.0[..count]
    }
}

/// A parsed stored hash.
enum Stored<'k> {
    Argon2(Box<StoredArgon2<'k>>),
    Foreign(Foreign),
}

struct StoredArgon2<'k> {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    expected: Vec<u8>,
    pepper: Option<&'k HmacSha256>,
    /// Whether it has the current form: the current cost under the current key.
    current: bool,
    /// Whether it was made from a normalised secret.
    normalised: bool,
}

impl PassCodes {
    pub(super) fn new(ring: &KeyRing) -> Self {
        Self { peppers: ring.derive_hmac("pass-code-pepper"), usual_nanos: AtomicU64::new(0) }
    }

    /// Hashes a secret under the current key. The hash notes the strength, if one is given.
    pub(super) fn hash(
        &self,
        secret: &Secret,
        strength: Option<Strength>,
        salt: [u8; SALT_BYTES],
        memory: &mut Memory,
    ) -> Result<PassCodeHash> {
        let (key_id, pepper) = self.peppers.current();
        // Four characters of base64 are three bytes.
        let mark = if secret.expose().is_ascii() { "" } else { NORMALISED };
        let note = strength.map(Strength::note).unwrap_or_default() + mark;
        let note = STANDARD_NO_PAD.decode(note).map_err(internal)?;
        let secret = &normalised(secret);
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

    /// Compares a secret with a stored hash. Without a hash, or with one that cannot be checked, the same work is done.
    /// A hash of another form is often imported and cheaper; the missing work is done after it, so that the time does
    /// not reveal such a hash.
    pub(super) fn verify(
        &self,
        secret: &Secret,
        stored: Option<&PassCodeHash>,
        memory: &mut Memory,
    ) -> Result<Verdict> {
        let (matches, current) = match stored.and_then(|stored| self.parse(stored, MAX_MEMORY).ok()) {
            Some(Stored::Argon2(stored)) if stored.current => (self.measured(|| stored.matches(secret, memory))?, true),
            Some(stored) => {
                let started = Instant::now();
                let (matches, current) = match &stored {
                    Stored::Argon2(stored) => (stored.matches(secret, memory)?, false),
                    // The part that the scheme does not read may be wrong. A new hash of it would refuse the true
                    // secret permanently.
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

    /// Computes a hash of the current form, and adds its time to the smoothed one.
    fn measured<T>(&self, hash: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = hash()?;
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let usual_nanos = self.usual_nanos.load(Ordering::Relaxed);
        // The time of a thread that was suspended says nothing about the work.
        let took = if usual_nanos == 0 { took } else { took.min(usual_nanos.saturating_mul(2)) };
        let next = if usual_nanos == 0 { took } else { usual_nanos - usual_nanos / SMOOTHING + took / SMOOTHING };
        self.usual_nanos.store(next.max(1), Ordering::Relaxed);
        Ok(result)
    }

    /// Makes up for the work that a comparison of the duration `took` lacks compared with a hash of the current form.
    fn pad(&self, secret: &Secret, took: Duration, memory: &mut Memory) -> Result<()> {
        let (blocks, passes, lanes) = COST;
        let usual = match self.usual_nanos.load(Ordering::Relaxed) {
            // The first comparison of this process computes a whole hash, which is measured.
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

    /// Returns whether a hash can be checked: it has a known scheme and an allowed cost, and no key or a key of the
    /// ring.
    pub(super) fn accepts(&self, stored: &PassCodeHash) -> bool {
        self.parse(stored, MAX_MEMORY).is_ok()
    }

    /// Returns the cost of a guess at a hash that may be imported, or the reason why it may not. `max_memory` is in
    /// KiB.
    pub(super) fn assess(&self, stored: &PassCodeHash, max_memory: u64) -> Result<HashCost, HashRejection> {
        self.parse(stored, max_memory.min(MAX_MEMORY)).map(|stored| stored.cost())
    }

    /// Returns whether a comparison needs more than [`LARGE_MEMORY`], so that only one may run at a time.
    pub(super) fn is_large(&self, stored: &PassCodeHash) -> bool {
        self.parse(stored, MAX_MEMORY).is_ok_and(|stored| stored.memory() > LARGE_MEMORY)
    }

    fn parse(&self, stored: &PassCodeHash, max_memory: u64) -> Result<Stored<'_>, HashRejection> {
        Stored::parse(stored.as_stored(), Some(&self.peppers), max_memory)
    }
}

/// Assesses a hash for an import without the keys of this service. `max_memory` is in KiB.
pub fn assess_foreign(text: &str, max_memory: u64) -> Result<HashCost, HashRejection> {
    Stored::parse(text, None, max_memory.min(MAX_MEMORY)).map(|stored| stored.cost())
}

fn parse_argon2<'k>(
    text: &str,
    peppers: Option<&'k PerKey<HmacSha256>>,
    max_memory: u64,
) -> Result<StoredArgon2<'k>, HashRejection> {
    let phc = foreign::read_phc(text)?;
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| HashRejection::Scheme(None))?;
    // The oldest hashes name no version. They have the first one.
    let version = phc.version.map_or(Ok(Version::V0x10), Version::try_from).map_err(|_| HashRejection::Malformed)?;
    let params = Params::try_from(&phc).map_err(|_| HashRejection::Malformed)?;
    let memory = u64::from(params.m_cost());
    if memory > max_memory {
        return Err(HashRejection::Memory { needed: memory, limit: max_memory });
    }
    for (what, found, limit) in [("t", params.t_cost(), MAX_PASSES), ("p", params.p_cost(), MAX_LANES)] {
        if found > limit {
            return Err(HashRejection::Time { what, found: found.into(), limit: limit.into() });
        }
    }
    let pepper = match (params.keyid(), peppers) {
        ([], _) => None,
        (id, Some(peppers)) => {
            let id = std::str::from_utf8(id).map_err(|_| HashRejection::Key)?;
            Some(peppers.get(id).ok_or(HashRejection::Key)?)
        }
        (_, None) => return Err(HashRejection::Key),
    };
    let salt = phc.salt.ok_or(HashRejection::Malformed)?.to_vec();
    let expected = phc.hash.ok_or(HashRejection::Malformed)?.as_bytes().to_vec();
    if salt.len() < argon2::MIN_SALT_LEN || expected.len() < MIN_OUTPUT_BYTES {
        return Err(HashRejection::Malformed);
    }
    // The parameters also hold the id of the key, the length of the output and the note.
    let is_todays = |peppers: &PerKey<HmacSha256>| {
        self::params(peppers.current().0, params.data()).is_ok_and(|todays| todays == params)
    };
    let current = algorithm == Algorithm::Argon2id
        && version == Version::V0x13
        && peppers.is_some_and(is_todays)
        && salt.len() == SALT_BYTES
        && pepper.is_some();
    // Only hashes under keys of this service have the mark.
    let normalised = pepper.is_some() && STANDARD_NO_PAD.encode(params.data()).ends_with(NORMALISED);
    let argon2 = Argon2::new(algorithm, version, params);
    Ok(StoredArgon2 { argon2, salt, expected, pepper, current, normalised })
}

impl<'k> Stored<'k> {
    /// Parses a hash. `peppers` are the keys of this service, without which its own hashes are rejected.
    fn parse(text: &str, peppers: Option<&'k PerKey<HmacSha256>>, max_memory: u64) -> Result<Self, HashRejection> {
        if text.len() > MAX_STORED {
            Err(HashRejection::NotPhc)
        } else if text.starts_with("$argon2") {
            parse_argon2(text, peppers, max_memory).map(|stored| Self::Argon2(Box::new(stored)))
        } else {
            Foreign::parse(text, max_memory).map(Self::Foreign)
        }
    }

    fn cost(&self) -> HashCost {
        match self {
            Self::Argon2(stored) => stored.cost(),
            Self::Foreign(stored) => stored.cost(),
        }
    }

    /// Returns the memory of a comparison in KiB.
    fn memory(&self) -> u64 {
        match self {
            Self::Argon2(stored) => stored.argon2.params().m_cost().into(),
            Self::Foreign(stored) => stored.memory(),
        }
    }
}

impl StoredArgon2<'_> {
    /// Returns whether a guess costs as much as at a hash of the current form.
    fn cost(&self) -> HashCost {
        let (memory, passes, _) = COST;
        let work = |memory: u32, passes: u32| u64::from(memory) * u64::from(passes);
        let params = self.argon2.params();
        if work(params.m_cost(), params.t_cost()) < work(memory, passes) {
            HashCost::Weak
        } else {
            HashCost::Sufficient
        }
    }

    fn matches(&self, secret: &Secret, memory: &mut Memory) -> Result<bool> {
        // A large work space is freed after the comparison, and not kept for the next hash.
        let mut own = Memory(Vec::new());
        let is_large = u64::from(self.argon2.params().m_cost()) > LARGE_MEMORY;
        let memory = if is_large { &mut own } else { memory };
        let mut output = vec![0; self.expected.len()];
        let form = self.normalised.then(|| normalised(secret));
        let secret = form.as_ref().unwrap_or(secret);
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

/// Returns a secret in the form in which it is hashed.
fn normalised(secret: &Secret) -> Secret {
    Secret::new(text::nfc(secret.expose()))
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
