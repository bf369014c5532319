//! Compares a key ring with the keys that a database was written with.

use std::fmt;
use std::sync::Arc;

use access_tokens_domain::access_token::VerificationCode;
use access_tokens_domain::ports::{Clock, Purpose, Secrets};
use access_tokens_domain::store::{KeyStore, KeyUse, Position, StoreResult};
use access_tokens_host::{SystemClock, SystemRandom};
use access_tokens_secrets::{KeyRing, KeyedSecrets};
use access_tokens_storage::Database;

/// Number of verification codes that one statement reads.
const BATCH_SIZE: u32 = 500;

/// Number of tokens at each end of the table that are read at a start.
const SAMPLE_SIZE: u32 = 5_000;
/// Maximum number of verification codes that are opened at each end at a start. A wrong key shows at the first code.
const MAX_OPENED_CODES: u32 = 100;

/// The result of a comparison: whether a ring opens what a database stores. Keys are compared by id. Only verification codes prove that a
/// key is the same, because other stored values cannot be opened without the secret itself.
#[derive(Debug)]
pub(crate) struct KeyRingFit {
    /// Description of stored values whose keys are not in the ring.
    missing: Option<String>,
    /// Description of stored values whose keys are not in the ring and are accepted as lost.
    lost: Option<String>,
    missing_ids: Vec<String>,
    opened: u64,
    unreadable: u64,
}

impl KeyRingFit {
    /// Compares the ring with `uses`, and opens verification codes whose key is in the ring: all of them, or at most `most`.
    pub(crate) async fn compare(
        database: &Database,
        ring: &KeyRing,
        uses: &[KeyUse],
        most: Option<u64>,
    ) -> StoreResult<Self> {
        let mut fit = Self::by_id(ring, uses);
        let secrets = KeyedSecrets::new(ring, Arc::new(SystemRandom));
        let (mut after, mut read) = (None, 0);
        while most.is_none_or(|most| read < most) {
            // No key has an empty id, so that this reads all codes.
            let codes = database.verification_codes("", after.as_ref(), BATCH_SIZE).await?;
            let Some((last, _)) = codes.last() else { break };
            after = Some(last.clone());
            read += codes.len() as u64;
            fit.open(ring, &secrets, &codes);
        }
        Ok(fit)
    }

    /// Compares the ring at a start, without reading whole tables of tokens: reads all users and API keys, and the oldest and newest
    /// tokens. None where the schema is not current, so that nothing can be read yet.
    pub(crate) async fn compare_sample(database: &Database, ring: &KeyRing) -> StoreResult<Option<Self>> {
        let schema = database.schema().await?;
        if !schema.pending.is_empty() {
            return Ok(None);
        }
        let (uses, codes) = database.sampled_key_use(SystemClock.now(), SAMPLE_SIZE, MAX_OPENED_CODES).await?;
        let mut fit = Self::by_id(ring, &uses);
        fit.open(ring, &KeyedSecrets::new(ring, Arc::new(SystemRandom)), &codes);
        Ok(Some(fit))
    }

    /// Opens codes. Codes whose key is not in the ring were counted by their key.
    fn open(&mut self, ring: &KeyRing, secrets: &KeyedSecrets, codes: &[(Position, VerificationCode)]) {
        for (position, code) in codes {
            let id = code.sealed.as_stored().split('$').next();
            if !ring.ids().any(|known| Some(known) == id) {
                continue;
            }
            match secrets.open(Purpose::Verification, &position.1, &code.sealed) {
                Ok(_) => self.opened += 1,
                Err(_) => self.unreadable += 1,
            }
        }
    }

    fn by_id(ring: &KeyRing, uses: &[KeyUse]) -> Self {
        let (known, accepted): (Vec<_>, Vec<_>) = (ring.ids().collect(), ring.lost().collect());
        let needed = uses.iter().filter_map(|one| Some((one, one.key.as_deref()?)));
        let absent = needed.filter(|(_, key)| !known.contains(key));
        let (lost, missing): (Vec<_>, Vec<_>) = absent.partition(|(_, key)| accepted.contains(key));
        let mut missing_ids: Vec<_> = missing.iter().map(|(_, key)| (*key).to_owned()).collect();
        missing_ids.sort_unstable();
        missing_ids.dedup();
        Self { missing: describe(&missing), lost: describe(&lost), missing_ids, opened: 0, unreadable: 0 }
    }

    /// Returns whether all tried codes were opened, and no key is missing except those that are accepted as lost.
    pub(crate) fn is_good(&self) -> bool {
        self.missing.is_none() && self.unreadable == 0
    }

    /// Returns whether the ring belongs to another database, or is an older copy of the right one. If some codes can be opened and others
    /// cannot, the latter are damaged, which is another problem.
    pub(crate) fn is_foreign(&self) -> bool {
        self.missing.is_some() || (self.unreadable > 0 && self.opened == 0)
    }

    /// Returns the ids of the missing keys.
    pub(crate) fn missing_ids(&self) -> &[String] {
        &self.missing_ids
    }

    /// Describes stored values whose keys are accepted as lost. None where there are no such values.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }
}

impl fmt::Display for KeyRingFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.missing, self.opened, self.unreadable) {
            (Some(missing), ..) => write!(f, "keys are missing: {missing} cannot be checked without them"),
            (None, _, 1..) => write!(
                f,
                "{} verification codes of {} cannot be opened: a key of the ring is not the one of its id, or they are \
                 damaged",
                self.unreadable,
                self.unreadable + self.opened
            ),
            (None, 0, 0) => {
                f.write_str("the ring has every key that the database names; no stored value can prove them")
            }
            (None, opened, 0) => {
                write!(f, "the ring has every key that the database names, and {opened} verification codes were opened")
            }
        }
    }
}

/// Describes stored values that keys protect, with the ids of the keys. None where there are no such values.
pub(crate) fn describe_by_key(uses: &[KeyUse]) -> Option<String> {
    let needed: Vec<_> = uses.iter().filter_map(|one| Some((one, one.key.as_deref()?))).collect();
    describe(&needed)
}

fn describe(needed: &[(&KeyUse, &str)]) -> Option<String> {
    let words: Vec<_> = needed.iter().map(|(one, key)| format!("{}: {} (key {key})", one.what, one.rows)).collect();
    Some(words.join(", ")).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use access_tokens_testkit::keys::{RING_A, RING_B, ring};

    fn needed(what: &'static str, key: Option<&str>, rows: u64) -> KeyUse {
        KeyUse { what, key: key.map(str::to_owned), rows }
    }

    #[test]
    fn keys_of_the_database_are_in_the_ring_missing_or_accepted_as_lost() {
        let uses = [
            needed("passwords", Some("b"), 1),
            needed("passwords", None, 7),
            needed("API keys", Some("x"), 2),
            needed("pass codes", Some("y"), 3),
        ];
        let fit = KeyRingFit::by_id(&ring(&[RING_A, RING_B]), &uses);
        assert!(fit.is_foreign() && !fit.is_good());
        assert_eq!(fit.missing_ids(), ["x", "y"]);
        assert!(fit.to_string().contains("API keys: 2 (key x), pass codes: 3 (key y)"), "{fit}");
        let fit = KeyRingFit::by_id(
            &ring(&["# Lost keys, accepted: x, z", RING_A, "# Lost keys, accepted: y", RING_B]),
            &uses,
        );
        assert!(fit.is_good() && !fit.is_foreign());
        assert_eq!(fit.lost(), Some("API keys: 2 (key x), pass codes: 3 (key y)"));
        let fit = KeyRingFit::by_id(&ring(&[RING_A]), &uses[..2]);
        assert!(fit.is_foreign() && fit.to_string().contains("passwords: 1 (key b)"), "{fit}");
        assert_eq!(describe_by_key(&uses[1..2]), None, "an imported hash needs no key");
    }

    #[test]
    fn codes_that_cannot_be_opened_tell_another_ring_unless_others_can() {
        let fit = |opened, unreadable| KeyRingFit { opened, unreadable, ..KeyRingFit::by_id(&ring(&[RING_A]), &[]) };
        assert!(fit(0, 1).is_foreign() && !fit(0, 1).is_good());
        assert!(!fit(1, 1).is_foreign() && !fit(1, 1).is_good());
        assert!(!fit(0, 0).is_foreign() && fit(3, 0).is_good());
    }
}
